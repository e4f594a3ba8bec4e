"""The forms of a judge's answer: which values it states, and how each is read as a number.

A value is read for what a judge can have meant by it and refused otherwise; nothing is rounded,
clipped or guessed, because a refusal is asked again while a guess stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

_GRADES = range(1, 6)
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
_RATIO = re.compile(r"([0-9]{1,4}) ?/ ?([0-9]{1,4})")
_YES_NO = {"yes": 1.0, "no": 0.0}


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        meaning: what the value has to be, in words that follow "is not".
        read: the number a stated value means, None where it means none.
        on_scale: whether a number is one that ``read`` can return.
    """

    meaning: str
    read: Callable[[object], float | None]
    on_scale: Callable[[float], bool]


@dataclass(frozen=True)
class Form:
    """The values of an answer by name, each with its kind."""

    fields: Mapping[str, Kind]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values, in order."""
        return tuple(self.fields)

    def holds(self, values: object) -> TypeGuard[Mapping[str, int | float]]:
        """Tell whether these are numbers under all names of the form, on its scales, and no more.

        For values that were read before and come back from a file, which anybody can change.
        """
        return (
            isinstance(values, Mapping)
            and values.keys() == self.fields.keys()
            and all(_is_number(v) and self.fields[name].on_scale(v) for name, v in values.items())
        )

    def only(self, *names: str) -> Form:
        """Return the form with these values alone; what else an answer states is passed over."""
        return Form({name: self.fields[name] for name in names})


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
        return _read_fraction_text(value.strip())
    # The comparison also refuses NaN; adding zero makes -0.0 an ordinary 0.0.
    return float(value) + 0.0 if _is_number(value) and 0 <= value <= 1 else None


def _read_fraction_text(text: str) -> float | None:
    if ratio := _RATIO.fullmatch(text):
        part, whole = int(ratio[1]), int(ratio[2])
        return part / whole if part <= whole and whole else None
    return _read_fraction(float(text)) if _DECIMAL.fullmatch(text) else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


GRADE = Kind("a whole number from 1 to 5", _read_grade, _GRADES.__contains__)
YES_NO = Kind('"yes" or "no"', _read_yes_no, {0.0, 1.0}.__contains__)
FRACTION = Kind("a fraction from 0 to 1", _read_fraction, lambda value: 0 <= value <= 1)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {"grade": GRADE, "yes_no": YES_NO, "fraction": FRACTION}
)
"""The kinds by the names that profile files use."""

DIMENSIONS = ("visual", "audio", "details")
"""The values of a caption's judgment."""

CAPTION = Form(dict.fromkeys(DIMENSIONS, GRADE))
