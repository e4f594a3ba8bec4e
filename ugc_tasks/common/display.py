"""Showing foreign text: captions, ids, file names, other programs' errors.

Such text can hold escape sequences, marks that turn the writing direction, characters without width
and line breaks, and so forge what a terminal shows. Everything that is printed goes through ``say``
or ``say_json``, what is logged through ``logger``, and the errors meant for the user are
``UserError``; a test holds the package to that.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

_LINE_LIMIT = 4_000  # of a whole printed line or sentence, which may name several texts
_NAME_LIMIT = 80
_SPACES = re.compile(r"\s+")
# Letters and marks that show nothing, though str.isprintable takes them for printable.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def shown(text: object, limit: int = 500) -> str:
    """Return ``str(text)`` as one line of at most ``limit`` characters that is safe to show.

    White space of any kind and length becomes one space. What is not printable or has no width is
    written as its escape (``\\x1b``, ``\\u202e``); a longer text ends in ``…``.
    """
    return shown_line(_SPACES.sub(" ", str(text).strip()), limit)


def shown_line(text: str, limit: int = _LINE_LIMIT) -> str:
    """Return a line of ours as ``shown`` does, but with the spaces that align its columns."""
    line = _SPACES.sub(lambda run: run[0] if run[0].isprintable() else " ", text[:limit])
    if not line.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    line = _BLANK.sub(lambda blank: ascii(blank[0])[1:-1], line)
    return line if len(line) <= limit and len(text) <= limit else line[: limit - 1] + "…"


def listed(names: Iterable[object], most: int = 5) -> str:
    """Return the first names with commas between them, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(shown(name, _NAME_LIMIT) for name in every[:most]) + more


def storable(text: str) -> str:
    """Return ``text`` with ``?`` for lone surrogates: JSON can spell them, a file cannot."""
    return text.encode("utf-8", "replace").decode()


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print each of ``lines`` as one line; ``UserError`` where they cannot be written."""
    if lines:
        _print("\n".join(map(shown_line, lines)), file or sys.stdout)


def complain(*lines: str) -> None:
    """Print each of ``lines`` as one line on stderr, if that takes them."""
    if sys.stderr is not None:
        with suppress(UserError, BrokenPipeError):
            say(*lines, file=sys.stderr)


def say_json(value: Any) -> None:
    """Print ``value`` as JSON in plain ASCII on stdout; ``ValueError`` for infinity and NaN."""
    _print(json.dumps(value, indent=1, allow_nan=False), sys.stdout)


def _print(text: str, file: TextIO) -> None:
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(
            f"the output cannot be written ({error.strerror}): name another place for it, or make "
            "room, and run the same command again"
        ) from None


def logger(name: str) -> logging.Logger:
    """Return the logger ``name``, whose messages are harmless whatever handler shows them."""
    found = logging.getLogger(name)
    if _make_harmless not in found.filters:
        found.addFilter(_make_harmless)
    return found


def _make_harmless(record: logging.LogRecord) -> bool:
    record.msg, record.args = shown_line(record.getMessage()), ()
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = "\n".join(traceback_lines(record.exc_info[1]))  # what handlers print
    return True


def harmless_record(record: Any) -> None:
    record["message"] = shown_line(record["message"])


def traceback_lines(error: BaseException) -> list[str]:
    text = "".join(traceback.format_exception(error))
    return [shown_line(line) for line in text.splitlines()]


class UserError(Exception):
    """An error that the user can correct: one sentence says what is wrong, where, what to do."""

    def __init__(self, sentence: object) -> None:
        super().__init__(shown(sentence, _LINE_LIMIT))
