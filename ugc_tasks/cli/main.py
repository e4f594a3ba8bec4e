"""The console script ``ugc-videocap``: arguments in, one call, text or JSON out.

Exit status: 0 all was done, 3 a part of it, 1 a judge that is not fit, 2 the input or the
environment cannot be used (one sentence on stderr says what, where, and what to do), 130
interrupted. A fault of this package ends with its traceback and status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from ugc_tasks.cli import (
    BAD_INPUT,
    INTERRUPTED,
    bridge,
    bundles,
    compare,
    export,
    judge_check,
    judgments,
    prepare,
    report,
    score,
    show,
    summarize,
)
from ugc_tasks.common.display import UserError, complain, say, traceback_lines


def main(argv: Sequence[str] | None = None) -> int:
    _make_streams_usable()
    try:
        if cast("TextIO | None", sys.stdout) is None:
            raise UserError("stdout is closed: give the output a place, such as > FILE")
        parser = _Parser(
            prog="ugc-videocap",
            description="The UGC-VideoCap benchmark without lmms-eval's start-up.",
        )
        subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
        at_runs = (score, summarize, compare, show, report)
        for command in (*at_runs, bridge, bundles, export, prepare, judge_check, judgments):
            command.add_parsers(subparsers)
        arguments = parser.parse_args(argv)
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return INTERRUPTED  # the reader of stdout has gone
    except UserError as error:
        complain(f"ugc-videocap: {error}")
        return BAD_INPUT
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        said = error.strerror or str(error) or type(error).__name__
        complain(f"ugc-videocap: {where}{said}: correct that and run again")
        return BAD_INPUT
    except Exception:
        # What an error says may be foreign, too.
        sys.excepthook = lambda _kind, error, _trace: complain(*traceback_lines(error))
        raise
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            _let_go(stream)


def _make_streams_usable() -> None:
    """See that nothing else gets the number of a stream, and that any text can be printed.

    A closed descriptor is opened on the null device: else the next file that is opened (a store of
    judgments) would take its number and get what is printed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Only ours: libraries have handlers of their own, and everything would appear twice.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("ugc_tasks").handlers = [handler]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # what it warns of comes as our sentence


def _let_go(stream: TextIO) -> None:
    """Flush ``stream``, to the null device where that fails: Python would complain again."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), stream.fileno())
            stream.flush()


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself would be silent where that cannot be done."""
        say(*self.format_help().splitlines(), file=file)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        complain(f"{self.prog}: error: {message}")
        self.exit(BAD_INPUT)


if __name__ == "__main__":
    sys.exit(main())
