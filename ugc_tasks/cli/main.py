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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TextIO, cast

from ugc_tasks.cli import judge_check, prepare, score, summarize
from ugc_tasks.cli.command import BAD_INPUT, INTERRUPTED
from ugc_tasks.common.display import UserError, complain, say, traceback_lines

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names (default: the process's arguments)."""
    with _usable_streams() as has_stdout:
        if not has_stdout:
            complain("ugc-videocap: stdout is closed: give the output a place, such as > FILE")
            return BAD_INPUT
        _log_to_stderr()
        try:
            arguments = _parser().parse_args(argv)
            return int(arguments.run(arguments))
        except KeyboardInterrupt:
            complain("interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            return INTERRUPTED  # the reader of stdout has gone
        except UserError as error:
            complain(f"ugc-videocap: {error}")
            return BAD_INPUT
        except Exception as error:
            sentence = _environment_fault(error, os.environ)
            if sentence is None:
                sys.excepthook = _show_traceback  # what an error says may be foreign, too
                raise
            complain(f"ugc-videocap: {sentence}")
            return BAD_INPUT
        finally:
            _let_go(sys.stdout)


def _environment_fault(error: Exception, environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with the machine or its settings; None for any other error."""
    if not isinstance(error, OSError | ValueError | ImportError):
        return None
    if "proxy" in str(error).lower() or "socks" in str(error).lower():
        named = [n for name in _PROXIES for n in (name, name.lower()) if environ.get(n)]
        if named:
            return (
                f"the proxy in {' or '.join(named)} cannot be used here: name one that begins with "
                "http:// or https://, or unset it"
            )
    if not isinstance(error, OSError):
        return None
    if error.filename is None:
        for name in _CERTIFICATES:
            path = environ.get(name, "")
            if path and not Path(path).exists():
                return f"{name} names {path!r}, which is not there: correct or unset it"
    where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error or type(error).__name__}: correct that and run again"


@contextlib.contextmanager
def _usable_streams() -> Iterator[bool]:
    """Make the standard streams usable, and yield whether there is a stdout.

    A closed descriptor is opened on the null device: else the next file that is opened (a store of
    judgments) would take its number and get what is printed. What a stream's encoding cannot
    express is escaped. What cannot be written to stderr is dropped; exit status and stdout stand.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with contextlib.ExitStack() as stack:
        stderr: TextIO | None = sys.stderr
        if stderr is None:
            stderr = stack.enter_context(os.fdopen(2, "w", encoding="utf-8", closefd=False))
        stack.enter_context(contextlib.redirect_stderr(cast("TextIO", _Forgiving(stderr))))
        yield cast("TextIO | None", sys.stdout) is not None


class _Forgiving:
    """Stderr that drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if that can be done."""
        try:
            self._stream.flush()
        except OSError:
            _let_go(self._stream)

    def __getattr__(self, name: str) -> Any:
        """Return what else the stream has."""
        return getattr(self._stream, name)


def _let_go(stream: TextIO) -> None:
    """Flush ``stream``; where that fails, point it at the null device.

    Python would complain again of what is left in its buffer, with a status of its own.
    """
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def _log_to_stderr() -> None:
    # Only ours: libraries have handlers of their own, and everything would appear twice.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("ugc_tasks")
    ours.handlers = [handler]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # what it warns of comes as our sentence


def _show_traceback(
    _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    complain(*traceback_lines(error))


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself would be silent where that cannot be done."""
        say(*self.format_help().splitlines(), file=file)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, which may come from file names, and exit with 2."""
        self.print_usage(sys.stderr)
        complain(f"{self.prog}: error: {message}")
        self.exit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ugc-videocap", description="The UGC-VideoCap benchmark without lmms-eval's start-up."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (score, summarize, prepare, judge_check):
        command.add_parsers(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
