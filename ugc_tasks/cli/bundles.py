"""``submit``, ``verify`` and ``leaderboard``: a run becomes a bundle, is checked, and compared."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ugc_tasks.cli import COMPLETE, NOT_FIT, PARTIAL, add_command
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.results.run_files import read_run
from ugc_tasks.results.tables import FORMATS, render

_SUBMIT = """\
Put a run into a bundle that others can check: rows, figures, judge, versions, digests.

RUN is a folder of lmms-eval's results (with --log_samples), or what `score --json` prints. The same
run gives the same bytes. Nothing is sent anywhere.

examples:
  ugc-videocap submit results/my-model -o bundle
  ugc-videocap score caption captions.jsonl --json > scores.json
  ugc-videocap submit scores.json -o bundle --name my-lab/my-model

exit status: 0 the bundle is written and its run is complete, 3 it lacks clips, 2 the run cannot be
used
"""
_VERIFY = """\
Check a bundle: every number in it is computed again from its rows.

The judge's replies are read again, the requests that they answer are made again from the answers
and compared by digest, references are compared with the published annotations.

examples:
  ugc-videocap verify bundle
  ugc-videocap verify bundle --json

exit status: 0 everything holds, 1 something does not, 3 what could be checked holds, but not all
could be, 2 it is no bundle
"""
_LEADERBOARD = """\
Put bundles side by side, and the published rows: by judge, with intervals and what is the same.

Each bundle is verified; what does not hold is left out and named.

examples:
  ugc-videocap leaderboard bundles/
  ugc-videocap leaderboard bundles/ -o leaderboard.html
  ugc-videocap leaderboard bundles/ --format latex

exit status: 0 every bundle is in a table, 3 some were left out, 2 there is no bundle
"""


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "submit", submit, _SUBMIT)
    name = "what the model is called in tables (default: as the run has it)"
    parser.add_argument("run_path", type=Path, metavar="RUN", help="the run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to be made")
    parser.add_argument("--name", help=name)

    parser = add_command(subparsers, "verify", verify, _VERIFY)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `submit` has written")

    parser = add_command(subparsers, "leaderboard", leaderboard, _LEADERBOARD)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with bundles")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="HTML page to write")
    parser.add_argument("--format", choices=FORMATS, default="table")


def submit(arguments: argparse.Namespace) -> int:
    from ugc_tasks.submit.bundle import write_bundle
    from ugc_tasks.submit.exports import table_rows

    found = read_run(arguments.run_path)
    if arguments.name is not None:
        if not arguments.name.strip():
            raise DataError("--name: is blank: give the model's name")
        found = replace(found, facts={**found.facts, "name": arguments.name.strip()})
    bundle = write_bundle(found, arguments.output)
    if arguments.json:
        say_json(bundle)
    else:
        say(*render(table_rows([bundle]), "table"))
    lacking = [task for task, facts in bundle["tasks"].items() if not facts["complete"]]
    for task in lacking:
        facts = bundle["tasks"][task]
        complain(f"{task}: {facts['of'] - facts['n']} of {facts['of']} clips have no score")
    complain(f"{arguments.output}: written; check it with: ugc-videocap verify {arguments.output}")
    return PARTIAL if lacking else COMPLETE


def verify(arguments: argparse.Namespace) -> int:
    from ugc_tasks.submit.verify import verify as check

    found = check(arguments.bundle, Home.from_env(os.environ))
    if arguments.json:
        say_json(asdict(found))
    else:
        say(*(f"does not hold: {said}" for said in found.problems))
        say(*(f"not checked: {said}" for said in found.unchecked))
        complain(*(f"note: {said}" for said in found.notes))
        if not found.problems:
            so_far = " that could be checked" if found.unchecked else ""
            say(f"{arguments.bundle}: all{so_far} holds, {found.rows} rows")
    return NOT_FIT if found.problems else PARTIAL if found.unchecked else COMPLETE


def leaderboard(arguments: argparse.Namespace) -> int:
    from ugc_tasks.submit.leaderboard import headline, legend, page, read_leaderboard, table_of

    board = read_leaderboard(arguments.folder, Home.from_env(os.environ))
    if arguments.json:
        say_json(asdict(board))
    else:
        shown_groups = (*board.groups, *board.elsewhere)
        for group in shown_groups:
            title = headline(group)
            said = {"latex": f"% {title}", "csv": f"# {title}", "markdown": f"### {title}\n"}
            say(*said.get(arguments.format, title).split("\n"))
            say(*render(table_of(group), arguments.format), "")
        say(*legend(shown_groups))
    if arguments.output:
        arguments.output.write_text(page(board), "utf-8")
        complain(f"{arguments.output}: written")
    complain(*(f"left out: {path}: {why}" for path, why in board.left_out.items()))
    return PARTIAL if board.left_out else COMPLETE
