"""Reading the scores in a judge's reply, which is hostile text: a caption may have dictated it.

The rule. Every object in the text counts that has all values asked for, written as JSON, as a
Python dictionary or nearly so (see ``read_object``), fenced or not, with any prose around it. An
object inside another counts where the outer one lacks a value; text inside a string never does,
since it may be the caption that is quoted. The objects that count have to agree:

==============================================  =================================================
an integer, 4.0, "4"                            the grade 4
3.5, 6, 0, -4, true, null, NaN, "four", "4/5"   a failure: nothing is rounded, cut or guessed
a value that is missing                         the object does not count; a failure if none does
values beside those asked for                   passed over
a value stated twice in one object              a failure, also where both are the same
several objects with the same scores            those scores
several that differ, or one of them off scale   a failure: nothing says which was meant
one that states only a part, differently        a failure, for the same reason
==============================================  =================================================

A judge may think aloud first: what stands between ``<think>`` at the beginning of the text and the
first ``</think>`` is not read. Where the opening mark is in the prompt and so not in the reply,
what precedes ``</think>`` is not read either. But if it has an object with other scores, that is a
failure: it may be the answer of a judge that quotes a caption afterwards.

A reply that was cut by its token limit counts if its object is complete. One in which the judge
declines does not count, whatever is in it. Failures are asked again. Other questions than captions
have other kinds of values (``KINDS``), each with a rule of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from ugc_tasks.judge.types import ChatReply, Scores

_MAX_CHARS = 32 * 1024
_MAX_OBJECTS = 16
_SHOWN = 120  # characters of a refusal
_OPENED = re.compile(r"\s*(?:<(think|thinking|thought|reasoning)>|\[(think)\])", re.IGNORECASE)
_CLOSED = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/think\]", re.IGNORECASE)
_STOPPED = {
    "length": "the reply was cut by its token limit",
    "max_tokens": "the reply was cut by its token limit",
    "content_filter": "the reply was stopped by a content filter",
}
_DIFFERENT = "the reply has several objects with different scores"


_GRADES = range(1, 6)
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
_RATIO = re.compile(r"([0-9]{1,4}) ?/ ?([0-9]{1,4})")
_YES_NO = {"yes": 1.0, "no": 0.0}


class ReplyError(ValueError):
    """The reply holds no usable scores; the message is a short reason without the reply's text."""


# ---- what is asked for ----


@dataclass(frozen=True)
class ValueKind:
    """A kind of value.

    Attributes:
        meaning: what the value has to be, in words that follow "is not".
        read: returns the number that a stated value means, None where it means none.
        on_scale: tells whether a number is one that ``read`` can return.
    """

    meaning: str
    read: Callable[[object], float | None]
    on_scale: Callable[[float], bool]


@dataclass(frozen=True)
class ResponseSchema:
    """The values of a judge's reply by name, each with its kind."""

    fields: Mapping[str, ValueKind]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values, in order."""
        return tuple(self.fields)

    def accepts(self, values: object) -> TypeGuard[Mapping[str, int | float]]:
        """Tell whether these are numbers under exactly these names and on their scales.

        For values that were read before and come back from a file, which anybody can change.
        """
        return (
            isinstance(values, Mapping)
            and values.keys() == self.fields.keys()
            and all(_is_number(v) and self.fields[name].on_scale(v) for name, v in values.items())
        )

    def only(self, *names: str) -> ResponseSchema:
        """Return the schema with these values alone; what else a reply states is passed over."""
        return ResponseSchema({name: self.fields[name] for name in names})


def _read_grade(value: object) -> float | None:
    """A whole number from 1 to 5; 4.0 and "4" are 4, which is all that they can mean."""
    if isinstance(value, str) and value in {"1", "2", "3", "4", "5"}:
        return int(value)
    return int(value) if _is_number(value) and value in _GRADES else None


def _read_yes_no(value: object) -> float | None:
    """Yes (1) or no (0) in any letter case; a bare true or false is not the word asked for."""
    return _YES_NO.get(value.strip().casefold()) if isinstance(value, str) else None


def _read_fraction(value: object) -> float | None:
    """A number from 0 to 1, also as text: "0.67", or "2/3" as the prompts themselves put it."""
    if isinstance(value, str):
        text = value.strip()
        if ratio := _RATIO.fullmatch(text):
            part, whole = int(ratio[1]), int(ratio[2])
            return part / whole if part <= whole and whole else None
        return _read_fraction(float(text)) if _DECIMAL.fullmatch(text) else None
    # The comparison also refuses NaN; adding zero makes -0.0 an ordinary 0.0.
    return float(value) + 0.0 if _is_number(value) and 0 <= value <= 1 else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


GRADE = ValueKind("a whole number from 1 to 5", _read_grade, _GRADES.__contains__)
YES_NO = ValueKind('"yes" or "no"', _read_yes_no, {0.0, 1.0}.__contains__)
FRACTION = ValueKind("a fraction from 0 to 1", _read_fraction, lambda value: 0 <= value <= 1)

KINDS: Mapping[str, ValueKind] = MappingProxyType(
    {"grade": GRADE, "yes_no": YES_NO, "fraction": FRACTION}
)
"""The kinds by the names that profile files use."""

DIMENSIONS = ("visual", "audio", "details")
"""The values of a caption's judgment."""

CAPTION_SCHEMA = ResponseSchema(dict.fromkeys(DIMENSIONS, GRADE))


# ---- a reply ----


def read_reply(reply: ChatReply, schema: ResponseSchema = CAPTION_SCHEMA) -> Scores:
    """Return the scores of ``schema`` that a judge's reply states, or raise ``ReplyError``."""
    if reply.lacks is not None:
        said = " ".join(reply.text.split())
        said = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        raise ReplyError(f"{reply.lacks}: {said}" if said else reply.lacks)
    try:
        return parse_reply(reply.text, schema)
    except ReplyError as error:
        why = _STOPPED.get(reply.finish_reason or "")
        raise ReplyError(f"{why} ({error})" if why else str(error)) from None


def parse_reply(text: str, schema: ResponseSchema = CAPTION_SCHEMA) -> Scores:
    """Return the scores of ``schema`` that ``text`` states, or raise ``ReplyError``.

    Takes time linear in the text, which may have 32,768 characters and 16 opening braces, not
    counting what the judge thinks aloud before it.
    """
    thought, answer = _without_thinking(text)
    if not answer.strip():
        raise ReplyError("the reply is empty")
    if len(answer) > _MAX_CHARS:
        raise ReplyError(f"the reply is longer than {_MAX_CHARS} characters")
    scores = _scores(answer, schema)
    if scores is None and thought:  # the closing mark is in an object's text
        scores, thought = _scores(text, schema), ""
    if scores is None:
        raise ReplyError(f"the reply has no object with {_listed(schema.names)}")
    if thought and _scores(thought, schema) not in (None, scores):
        raise ReplyError(_DIFFERENT)
    return scores


def _without_thinking(text: str) -> tuple[str, str]:
    """Return what may or may not have been thought aloud, and the answer."""
    opened, closed = _OPENED.match(text), _CLOSED.search(text)
    if opened and not closed:
        raise ReplyError("the reply ends while the judge thinks")
    if not closed:
        return "", text
    return "" if opened else text[: closed.start()], text[closed.end() :]


def _scores(text: str, schema: ResponseSchema) -> Scores | None:
    """Return what the objects in ``text`` that have all values agree on; None without any."""
    whole: list[dict[str, float]] = []
    partial: list[dict[str, float]] = []
    for candidate in _objects(text, schema):
        values = _values(candidate, schema)
        (whole if len(values) == len(schema.names) else partial).append(values)
    if not whole:
        return None
    if any(whole[0][name] != value for values in whole + partial for name, value in values.items()):
        raise ReplyError(_DIFFERENT)
    return Scores(**whole[0])


def _objects(text: str, schema: ResponseSchema) -> Iterator[Object]:
    """Yield the text's objects, outermost first; not those inside one that has all values."""
    start = text.find("{")
    seen = 0
    while start >= 0:
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ReplyError(f"the reply has more than {_MAX_OBJECTS} opening braces")
        read = read_object(text, start)
        if read is None:  # prose in braces: an object may be inside it
            start = text.find("{", start + 1)
            continue
        outermost, end = read
        left = [outermost]
        while left:
            candidate = left.pop(0)
            yield candidate
            if not set(schema.names) <= {name for name, _ in candidate.pairs}:
                left += candidate.objects()
        start = text.find("{", end)


def _values(candidate: Object, schema: ResponseSchema) -> dict[str, float]:
    """Return the values asked for that an object states; raises ``ReplyError``."""
    values: dict[str, float] = {}
    for name, stated in candidate.pairs:
        kind = schema.fields.get(name)
        if kind is None:
            continue
        value = kind.read(stated)
        if name in values:
            raise ReplyError("the reply states a value twice")
        if value is None:
            raise ReplyError(f"{name} is not {kind.meaning}")
        values[name] = value
    return values


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# ---- lenient JSON ----

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
    """Return the object that begins at ``start`` (a brace) and the index after it, None for none.

    It is lenient JSON: what judges write between JSON and Python's dictionaries. Read are strings
    in single or double quotes, decimal numbers, ``true``, ``false``, ``null``, ``NaN``,
    ``Infinity`` and their Python names, lists, tuples, and objects with strings for keys. More than
    the two languages allow: a comma after the last item, line breaks in strings, and quotes inside
    a string that were not escaped, since a quote ends its string only where punctuation follows.
    Anything else (names, calls, sums, sets) is no value, and what has it in it is no object.

    Nothing is evaluated. Takes time linear in the rest of the text, and never raises.
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
