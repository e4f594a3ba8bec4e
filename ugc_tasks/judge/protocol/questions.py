"""What is judged: the kinds of answers, and which values a judge states about each.

A question says *what* is judged; a profile (``profiles.py`` and its files) says who judges it and
in which words. ``caption``, ``background`` and ``objects`` have a published protocol.
``audio_caption`` and ``visual_caption`` have references but no published score: they are asked as
captions are, against the reference of the one side, and only the value that it can speak to is
kept (``details`` asks whether picture and sound are tied together, which such a reference cannot
tell).

A stated value is read for what a judge can have meant by it, else refused. Nothing is rounded,
clipped or guessed: a refusal is asked again, while a guess stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from ugc_tasks.common.display import UserError

_GRADES = range(1, 6)
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
_RATIO = re.compile(r"([0-9]{1,4}) ?/ ?([0-9]{1,4})")
_YES_NO = {"yes": 1.0, "no": 0.0}


class UnknownQuestionError(UserError, ValueError):
    """The judge knows no question of that name."""


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


@dataclass(frozen=True)
class Question:
    """A kind of answer that can be judged.

    Attributes:
        name: its name in ``open_judge``, in labels and in the store.
        schema: the values of a judgment that are kept.
        asked_as: the question of the profile files whose prompts it shares; often its own name.
        subject: what is judged, in messages.
        published: whether the authors published a score for it.
        has_estimate: whether the free estimate was made for it.
    """

    name: str
    schema: ResponseSchema
    asked_as: str
    subject: str = "answer"
    published: bool = True
    has_estimate: bool = False

    @property
    def tag(self) -> str:
        """What a label says of the question: nothing for captions, the benchmark's main task."""
        if self.name == "caption":
            return ""
        return f":{self.name}" if self.published else f":{self.name}(ours)"


def _caption_of(side: str) -> Question:
    name, schema = f"{side}_caption", CAPTION_SCHEMA.only(side)
    return Question(name, schema, asked_as="caption", subject="caption", published=False)


_ALL = (
    Question("caption", CAPTION_SCHEMA, "caption", subject="caption", has_estimate=True),
    Question("background", ResponseSchema({"consistent": YES_NO}), "background"),
    Question("objects", ResponseSchema({"match_score": FRACTION}), "objects"),
    _caption_of("audio"),
    _caption_of("visual"),
)
QUESTIONS: Mapping[str, Question] = MappingProxyType({each.name: each for each in _ALL})


def question_named(name: str) -> Question:
    """Return the question ``name``, or raise ``UnknownQuestionError`` with the names there are."""
    try:
        return QUESTIONS[name]
    except KeyError:
        raise UnknownQuestionError(
            f"the judge knows no question {name!r}; the questions are {', '.join(QUESTIONS)}"
        ) from None
