"""``ugc-videocap judge-probe``: suspected answers judged again without what is suspected.

Exit status 0 when every suspect was judged both ways (also when there is none), 3 when some were
not, 2 for input or settings that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ugc_tasks.data.home import DataError, Home
from ugc_tasks.scoring import SCORERS, Request

COMPLETE, PARTIAL = 0, 3

_TASKS = tuple(name for name, scorer in SCORERS.items() if scorer.judged)
_EXAMPLES = """examples:
  ugc-videocap judge-probe caption captions.jsonl
  ugc-videocap judge-probe caption results/samples_ugc_videocap.jsonl --json

What was judged before is on disk: each suspect costs one request, as a rule one dollar pays for
hundreds. What the reasons mean: --reasons.
"""


def add_parsers(subparsers: Any) -> None:
    """Add the command to the console script's ``subparsers``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "judge-probe",
        help="judge suspected answers again without what is suspected",
        description="Find the answers that speak to the judge (on-screen text can), and judge each "
        "once more without those sentences.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=_TASKS, metavar="TASK", help=", ".join(_TASKS))
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="file of answers, as score's")
    parser.add_argument(
        "--references", type=Path, metavar="DIR", help="folder of annotation files, as score's"
    )
    parser.add_argument(
        "--profile",
        choices=("paper", "rubric"),
        help="the judge (default: UGC_JUDGE_PROFILE, else paper)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--reasons", action=_Reasons, help="list the reasons and exit")
    parser.set_defaults(run=run)


class _Reasons(argparse.Action):
    """Print what makes an answer suspicious."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from ugc_tasks.judge.suspicion import REASONS

        for reason, what in REASONS.items():
            print(f"{reason:<14} {what}")
        parser.exit(0)


def run(arguments: argparse.Namespace) -> int:
    """Probe as the arguments say and return the exit status; errors are raised."""
    from ugc_tasks.judge_probe import Probe, probe
    from ugc_tasks.saved.answers import read_answers

    if arguments.references is not None and not arguments.references.is_dir():
        raise DataError(f"--references: {arguments.references} is not a folder")
    environ = dict(os.environ)
    if arguments.profile:
        environ["UGC_JUDGE_PROFILE"] = arguments.profile
    result: Probe = probe(
        Request(
            task=arguments.task,
            answers=read_answers(arguments.answers),
            home=Home.from_env(environ),
            environ=environ,
            references=arguments.references,
        )
    )
    if arguments.json:
        content = {
            "task": arguments.task,
            "judge": dict(result.judge),
            "answers": result.answers,
            "suspects": [probed.as_json() for probed in result.probed],
        }
        print(json.dumps(content, indent=1))
    else:
        print(f"{arguments.task}: {len(result.probed)} of {result.answers} answers are suspected")
        print(f"judge: {result.judge['label']}")
        for probed in result.probed:
            print(f"{probed.video_id}  {_line(probed)}")
    for probed in result.probed:
        if probed.failure:
            print(f"{probed.video_id}: {probed.failure}", file=sys.stderr)
    return COMPLETE if result.complete else PARTIAL


def _line(probed: Any) -> str:
    scores = " -> ".join(_shown(values) for values in (probed.scores, probed.without))
    gained = "" if probed.gained is None else f"  gained {probed.gained:+.2f}"
    return f"{' '.join(probed.reasons)}  {scores}{gained}"


def _shown(values: Any) -> str:
    return "-" if values is None else "/".join(f"{value:g}" for value in values.values())
