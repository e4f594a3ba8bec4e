"""``ugc-videocap summarize``: score files in, one row each out.

A table for a person, or with ``--json`` a list with one object a file on stdout; everything else
goes to stderr. Exit status 0 when every clip of every file has a score, 3 when some have none (or a
stored 0, which stands for none), 2 for input that is unusable. ``--allow-missing``: clips to which
``ugc_replay`` found no answer may have none.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.cli.score import COMPLETE, PARTIAL
from ugc_tasks.common.display import complain, say, say_json, shown
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home

if TYPE_CHECKING:
    from ugc_tasks.results.scores import ScoreFile


def add_parsers(subparsers: Any) -> None:
    """Add the command to the console script's ``subparsers``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "summarize",
        help="show the columns of files of caption scores",
        description="Show the columns of files of caption scores: the authors' score files, "
        "samples files of ugc_videocap, and what `score caption --json` prints.",
        epilog="examples:\n"
        "  ugc-videocap summarize scores/*.json\n"
        "  ugc-videocap summarize new.json --baseline old.json --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", type=Path, nargs="+", metavar="SCORES", help="score file")
    parser.add_argument(
        "--references",
        type=Path,
        metavar="DIR",
        help="folder of annotation files; tells which clips have a public reference "
        "(default: UGC_VIDEOCAP_HOME, else what is known of the published files)",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="SCORES",
        help="score file to compare each other one with, clip by clip",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="exit with 0 though the scored files of answers lacked clips",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Summarize as the arguments say and return the exit status; errors are raised."""
    from ugc_tasks.results.scores import read_scores
    from ugc_tasks.results.summary import compare, doubts, summarize

    references = _references(arguments.references)
    files = [read_scores(path) for path in arguments.scores]
    baseline = read_scores(arguments.baseline) if arguments.baseline else None
    rows = [summarize(scores, references) for scores in files]
    everything = list(files)
    if baseline is not None:
        if baseline.path not in arguments.scores:
            everything.append(baseline)
        for row, scores in zip(rows, files, strict=True):
            row["difference"] = None
            if scores.path != baseline.path:
                row["difference"] = compare(scores, baseline)
    complain(*(f"warning: {doubt}" for doubt in doubts(everything)))
    if arguments.json:
        say_json(rows)
    else:
        say(*_table(rows))
    whole = all(_is_whole(scores, arguments.allow_missing) for scores in files)
    return COMPLETE if whole else PARTIAL


def _is_whole(scores: ScoreFile, allow_missing: bool) -> bool:
    failed = len(scores.failed) - (len(scores.unanswered) if allow_missing else 0)
    return bool(scores.clips) and not failed and not scores.zeros


def _references(folder: Path | None) -> Any:
    """Return which clips have a public reference, without asking the network for it."""
    from ugc_tasks.benchmark import SPECS
    from ugc_tasks.data.questions import read_questions
    from ugc_tasks.results.summary import References

    name = SPECS["caption"].annotations
    root = folder if folder is not None else Home.from_env(os.environ).root
    if root is not None and (root / name).is_file():
        return References(read_questions(root / name).references)
    if folder is not None:
        raise DataError(f"--references: {name} is not in {folder}: put it there as published")
    return References()


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    from ugc_tasks.results.rows import ESTIMATE
    from ugc_tasks.results.summary import COLUMNS

    head = ["file", "n", "coverage", *COLUMNS, "judge"]
    cells = [head]
    for row in rows:
        suffix = ESTIMATE if row["estimate"] else ""
        columns = [_figure(row, name + suffix) for name in COLUMNS]
        judge = row["judge"] or "not stated"
        marked = shown(f"{judge} (ESTIMATE)" if row["estimate"] else judge)
        cells.append(
            [shown(row["file"]), str(row["n"]), f"{row['coverage']:.3f}", *columns, marked]
        )
        known = row["with_reference"]
        if known:
            columns = [_figure(known, name + suffix) for name in COLUMNS]
            cells.append(["  clips with a public reference", str(known["n"]), "", *columns, ""])
        difference = row.get("difference")
        if difference:
            columns = [_figure(difference, name + suffix, sign="+") for name in COLUMNS]
            what = f"  minus {shown(difference['baseline'])}"
            cells.append([what, str(difference["n"]), "", *columns, ""])
    cells = [[_shown(cell) for cell in line] for line in cells]
    widths = [max(len(line[place]) for line in cells) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _shown(text: str) -> str:
    """Return a cell that cannot write to the terminal; names of files and judges are foreign."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + shown(text)


def _figure(row: Mapping[str, Any], name: str, *, sign: str = "") -> str:
    value = row.get(name)
    if value is None:
        return "-"
    interval = row["ci95"].get(name)
    half = f" ±{(interval[1] - interval[0]) / 2:.2f}" if interval else ""
    return f"{value:{sign}.2f}{half}"
