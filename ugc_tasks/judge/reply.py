"""Reading a judge's reply, which is hostile text: it may say whatever the caption told it to.

Accepted is one JSON object or Python dictionary with all values of the form asked for
(``forms.py``), anywhere in the text. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ugc_tasks.judge.forms import CAPTION, DIMENSIONS, Form
from ugc_tasks.judge.scores import Scores

__all__ = ["DIMENSIONS", "ChatReply", "ReplyError", "Scores", "parse_reply"]

_MAX_CHARS = 32 * 1024
_MAX_OBJECTS = 16
# All that matters for finding where an object ends: braces, quotes, and escapes inside quotes.
_MARK = re.compile(r"[{}\"']|\\.", re.DOTALL)


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


def parse_reply(text: str, form: Form = CAPTION) -> Scores:
    """Return the scores of ``form`` that ``text`` states, or raise ``ReplyError``.

    Values beside those of the form are passed over. Several objects with the same scores are fine;
    objects that disagree, or one good and one out of range, are not, because nothing says which of
    them the judge meant.
    """
    if not text.strip():
        raise ReplyError("the reply is empty")
    if len(text) > _MAX_CHARS:
        raise ReplyError(f"the reply is longer than {_MAX_CHARS} characters")
    found = {_scores(candidate, form) for candidate in _objects(text, form)}
    if not found:
        raise ReplyError(f"the reply has no object with {_listed(form.names)}")
    if len(found) > 1:
        raise ReplyError("the reply has several objects with different scores")
    return found.pop()


def _scores(candidate: dict[object, object], form: Form) -> Scores:
    values: dict[str, float] = {}
    for name, kind in form.fields.items():
        value = kind.read(candidate[name])
        if value is None:
            raise ReplyError(f"{name} is not {kind.meaning}")
        values[name] = value
    return Scores(**values)


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _objects(text: str, form: Form) -> Iterator[dict[object, object]]:
    """Yield every object of the text that has all values of the form, outermost first."""
    start = text.find("{")
    seen = 0
    while start >= 0:
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ReplyError(f"the reply has more than {_MAX_OBJECTS} opening braces")
        end = _closing(text, start)
        value = _read(text[start:end], form) if end is not None else None
        if value is not None and end is not None and all(name in value for name in form.names):
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


def _read(source: str, form: Form) -> dict[object, object] | None:
    """Return the JSON object or Python dictionary ``source``, None if it is neither."""

    def checked(pairs: list[tuple[str, object]]) -> dict[str, object]:
        _refuse_repeats((name for name, _ in pairs), form)
        return dict(pairs)

    try:
        value = json.loads(source, object_pairs_hook=checked)
    except ReplyError:
        raise
    except (ValueError, RecursionError):
        value = _read_python(source, form)
    return value if isinstance(value, dict) else None


def _read_python(source: str, form: Form) -> object:
    try:
        tree = ast.parse(source, mode="eval")
        value = ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(tree.body, ast.Dict):
        _refuse_repeats((k.value for k in tree.body.keys if isinstance(k, ast.Constant)), form)
    return value


def _refuse_repeats(names: Iterable[object], form: Form) -> None:
    """Raise ``ReplyError`` for a value stated twice: it would silently be the last one."""
    seen = [name for name in names if name in form.fields]
    if len(seen) != len(set(seen)):
        raise ReplyError("the reply states a value twice")
