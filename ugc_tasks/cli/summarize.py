"""Show the columns of files of caption scores.

The authors' score files, samples files of ugc_videocap, and what `score caption --json` prints.

examples:
  ugc-videocap summarize scores/*.json
  ugc-videocap summarize new.json --baseline old.json --json
  ugc-videocap summarize new.json --bridge bridge.json
  ugc-videocap summarize new.json --bridge bridge.json --both some-by-the-old-judge.json

exit status: 0 every clip of every file has a score (with --allow-missing, clips to which ugc_replay
found no answer may have none), 3 some have none, or a stored 0, which stands for none, 2 a file
cannot be used
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import COMPLETE, PARTIAL, add_bridge, add_command, add_judge, both_of, bridge_of
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.questions import read_questions
from ugc_tasks.results.scores import ScoreFile, named_judge, read_scores
from ugc_tasks.results.summary import compare, doubts, one_scale, summarize, table


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "summarize", run, __doc__)
    references = (
        "folder of annotation files; tells which clips have a public reference "
        "(default: UGC_VIDEOCAP_HOME, else what is known of the published files)"
    )
    baseline = "score file to compare each other one with, clip by clip"
    missing = "exit with 0 though the scored files of answers lacked clips"
    parser.add_argument("scores", type=Path, nargs="+", metavar="SCORES", help="score file")
    parser.add_argument("--references", type=Path, metavar="DIR", help=references)
    parser.add_argument("--baseline", type=Path, metavar="SCORES", help=baseline)
    add_bridge(parser, both=True)
    add_judge(parser)
    parser.add_argument("--allow-missing", action="store_true", help=missing)


def run(arguments: argparse.Namespace) -> int:
    references = _references(arguments.references)
    judge = arguments.judge
    files = [_captions(path, judge) for path in arguments.scores]
    one_scale(files)
    bridge, both = bridge_of(arguments), both_of(arguments)
    if both is not None and len(files) > 1:
        raise DataError("--both: has scores of one run's captions; name one file of SCORES")
    rows = [summarize(scores, references) for scores in files]
    for row, scores in zip(rows, files, strict=True) if bridge else ():
        row["bridged"] = bridge.restate(scores, both) if bridge else None
    compared = list(files)
    if arguments.baseline is not None:
        baseline = _captions(arguments.baseline, judge)
        if baseline.path not in arguments.scores:
            compared.append(baseline)
        for row, scores in zip(rows, files, strict=True):
            same = scores.path == baseline.path
            row["difference"] = None if same else compare(scores, baseline)
    complain(*(f"warning: {doubt}" for doubt in doubts(compared)))
    if arguments.json:
        say_json(rows)
    else:
        say(*table(rows, files[0].figures))
        for row in rows if bridge else ():
            say(f"{row['file']}: {bridge.said(row['bridged']) if bridge else ''}")
    for scores in files:
        failed = len(scores.failed) - (len(scores.unanswered) if arguments.allow_missing else 0)
        if failed or scores.zeros or not scores.clips:
            return PARTIAL
    return COMPLETE


def _captions(path: Path, judge: str | None) -> ScoreFile:
    scores = named_judge(read_scores(path), judge)
    if scores.task != "caption":
        raise DataError(
            f"{path}: scores of the task {scores.task}, not of captions: ugc-videocap compare "
            "takes them"
        )
    return scores


def _references(folder: Path | None) -> Collection[str] | None:
    """Return the clips with a public reference, if an annotation file is here."""
    name = SPECS["caption"].annotations
    root = folder if folder is not None else Home.from_env(os.environ).root
    if root is not None and (root / name).is_file():
        return read_questions(root / name).references
    if folder is not None:
        raise DataError(f"--references: {name} is not in {folder}: put it there as published")
    return None
