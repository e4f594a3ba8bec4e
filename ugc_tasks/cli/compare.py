"""Tell whether one run is better than others, clip by clip.

Score files of the authors, samples files, what `score --json` prints, and folders of lmms-eval's
results, in any mix. Clips without a public reference are left out.

examples:
  ugc-videocap compare results/new results/old
  ugc-videocap compare new.jsonl old.jsonl older.jsonl --format latex
  ugc-videocap compare results/new results/old --task tone --json

exit status: 0 whatever came of it, 2 a file cannot be used, or nothing can be compared
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import BAD_INPUT, COMPLETE, add_bridge, add_command, add_judge, bridge_of
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.data.home import Home
from ugc_tasks.results.compare import Comparison, Difference, compare, sentence
from ugc_tasks.results.reliability import Interval
from ugc_tasks.results.scores import named_judge, read_scores
from ugc_tasks.results.slices import slices_of
from ugc_tasks.results.tables import FORMATS, render


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "compare", run, __doc__)
    parser.add_argument("new", type=Path, metavar="NEW", help="score file or folder of results")
    parser.add_argument(
        "olds", type=Path, nargs="+", metavar="OLD", help="what it is compared with"
    )
    parser.add_argument("--task", choices=SPECS, help="of folders (default: caption)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    add_bridge(parser)
    add_judge(parser)
    parser.add_argument("--slices", action="store_true", help="show parts of the clips, too")


def run(arguments: argparse.Namespace) -> int:
    new, *olds = (
        named_judge(read_scores(path, arguments.task), arguments.judge)
        for path in (arguments.new, *arguments.olds)
    )
    across: list[dict[str, Any]] = []
    if (bridge := bridge_of(arguments)) is not None:
        from ugc_tasks.bridge.restate import UNNAMED, bridged_difference, label_of

        # So that raw figures of two judges are not taken for those of one.
        new, *olds = (replace(run, judge=label_of(run) or UNNAMED) for run in (new, *olds))
        across = [bridged_difference(bridge, new, old) for old in olds]
    slices = slices_of([new, *olds], Home.from_env(os.environ))
    found = compare(new, olds, slices)
    if arguments.json:
        said = [as_json(each) for each in found]
        for one, more in zip(said, across, strict=False):
            one["bridged"] = more
        say_json(said[0] if len(said) == 1 else said)
    else:
        for each in found:
            _show(each, arguments)
        for old, more in zip(olds, across, strict=False):
            say(f"{new.name} and {old.name}: {more['said']}")
    comparable = any(each.figures for each in found) or any(more["difference"] for more in across)
    return COMPLETE if comparable else BAD_INPUT


def _show(comparison: Comparison, arguments: argparse.Namespace) -> None:
    new, old = comparison.new.name, comparison.old.name
    if comparison.figures:
        shared = next(iter(comparison.figures.values())).n
        complain(f"{new} against {old}, {shared} shared clips")
        rows = [["", "new", "old", "difference", "95 % interval", "p"]]
        rows += [_cells(name, each) for name, each in comparison.figures.items()]
        if arguments.slices:
            rows += [
                _cells(f"{kind}: {part} ({each.n})", each)
                for kind, parts in comparison.slices.items()
                for part, each in parts.items()
            ]
        say(*render(rows, arguments.format))
    complain(*_remarks(comparison))
    show = say if arguments.format == "table" else complain
    show(sentence(comparison))


def _cells(name: str, each: Difference) -> list[str]:
    return [
        name,
        f"{each.new:.1f}",
        f"{each.old:.1f}",
        f"{each.difference:+.1f}",
        _interval(each.ci95),
        "" if each.p_holm is None else "< 0.001" if each.p_holm < 0.001 else f"{each.p_holm:.3f}",
    ]


def _interval(pair: Interval | None) -> str:
    return "" if pair is None else f"[{pair[0]:+.1f}, {pair[1]:+.1f}]"


def _remarks(comparison: Comparison) -> list[str]:
    counts = {
        "clips have a score in the first alone": comparison.only_new,
        "clips have a score in the second alone": comparison.only_old,
        "clips without a public reference are left out": comparison.left_out,
    }
    return [
        *(f"{len(ids)} {what}" for what, ids in counts.items() if ids),
        *(f"note: {note}" for note in comparison.notes),
    ]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; the first keys are about the whole."""
    whole = comparison.whole
    return {
        "new": str(comparison.new.path),
        "old": str(comparison.old.path),
        "task": comparison.new.task,
        "n": whole.n if whole else 0,
        "difference": whole.difference if whole else None,
        "ci95": list(whole.ci95) if whole and whole.ci95 else None,
        "p": whole.p_holm if whole else None,
        "verdict": comparison.verdict,
        "sentence": sentence(comparison),
        "figures": {name: _figure(each) for name, each in comparison.figures.items()},
        "slices": {
            kind: {part: _figure(each) for part, each in parts.items()}
            for kind, parts in comparison.slices.items()
        },
        "methods": {"ci95": "Student's t of the differences", "p": "paired permutation, Holm"},
        "only_new": list(comparison.only_new),
        "only_old": list(comparison.only_old),
        "without_reference": list(comparison.left_out),
        "notes": _notes(comparison),
    }


def _notes(comparison: Comparison) -> Sequence[str]:
    return [*([comparison.why_not] if comparison.why_not else []), *comparison.notes]


def _figure(each: Difference) -> dict[str, Any]:
    return {
        "n": each.n,
        "new": each.new,
        "old": each.old,
        "difference": each.difference,
        "ci95": list(each.ci95) if each.ci95 else None,
        "p": each.p,
        "p_t": each.p_t,
        "p_holm": each.p_holm,
        "enough_clips": each.enough_clips,
        "enough_repeats": each.enough_repeats,
        "verdict": each.verdict,
    }
