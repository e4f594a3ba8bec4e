"""Check a bundle: every number in it is computed again from its rows.

The judge's replies are read again, the requests that they answer are made again from the answers
and compared by digest, references are compared with the published annotations.

examples:
  ugc-videocap verify bundle
  ugc-videocap verify bundle --json

exit status: 0 everything holds, 1 something does not, 3 what could be checked holds, but not all
could be, 2 it is no bundle
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ugc_tasks.cli import COMPLETE, NOT_FIT, PARTIAL, add_command
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.data.home import Home


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "verify", run, __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `submit` has written")


def run(arguments: argparse.Namespace) -> int:
    from ugc_tasks.submit.verify import verify

    found = verify(arguments.bundle, Home.from_env(os.environ))
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
