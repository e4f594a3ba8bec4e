"""Make a page to look at a run, or at several side by side: one HTML file that needs no network.

RUN is a samples file, what `score --json` prints, or a folder of lmms-eval's results; the first is
compared with the others.

examples:
  ugc-videocap report results/my-model -o report.html
  ugc-videocap report results/new results/old -o report.html
  ugc-videocap report results/my-model --task tone --no-posters

exit status: 0 the page is written, 2 a run cannot be read, or the file cannot be written
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import COMPLETE, add_bridge, add_command, add_judge, bridge_of
from ugc_tasks.common.display import complain, say_json
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.results.scores import named_judge, read_scores
from ugc_tasks.results.slices import slices_of


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "report", run, __doc__)
    output = "the page (default: %(default)s)"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="what to look at")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help=output)
    parser.add_argument("--task", choices=SPECS, help="of folders (default: caption)")
    add_bridge(parser)
    add_judge(parser)
    parser.add_argument("--no-posters", action="store_true", help="leave the pictures out")


def run(arguments: argparse.Namespace) -> int:
    from ugc_tasks.report.page import found_videos, render
    from ugc_tasks.report.posters import take_posters

    runs = [
        named_judge(read_scores(path, arguments.task), arguments.judge) for path in arguments.runs
    ]
    bridge = bridge_of(arguments)
    tasks = {each.task for each in runs}
    if len(tasks) > 1:
        raise DataError(f"one page is of one task, not of {', '.join(sorted(tasks))}")
    home = Home.from_env(os.environ)
    videos = found_videos(runs, home.videos)
    paths = {i: Path(unquote(urlsplit(address).path)) for i, address in videos.items()}
    posters = {} if arguments.no_posters else take_posters(paths)
    page = render(
        runs,
        slices=slices_of(runs, home),
        posters=posters,
        videos=videos,
        bridge=bridge,
    )
    arguments.output.write_text(page, "utf-8")
    size = arguments.output.stat().st_size
    complain(
        f"{arguments.output}: {len(posters)} posters, {size / 1e6:.1f} MB; open it in a browser"
    )
    if arguments.json:
        say_json({"page": str(arguments.output), "posters": len(posters), "bytes": size})
    return COMPLETE
