"""A value is read for what a judge can have meant by it, and refused otherwise: never mended."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ugc_tasks.judge.parsing import CAPTION_SCHEMA, FRACTION, GRADE, YES_NO, ResponseSchema

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


# ---- grades ----


@pytest.mark.parametrize("stated", [4, 4.0, "4"])
def test_a_grade_is_a_whole_number_however_it_is_written(stated: object) -> None:
    assert GRADE.read(stated) == 4


@pytest.mark.parametrize(
    "stated", [0, 6, -4, 3.5, True, None, "four", "4.0", " 4", "4/5", "４", [4], math.nan, math.inf]
)
def test_anything_else_is_no_grade(stated: object) -> None:
    assert GRADE.read(stated) is None


# ---- yes and no ----


@pytest.mark.parametrize(
    ("stated", "value"),
    [("yes", 1.0), ("no", 0.0), ("Yes", 1.0), ("NO", 0.0), (" yes\n", 1.0), ("yEs", 1.0)],
)
def test_yes_is_one_and_no_is_zero_in_any_letter_case(stated: str, value: float) -> None:
    assert YES_NO.read(stated) == value


@pytest.mark.parametrize(
    "stated",
    [True, False, 1, 0, None, "", "y", "true", "yes.", "yes, but", "yes/no", "not", ["yes"]],
)
def test_what_is_neither_word_is_no_verdict(stated: object) -> None:
    assert YES_NO.read(stated) is None


# ---- fractions ----


@pytest.mark.parametrize(
    ("stated", "value"),
    [
        (0.67, 0.67), (0, 0.0), (1, 1.0), (1.0, 1.0), ("0.67", 0.67), (" 1 ", 1.0), ("0", 0.0),
        (".5", 0.5), ("1.00", 1.0), ("1.", 1.0),
        ("2/3", 2 / 3), ("0/7", 0.0), ("7/7", 1.0), ("3 / 4", 0.75),
    ],
)  # fmt: skip
def test_a_fraction_may_be_a_number_its_text_or_a_count_of_a_count(
    stated: object, value: float
) -> None:
    assert FRACTION.read(stated) == value


@pytest.mark.parametrize(
    "stated",
    [
        math.nan, math.inf, -math.inf, -0.01, 1.01, 2, -1, 10**400, True, False, None, [0.5], 1j,
        "", "nan", "inf", "-0.5", "+0.5", "1.5", "67%", "0,67", "1e-1", "0x1", "half", "0.6.7",
        "3/2", "0/0", "1/0", "-1/2", "1/2/3", "1/-2", "½", "٠.٥", "9" * 5000, "1/" + "9" * 5000,
    ],
)  # fmt: skip
def test_anything_else_is_no_fraction(stated: object) -> None:
    assert FRACTION.read(stated) is None


def test_a_negative_zero_is_an_ordinary_one() -> None:
    assert math.copysign(1, FRACTION.read(-0.0) or 0.0) == 1


@given(st.floats(0, 1))
def test_every_fraction_survives_json_unchanged(fraction: float) -> None:
    assert FRACTION.read(json.loads(json.dumps(fraction))) == fraction


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_a_count_of_a_count_is_their_quotient_or_nothing(part: int, whole: int) -> None:
    expected = part / whole if whole > 0 and part <= whole else None
    assert FRACTION.read(f"{part}/{whole}") == expected


# ---- all of them ----


@given(ANYTHING)
def test_no_value_is_read_as_something_off_its_scale(stated: object) -> None:
    assert GRADE.read(stated) in {None, 1, 2, 3, 4, 5}
    assert YES_NO.read(stated) in {None, 0.0, 1.0}
    fraction = FRACTION.read(stated)
    assert fraction is None or 0 <= fraction <= 1


@given(st.text(st.sampled_from("01239./- +eE%"), max_size=5))
@example("1/3")
@example(".5")
def test_no_text_of_digits_is_a_fraction_but_by_its_value(text: str) -> None:
    fraction = FRACTION.read(text)
    if fraction is not None:
        part, _, whole = text.partition("/")
        assert fraction == pytest.approx(float(part) / float(whole or 1))


def test_a_part_of_a_form_keeps_its_kinds() -> None:
    assert CAPTION_SCHEMA.only("audio") == ResponseSchema({"audio": GRADE})
    assert CAPTION_SCHEMA.only("details", "visual").names == ("details", "visual")
    with pytest.raises(KeyError):
        CAPTION_SCHEMA.only("smell")
