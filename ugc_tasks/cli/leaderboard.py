"""Put bundles side by side, and the published rows: by judge, with intervals and what is the same.

Each bundle is verified; what does not hold is left out and named.

examples:
  ugc-videocap leaderboard bundles/
  ugc-videocap leaderboard bundles/ -o leaderboard.html
  ugc-videocap leaderboard bundles/ --format latex

exit status: 0 every bundle is in a table, 3 some were left out, 2 there is no bundle
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ugc_tasks.cli import COMPLETE, PARTIAL, add_command
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.data.home import Home
from ugc_tasks.results.tables import FORMATS, render


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "leaderboard", run, __doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with bundles")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="HTML page to write")
    parser.add_argument("--format", choices=FORMATS, default="table")


def run(arguments: argparse.Namespace) -> int:
    from ugc_tasks.submit.leaderboard import headline, legend, page, read_leaderboard, table_of

    board = read_leaderboard(arguments.folder, Home.from_env(os.environ))
    if arguments.json:
        say_json(asdict(board))
    else:
        for group in board.groups:
            title = headline(group)
            said = {"latex": f"% {title}", "csv": f"# {title}", "markdown": f"### {title}\n"}
            say(*said.get(arguments.format, title).split("\n"))
            say(*render(table_of(group), arguments.format), "")
        say(*legend(board.groups))
    if arguments.output:
        arguments.output.write_text(page(board), "utf-8")
        complain(f"{arguments.output}: written")
    complain(*(f"left out: {path}: {why}" for path, why in board.left_out.items()))
    return PARTIAL if board.left_out else COMPLETE
