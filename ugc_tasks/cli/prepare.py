"""``ugc-videocap prepare`` and ``ugc-videocap status``: arguments in, one report out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.data.home import Home, folder_named

if TYPE_CHECKING:
    from ugc_tasks.data.prepare import Report, Request

COMPLETE, PARTIAL, STOPPED = 0, 3, 130

_CODES = """\
exit code: 0 all is there; 2 bad input; 3 something is missing, and the report says what;
130 stopped by Ctrl-C. The report goes to stdout, all else to stderr.
"""
_PREPARE = f"""\
Annotations and the official prompts come from the dataset and the authors' repository at pinned
commits and are checked by digest; clips come from the links in the dataset, by yt-dlp, and are
checked by decoding. Run it again to go on where it stopped: what is there is not asked for, nor
is a link that was found dead (but see --retry).

examples:
  ugc-videocap prepare                              everything, into the cache folder
  ugc-videocap prepare --limit 20                   the first 20 clips
  ugc-videocap prepare --home data --workers 8      into a folder of your own
  ugc-videocap prepare --map links.csv              links of your own: a CSV file with the columns
                                                    video_id and url
  ugc-videocap prepare --from-archive clips.zip     clips that you have already
  HF_ENDPOINT=https://hub.example ugc-videocap prepare   another Hub; HF_HOME, HF_HUB_OFFLINE too

{_CODES}"""
_STATUS = f"""\
Says what of the annotations, prompts and clips is there, and which tasks can run in full.
Nothing is asked of the network.

examples:
  ugc-videocap status
  ugc-videocap status --home data --json

{_CODES}"""


def add_parsers(subparsers: Any) -> None:
    """Register ``prepare`` and ``status``; each sets ``run``, a function of the arguments."""
    prepare = _parser(subparsers, "prepare", "get annotations, prompts and clips", _PREPARE)
    prepare.set_defaults(run=_run_prepare)
    source = prepare.add_mutually_exclusive_group()
    source.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="CSV file of links, with the columns video_id and url",
    )
    source.add_argument(
        "--from-archive",
        type=Path,
        metavar="FILE",
        help="take clips named <video_id>.mp4 from a zip or tar file instead of downloading them",
    )
    prepare.add_argument("--retry", action="store_true", help="ask dead links again")
    status = _parser(subparsers, "status", "say what of the data is there", _STATUS)
    status.set_defaults(run=_run_status)


def _parser(subparsers: Any, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="folder of annotations and prompts (default: UGC_VIDEOCAP_HOME, else the cache)",
    )
    parser.add_argument(
        "--videos",
        type=Path,
        metavar="DIR",
        help="folder of clips (default: UGC_VIDEOCAP_VIDEOS, else `videos` in the home)",
    )
    parser.add_argument(
        "--limit", type=_number(1, 1_000_000), metavar="N", help="only the first N clips"
    )
    parser.add_argument(
        "--workers", type=_number(1, 64), default=4, metavar="N", help="clips at once (default: 4)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return number


def _run_prepare(args: argparse.Namespace) -> int:
    from ugc_tasks.data.prepare import prepare

    return _report(args, lambda: prepare(_request(args, make=True), _bar))


def _run_status(args: argparse.Namespace) -> int:
    from ugc_tasks.data.prepare import status

    return _report(args, lambda: status(_request(args, make=False), _bar))


def _report(args: argparse.Namespace, work: Callable[[], Report]) -> int:
    from ugc_tasks.cli.prepare_report import as_lines, as_object

    try:
        report = work()
    except KeyboardInterrupt:
        complain("stopped: run the same command again to go on")
        return STOPPED
    if args.json:
        say_json(as_object(report))
    else:
        say(*as_lines(report), *_settings(report))
    return COMPLETE if report.complete else PARTIAL


def _request(args: argparse.Namespace, *, make: bool) -> Request:
    """Find the folders as a run of the tasks would, with those given here first."""
    from ugc_tasks.data.prepare import Request

    environ = dict(os.environ)
    if args.home is not None:
        environ["UGC_VIDEOCAP_HOME"] = str(args.home)
        environ.pop("UGC_VIDEOCAP_VIDEOS", None)
    if args.videos is not None:
        environ["UGC_VIDEOCAP_VIDEOS"] = str(args.videos)
    if make and (named := folder_named(environ, "UGC_VIDEOCAP_HOME")):
        named.mkdir(parents=True, exist_ok=True)
    home = Home.from_env(environ)
    options = (
        {"mapping": args.map, "archive": args.from_archive, "retry": args.retry} if make else {}
    )
    return Request(
        tasks={spec.task: spec.annotations for spec in SPECS.values()},
        root=home.root or home.cache,
        videos=home.videos,
        ours=home.root is None,
        limit=args.limit,
        workers=args.workers,
        **options,
    )


def _settings(report: Report) -> Iterator[str]:
    """Yield the settings without which a run would look elsewhere."""
    found = Home.from_env(os.environ)
    if (found.root or found.cache) != report.root:
        yield ""
        yield f"export UGC_VIDEOCAP_HOME={report.root}"
    if found.videos != report.videos and report.videos != report.root / "videos":
        yield f"export UGC_VIDEOCAP_VIDEOS={report.videos}"


def _forward(bar: Any) -> None:
    bar.update()


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="", disable=None, file=sys.stderr) as bar:
        yield lambda _: _forward(bar)
