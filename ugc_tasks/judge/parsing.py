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

A reply that was cut by its token limit counts if its object is complete; if not, that is a failure
of its own (``ReplyCut``). One in which the judge declines does not count, whatever is in it.
Failures are asked again. Other questions than captions have other kinds of values, each with a rule
of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeGuard

from ugc_tasks.judge.types import ChatReply, Scores

_MAX_CHARS = 32 * 1024
_MAX_OBJECTS = 16
_SHOWN = 120  # characters of a refusal
_OPENED = re.compile(r"\s*(?:<(think|thinking|thought|reasoning)>|\[(think)\])", re.IGNORECASE)
_CLOSED = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/think\]", re.IGNORECASE)
_CUT = {"length", "max_tokens"}
_MODERATED = {"content_filter": "the reply was stopped by a content filter"}
_MORE_ROOM = "a larger max_completion_tokens or less reasoning_effort in the profile gives it room"
_DIFFERENT = "the reply has several objects with different scores"
_LARGEST = 100  # number of a scale
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
_RATIO = re.compile(r"([0-9]{1,4}) ?/ ?([0-9]{1,4})")
_YES_NO = {"yes": 1.0, "no": 0.0}


Object = tuple[tuple[str, object], ...]
"""An object as it was written: its pairs in order, keys that occur twice included."""


class ReplyError(ValueError):
    """The reply holds no usable scores; the message is a short reason without the reply's text."""


class ReplyCut(ReplyError):
    """The reply ended at its token limit, before its scores."""


# ---- what is asked for ----


@dataclass(frozen=True)
class ValueKind:
    """A kind of value: ``meaning`` says what it has to be, in words that follow "is not"."""

    meaning: str
    read: Callable[[object], float | None]  # the number that a stated value means, if it means one
    on_scale: Callable[[float], bool]  # whether a number is one that ``read`` can return
    lowest: int = 0
    highest: int = 1
    json: Mapping[str, object] = field(default_factory=dict)  # its JSON schema

    @property
    def points(self) -> float:
        """How many points of a figure, which goes up to 100, one of the judge's is."""
        return 100 / self.highest


@dataclass(frozen=True)
class ResponseSchema:
    """The values of a judge's reply by name, each with its kind."""

    fields: Mapping[str, ValueKind]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values, in order."""
        return tuple(self.fields)

    def accepts(self, values: object) -> TypeGuard[Mapping[str, int | float]]:
        """Tell whether values, back from a file, are numbers of these names and on their scales."""
        return (
            isinstance(values, Mapping)
            and values.keys() == self.fields.keys()
            and all(_is_number(v) and self.fields[name].on_scale(v) for name, v in values.items())
        )

    def only(self, *names: str) -> ResponseSchema:
        """Return the schema with these values alone; what else a reply states is passed over."""
        return ResponseSchema({name: self.fields[name] for name in names})


def whole_number(lowest: int, highest: int) -> ValueKind:
    """Return the kind of whole numbers from ``lowest`` to ``highest``."""
    allowed = range(lowest, highest + 1)
    texts = set(map(str, allowed))

    def read(value: object) -> float | None:
        if isinstance(value, str) and value in texts:
            return int(value)
        return int(value) if _is_number(value) and value in allowed else None

    meaning = f"a whole number from {lowest} to {highest}"
    schema = {"type": "integer", "enum": list(allowed)}
    return ValueKind(meaning, read, allowed.__contains__, lowest, highest, schema)


def _read_fraction(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if ratio := _RATIO.fullmatch(text):  # as the prompts themselves put it
            part, whole = int(ratio[1]), int(ratio[2])
            return part / whole if part <= whole and whole else None
        return _read_fraction(float(text)) if _DECIMAL.fullmatch(text) else None
    # The comparison also refuses NaN; adding zero makes -0.0 an ordinary 0.0.
    return float(value) + 0.0 if _is_number(value) and 0 <= value <= 1 else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


GRADE = whole_number(1, 5)
YES_NO = ValueKind(
    '"yes" or "no"',
    lambda value: _YES_NO.get(str(value).strip().casefold()),
    {0.0, 1.0}.__contains__,
    json={"type": "string", "enum": ["yes", "no"]},
)
FRACTION = ValueKind(
    "a fraction from 0 to 1",
    _read_fraction,
    lambda value: 0 <= value <= 1,
    json={"type": "number"},
)


def kind_of(spec: object) -> ValueKind:
    """Return the kind that a profile names: ``grade``, ``yes_no``, ``fraction``, or a table of
    ``from`` and ``to``, whole numbers. Raises ``ValueError`` in words that follow the value's name.
    """
    named = {"grade": GRADE, "yes_no": YES_NO, "fraction": FRACTION}
    if isinstance(spec, str) and spec in named:
        return named[spec]
    if isinstance(spec, Mapping) and spec.keys() == {"from", "to"}:
        low, high = spec["from"], spec["to"]
        if type(low) is int and type(high) is int and 0 <= low < high <= _LARGEST:
            return whole_number(low, high)
    raise ValueError(
        f'is to be "grade", "yes_no", "fraction", or {{ from = 1, to = 10 }} with whole numbers '
        f"from 0 to {_LARGEST}"
    )


def schema_of(scale: Mapping[str, object]) -> ResponseSchema:
    """Return the schema of values by name, each a kind as ``kind_of`` has it."""
    return ResponseSchema({name: kind_of(spec) for name, spec in scale.items()})


DIMENSIONS = ("visual", "audio", "details")
"""The values of a caption's judgment."""

CAPTION_SCHEMA = ResponseSchema(dict.fromkeys(DIMENSIONS, GRADE))


# ---- a reply ----


def read_reply(reply: ChatReply, schema: ResponseSchema = CAPTION_SCHEMA) -> Scores:
    """Return the scores of ``schema`` that a judge's reply states, or raise ``ReplyError``."""
    cut = reply.finish_reason in _CUT
    if cut and not reply.text.strip():
        raise ReplyCut(_cut(reply, "it has no text"))
    if reply.lacks is not None:
        said = " ".join(reply.text.split())
        said = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        raise ReplyError(f"{reply.lacks}: {said}" if said else reply.lacks)
    try:
        return parse_reply(reply.text, schema)
    except ReplyError as error:
        if cut:
            raise ReplyCut(_cut(reply, str(error))) from None
        why = _MODERATED.get(reply.finish_reason or "")
        raise ReplyError(f"{why} ({error})" if why else str(error)) from None


def _cut(reply: ChatReply, why: str) -> str:
    tokens, thought = reply.completion_tokens, reply.reasoning_tokens
    spent = "" if tokens is None else f" after {tokens} tokens"
    spent += f", {thought} of them thinking" if spent and thought else ""
    return f"the reply was cut by its token limit{spent} ({why}); {_MORE_ROOM}"


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
        *others, last = schema.names
        names = f"{', '.join(others)} and {last}" if others else last
        raise ReplyError(f"the reply has no object with {names}")
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
    stated = [_values(candidate, schema) for candidate in _objects(text, schema)]
    whole = next((values for values in stated if len(values) == len(schema.names)), None)
    if whole is None:
        return None
    if any(whole[name] != value for values in stated for name, value in values.items()):
        raise ReplyError(_DIFFERENT)
    return Scores(**whole)


def _objects(text: str, schema: ResponseSchema) -> Iterator[Object]:
    """Yield the text's objects, outermost first; not those inside one that has all values."""
    start, seen = text.find("{"), 0
    while start >= 0:
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ReplyError(f"the reply has more than {_MAX_OBJECTS} opening braces")
        # Where there is none, it is prose in braces: an object may be inside it.
        outermost, end = read_object(text, start) or (None, start + 1)
        left: list[object] = [outermost]
        while left:
            value = left.pop(0)
            if isinstance(value, tuple):
                yield value
                if not set(schema.names) <= {name for name, _ in value}:
                    left += [inner for _, inner in value]
            elif isinstance(value, list):
                left += value
        start = text.find("{", end)


def _values(candidate: Object, schema: ResponseSchema) -> dict[str, float]:
    """Return the values asked for that an object states; raises ``ReplyError``."""
    values: dict[str, float] = {}
    for name, stated in candidate:
        if (kind := schema.fields.get(name)) is None:
            continue
        if name in values:
            raise ReplyError("the reply states a value twice")
        if (value := kind.read(stated)) is None:
            raise ReplyError(f"{name} is not {kind.meaning}")
        values[name] = value
    return values


# ---- lenient JSON ----

_DEEPEST = 24
_LONGEST_INTEGER = 400  # digits; Python refuses to read 4,301
_CLOSING = {"{": "}", "[": "]", "(": ")"}
_WORDS = {
    "true": "true", "false": "false", "null": "null", "none": "null", "nan": "NaN",
    "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity",
}  # fmt: skip
# A quote ends its string only where punctuation follows: judges forget to escape others.
_STRING = r"{0}(?:[^{0}\\]++|\\.|{0}(?!\s*[,:}})\]]))*+{0}"
_PIECE = re.compile(
    rf"\s*(?:(?P<string>{_STRING.format(chr(34))}|{_STRING.format(chr(39))})"
    r"|(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>-?[A-Za-z]+)|(?P<mark>[{}\[\](),:]))",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"""\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])|\\x(?P<code>[0-9a-fA-F]{2})|\\(?P<odd>.)|(?P<bare>")""",
    re.DOTALL,
)


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=tuple)


def read_object(text: str, start: int) -> tuple[Object, int] | None:
    """Return the object that begins at ``start`` (a brace) and the index after it, None for none.

    It is lenient JSON: whatever JSON and Python's dictionaries allow of strings, decimal numbers,
    true, false, null, None, NaN, infinity, lists, tuples, and objects with strings for keys; also a
    comma after the last item, and line breaks and unescaped quotes in strings. What has anything
    else in it (names, calls, sums, sets) is no object. The text is rewritten as JSON, piece by
    piece, and never evaluated, in time linear in its length.
    """
    pieces: list[str] = []
    closing: list[str] = []
    at = start
    while match := _PIECE.match(text, at):
        at, kind = match.end(), match.lastgroup or ""
        piece = match[kind]
        if kind == "string":
            piece = f'"{_ESCAPE.sub(_as_json, piece[1:-1])}"'
        elif kind == "number":
            whole = piece.lstrip("+-").isdecimal() and len(piece) <= _LONGEST_INTEGER
            piece = json.dumps(int(piece) if whole else float(piece))
        elif kind == "word":
            piece = _WORDS.get(piece.lower(), "")
        elif piece in _CLOSING:
            closing.append(_CLOSING[piece])
        elif piece not in ",:":
            if closing.pop() != piece:
                return None
            if pieces[-1] == "," and pieces[-2] not in {"{", "["}:
                pieces.pop()
        pieces.append({"(": "[", ")": "]"}.get(piece, piece))
        if not piece or len(closing) > _DEEPEST:
            return None
        if not closing:
            with suppress(ValueError):
                return _DECODER.decode(" ".join(pieces)), at
            return None
    return None


def _as_json(match: re.Match[str]) -> str:
    """Return an escape as JSON has it, also for a quote that lacks one; unknown ones stay."""
    if match["code"]:
        return f"\\u00{match['code']}"
    if match["odd"]:
        return {"'": "'", "\n": ""}.get(match["odd"], f"\\{match[0]}")
    return '\\"' if match["bare"] else match[0]
