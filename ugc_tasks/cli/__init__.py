"""The command ``ugc-videocap``: begin with ``main.py``; each command has a module.

Here is what they share: exit statuses, and how a command is added to the parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.common.files import DataError

if TYPE_CHECKING:
    from ugc_tasks.bridge.restate import Bridge
    from ugc_tasks.results.scores import ScoreFile

COMPLETE, NOT_FIT, BAD_INPUT, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 130
"""All was done; the judge is not fit; input or environment is unusable; a part was done; Ctrl-C."""


def profile_argument(*names: str) -> Callable[[str], str]:
    """Return what checks the argument of ``--profile``: one of ``names``, or a profile file."""

    def check(text: str) -> str:
        if text in names or text.endswith(".toml") or "/" in text:
            return text
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {', '.join(names)}, nor a file such as mine.toml"
        )

    return check


def add_command(
    subparsers: Any, name: str, run: Callable[[argparse.Namespace], int], text: str | None
) -> argparse.ArgumentParser:
    """Add a command with ``--json``; ``text`` is a line, what there is to know, and examples."""
    about, _, examples = (text or "").partition("examples:\n")
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=about.partition(".\n")[0],
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.set_defaults(run=run)
    return parser


def bridge_of(arguments: argparse.Namespace) -> Bridge | None:
    """Return the bridge that ``--bridge`` names; raises ``DataError``. numpy loads only here."""
    if arguments.bridge is None:
        return None
    from ugc_tasks.bridge.restate import read_bridge

    return read_bridge(arguments.bridge)


def add_bridge(parser: argparse.ArgumentParser, *, both: bool = False) -> None:
    """Add ``--bridge``, and with ``both`` what corrects a run's bridged figures."""
    restated = "bridge.json: also state captions' figures on the other judge's scale"
    parser.add_argument("--bridge", type=Path, metavar="FILE", help=restated)
    if both:
        known = "with --bridge: score file of the same captions by the old judge, of some clips"
        parser.add_argument("--both", type=Path, metavar="SCORES", help=known)


def both_of(arguments: argparse.Namespace) -> ScoreFile | None:
    """Return the scores that ``--both`` names; raises ``DataError``."""
    if arguments.both is None:
        return None
    if arguments.bridge is None:
        raise DataError("--both: corrects figures that --bridge restates; name a bridge")
    from ugc_tasks.results.scores import read_scores

    return read_scores(arguments.both)


def add_judge(parser: argparse.ArgumentParser) -> None:
    named = "the judge of files that do not name theirs"
    parser.add_argument("--judge", metavar="NAME", help=named)
