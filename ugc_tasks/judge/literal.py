"""Objects in hostile text: JSON, Python dictionaries, and what judges write between the two.

One pass, bounded depth, nothing evaluated. Read are strings in single or double quotes, decimal
numbers, ``true``, ``false``, ``null``, ``NaN``, ``Infinity`` and their Python names, lists, tuples
and objects with strings for keys. More than the two languages allow: a comma after the last item,
line breaks in strings, and quotes inside a string that were not escaped, since a quote ends its
string only where punctuation follows. Anything else (names, calls, sums, sets) is no value, and
what has it in it is no object.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_DEEPEST = 24
_LONGEST_NUMBER = 400
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"-?[A-Za-z]+")
_AFTER_VALUE = re.compile(r"\s*(?:[,}\])]|$)")
_AFTER_STRING = re.compile(r"\s*(?:[,:}\])]|$)")
_PAIR = r"(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\{_PAIR}|u[0-9a-fA-F]{{4}}|x[0-9a-fA-F]{{2}}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\n": ""}
_STRINGS = {quote: re.compile(rf"[^\\{quote}]*(?:\\.[^\\{quote}]*)*", re.DOTALL) for quote in "'\""}
_WORDS: dict[str, object] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
    "NaN": math.nan, "nan": math.nan, "-nan": math.nan, "-NaN": math.nan,
    "Infinity": math.inf, "inf": math.inf, "-Infinity": -math.inf, "-inf": -math.inf,
}  # fmt: skip


class Huge:
    """A number with too many digits to be any value of ours; equal to nothing."""


@dataclass(frozen=True)
class Object:
    """An object as it was written: its pairs in order, keys that occur twice included."""

    pairs: tuple[tuple[str, object], ...]

    def objects(self) -> list[Object]:
        """Return the objects among its values, lists looked through, in order."""
        found: list[Object] = []
        left: list[object] = [value for _, value in reversed(self.pairs)]
        while left:
            value = left.pop()
            if isinstance(value, Object):
                found.append(value)
            elif isinstance(value, list):
                left.extend(reversed(value))
        return found


class _NoValueError(Exception):
    pass


def read_object(text: str, start: int) -> tuple[Object, int] | None:
    """Return the object that begins at ``start`` (a brace) and the index after it; None for none.

    Takes time linear in the rest of the text, and never raises.
    """
    try:
        return _object(text, start, 1)
    except _NoValueError:
        return None


def _object(text: str, start: int, depth: int) -> tuple[Object, int]:
    if depth > _DEEPEST:
        raise _NoValueError
    pairs: list[tuple[str, object]] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] not in _STRINGS:
            raise _NoValueError
        name, at = _string(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise _NoValueError
        value, at = _value(text, _skip(text, at + 1), depth)
        pairs.append((name, value))
        at = _next_item(text, at, "}")
    return Object(tuple(pairs)), at + 1


def _list(text: str, start: int, depth: int) -> tuple[list[object], int]:
    if depth > _DEEPEST:
        raise _NoValueError
    end = "]" if text[start] == "[" else ")"
    values: list[object] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != end:
        value, at = _value(text, at, depth)
        values.append(value)
        at = _next_item(text, at, end)
    return values, at + 1


def _next_item(text: str, at: int, end: str) -> int:
    """Return where the next item begins, or the end of the list or object is."""
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != end:
        raise _NoValueError
    return at


def _value(text: str, at: int, depth: int) -> tuple[object, int]:
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at, depth + 1)
    if first and first in "[(":
        return _list(text, at, depth + 1)
    if first in _STRINGS:
        return _string(text, at)
    if number := _NUMBER.match(text, at):
        value, end = _number(number.group()), number.end()
    elif (word := _WORD.match(text, at)) and word.group() in _WORDS:
        value, end = _WORDS[word.group()], word.end()
    else:
        raise _NoValueError
    if not _AFTER_VALUE.match(text, end):  # 2+2, 2/3, 4j, 1_000: not the number that it begins with
        raise _NoValueError
    return value, end


def _number(text: str) -> object:
    if len(text) > _LONGEST_NUMBER:
        return Huge()
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _string(text: str, start: int) -> tuple[str, int]:
    quote, at = text[start], start + 1
    while True:
        run = _STRINGS[quote].match(text, at)
        at = run.end() if run else at
        if at >= len(text) or text[at] != quote:  # the text ends, perhaps after a backslash
            raise _NoValueError
        at += 1
        if _AFTER_STRING.match(text, at):
            return _unescaped(text[start + 1 : at - 1]), at


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_escape, text) if "\\" in text else text


def _escape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 5:  # two halves of one character
        high, low = int(code[1:5], 16), int(code[7:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code if code in "\\'\"/" else match.group())


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
