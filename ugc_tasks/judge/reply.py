"""Reading a judge's reply, which is hostile text: it may say whatever the caption told it to.

Accepted is one JSON object or Python dictionary with ``visual``, ``audio`` and ``details``,
anywhere in the text. A value is a whole number from 1 to 5; 4.0 and "4" count as 4, since a judge
means nothing else by them, while 3.5, true and 0 are refused rather than rounded. Nothing is
evaluated.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

DIMENSIONS = ("visual", "audio", "details")

_MAX_CHARS = 32 * 1024
_MAX_OBJECTS = 16
_TWICE = "the reply states a dimension twice"
# All that matters for finding where an object ends: braces, quotes, and escapes inside quotes.
_MARK = re.compile(r"[{}\"']|\\.", re.DOTALL)


@dataclass(frozen=True)
class Scores:
    """Three scores from 1 (worst) to 5: whole numbers from a judge, fractions from an estimate."""

    visual: float
    audio: float
    details: float


@dataclass(frozen=True)
class ChatReply:
    """One answer of the judge as it came, with what the endpoint said about it."""

    text: str
    finish_reason: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class ReplyError(ValueError):
    """The reply holds no usable scores; the message is a short reason without the reply's text."""


def parse_reply(text: str) -> Scores:
    """Return the scores that ``text`` states, or raise ``ReplyError``.

    Several objects with the same scores are fine; objects that disagree, or one good and one out of
    range, are not, because nothing says which of them the judge meant.
    """
    if not text.strip():
        raise ReplyError("the reply is empty")
    if len(text) > _MAX_CHARS:
        raise ReplyError(f"the reply is longer than {_MAX_CHARS} characters")
    found = {_scores(candidate) for candidate in _objects(text)}
    if not found:
        raise ReplyError("the reply has no object with visual, audio and details")
    if len(found) > 1:
        raise ReplyError("the reply has several objects with different scores")
    return found.pop()


def _scores(candidate: dict[object, object]) -> Scores:
    visual, audio, details = (_score(name, candidate[name]) for name in DIMENSIONS)
    return Scores(visual, audio, details)


def _score(name: str, value: object) -> int:
    if isinstance(value, str) and value in {"1", "2", "3", "4", "5"}:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value in range(1, 6):
        return int(value)
    raise ReplyError(f"{name} is not a whole number from 1 to 5")


def _objects(text: str) -> Iterator[dict[object, object]]:
    """Yield every object of the text that has all three dimensions, outermost first."""
    start = text.find("{")
    seen = 0
    while start >= 0:
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ReplyError(f"the reply has more than {_MAX_OBJECTS} opening braces")
        end = _closing(text, start)
        value = _read(text[start:end]) if end is not None else None
        if value is not None and end is not None and all(name in value for name in DIMENSIONS):
            yield value
            start = text.find("{", end)
        else:  # prose, or a wrapper: the scores may be an object inside it
            start = text.find("{", start + 1)


def _closing(text: str, start: int) -> int | None:
    """Return the index after the brace that closes the one at ``start``, None if there is none.

    Linear in the text: a reply made of quotes and backslashes must not cost more than another.
    """
    depth, quote = 0, ""
    for match in _MARK.finditer(text, start):
        mark = match.group()
        if quote:
            quote = "" if mark == quote else quote
        elif mark in ('"', "'"):
            quote = mark
        elif mark in "{}":
            depth += 1 if mark == "{" else -1
            if depth == 0:
                return match.end()
    return None


def _read(source: str) -> dict[object, object] | None:
    """Return the JSON object or Python dictionary ``source``, None if it is neither."""
    try:
        value = json.loads(source, object_pairs_hook=_without_repeats)
    except ReplyError:
        raise
    except (ValueError, RecursionError):
        value = _read_python(source)
    return value if isinstance(value, dict) else None


def _read_python(source: str) -> object:
    try:
        tree = ast.parse(source, mode="eval")
        value = ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(tree.body, ast.Dict):  # a repeated key would silently be the last one
        names = [key.value for key in tree.body.keys if isinstance(key, ast.Constant)]
        if any(names.count(name) > 1 for name in DIMENSIONS):
            raise ReplyError(_TWICE)
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in DIMENSIONS):
        raise ReplyError(_TWICE)
    return dict(pairs)
