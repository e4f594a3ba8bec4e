"""The console script ``ugc-videocap``: arguments in, one call, text or JSON out.

Exit status: 0 all was done, 3 a part of it, 1 a judge that is not fit, 2 the input cannot be used
(one sentence on stderr says what, where, and what to do), 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ugc_tasks import (
    judge_check_command,
    score_command,
    summarize_command,
)
from ugc_tasks.data import prepare_command
from ugc_tasks.display import UserError, complain

BAD_INPUT, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names (default: the process's arguments)."""
    _log_to_stderr()
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except UserError as error:
        complain(f"ugc-videocap: {error}")
        return BAD_INPUT


def _log_to_stderr() -> None:
    # Ours alone: libraries have handlers of their own and would say everything twice.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("ugc_tasks")
    ours.handlers = [handler]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ugc-videocap", description="The UGC-VideoCap benchmark without lmms-eval's start-up."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    score_command.add_parsers(subparsers)
    summarize_command.add_parsers(subparsers)
    prepare_command.add_parsers(subparsers)
    judge_check_command.add_parsers(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
