"""Restate the figures of one judge on the scale of another, measured on answers that both judged.

fit: OLD_DIR and NEW_DIR have a score file for each model (the authors' form or ours), paired by the
name of the file and by clip. The bridge goes from the judge of NEW_DIR to that of OLD_DIR; score,
summarize, compare and report take it with --bridge. plan: what a bridge would cost and how wide its
error would be; no key, nothing is asked. judge: have the authors' recorded captions judged by a new
judge, which makes NEW_DIR; their own judgments are OLD_DIR.

examples:
  ugc-videocap bridge plan --to gpt-5-mini
  ugc-videocap bridge judge --to gpt-5-mini -o new-judge      needs OPENAI_API_KEY
  ugc-videocap bridge fit old-judge new-judge -o bridge.json

exit status: 0 done (fit: a bridge was written, whatever its verdict), 3 judge: some were not
judged, 2 the input cannot be used
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugc_tasks.cli import COMPLETE, PARTIAL, add_command, profile_argument
from ugc_tasks.common.display import complain, listed, say, say_json
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import RECORDED

_PROFILE = profile_argument("paper", "rubric")


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "bridge", _run_none, __doc__)
    inner = parser.add_subparsers(metavar="fit|plan|judge", required=True)

    def part(name: str, run: Any, about: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = inner.add_parser(name, help=about, description=about)
        made.add_argument("--json", action="store_true", help="print JSON on stdout")
        made.set_defaults(run=run)
        return made

    made = part("fit", _fit, "measure the map from the judge of NEW_DIR to that of OLD_DIR")
    made.add_argument("old", type=Path, metavar="OLD_DIR", help="score files by the old judge")
    made.add_argument("new", type=Path, metavar="NEW_DIR", help="score files by the new judge")
    made.add_argument("-o", "--output", type=Path, default=Path("bridge.json"), metavar="FILE")
    named = "the judge's label, where its files do not name it"
    made.add_argument("--from", dest="from_", metavar="JUDGE", help=f"of NEW_DIR: {named}")
    made.add_argument("--to", metavar="JUDGE", help=f"of OLD_DIR: {named}")
    for name, run, about in (
        ("plan", _plan, "say what a bridge would cost, and how wide its error would be"),
        ("judge", _judge, "have the authors' recorded captions judged by a new judge"),
    ):
        made = part(name, run, about)
        made.add_argument("--to", required=True, metavar="JUDGE", help="the new judge's model")
        profile = "paper, rubric, or a file of your own (default: UGC_JUDGE_PROFILE, else paper)"
        made.add_argument("--profile", type=_PROFILE, metavar="PROFILE", help=profile)
        made.add_argument("--clips", type=int, metavar="N", help="clips of each model")
        made.add_argument("--models", nargs="+", choices=RECORDED, metavar="MODEL",
                          help=f"default: all of {', '.join(RECORDED)}")  # fmt: skip
    made.add_argument("-o", "--output", type=Path, required=True, metavar="NEW_DIR")


def _run_none(_: argparse.Namespace) -> int:
    raise AssertionError("a part of the command is required")


def _fit(arguments: argparse.Namespace) -> int:
    from ugc_tasks.bridge.document import bridge

    found = bridge(arguments.old, arguments.new, to=arguments.to, from_=arguments.from_)
    arguments.output.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", "utf-8")
    if arguments.json:
        say_json(found)
    else:
        say(*_lines(found))
    complain(f"{arguments.output}: {found['verdict']}")
    return COMPLETE


def _lines(found: Mapping[str, Any]) -> list[str]:
    from ugc_tasks.results.tables import render

    names = [str(found[side]["label"] or "a judge that is not named") for side in ("from", "to")]
    lines = [
        f"from {names[0]} to {names[1]}",
        f"{len(found['models'])} models, {found['clips']} clips, {found['n']} judgments of each",
    ]
    if found["unpaired"]:
        lines.append(f"in one folder only: {listed(found['unpaired'])}")
    rows = [["", "shift", "slope", "pearson", "kendall", "kappa", "left out", "largest", "±95 %"]]
    for name, each in found["figures"].items():
        off = each["left_out_error"]
        cells = [each["shift"], each["slope"], each["pearson"], each["kendall"], each["kappa"]]
        cells += [off["mean"], off["largest"], each["half_width"]]
        rows.append([name, *("-" if cell is None else f"{cell:.2f}" for cell in cells)])
    lines += ["", *render(rows, "table"), ""] if len(rows) > 1 else []
    return [*lines, f"verdict: {found['verdict']}", *(f"  {why}" for why in found["reasons"])]


def _environ(arguments: argparse.Namespace) -> dict[str, str]:
    environ = {**os.environ, "UGC_JUDGE_MODEL": arguments.to}
    if arguments.profile:
        environ["UGC_JUDGE_PROFILE"] = arguments.profile
    return environ


def _plan(arguments: argparse.Namespace) -> int:
    from ugc_tasks.bridge.plan import plan

    environ = _environ(arguments)
    found = plan(environ, Home.from_env(environ), arguments.models, arguments.clips)
    if arguments.json:
        say_json(found)
    else:
        say(*found["said"])
    return COMPLETE


def _judge(arguments: argparse.Namespace) -> int:
    from ugc_tasks.bridge.recorded import judge_recorded

    environ = _environ(arguments)
    found = judge_recorded(
        environ, Home.from_env(environ), arguments.models, arguments.clips, arguments.output
    )
    if arguments.json:
        say_json(found)
    else:
        say(*found["said"])
    return COMPLETE if not found["failed"] else PARTIAL
