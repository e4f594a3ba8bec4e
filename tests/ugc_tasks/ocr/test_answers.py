"""The text that an OCR answer comes to, in both of the published ways of reading it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_tasks.ocr.answers import MAX_CHARS, prediction_text, reference_text

TEXTS = ["Wait, WHAT?", "it's 5 o'clock"]
READ = "wait what it's 5 o'clock"


@pytest.mark.parametrize(
    "prediction",
    [
        TEXTS,
        {"ocr": TEXTS},
        json.dumps(TEXTS),
        json.dumps({"ocr": TEXTS}),
        json.dumps({"ocr": TEXTS}, indent=2),
        f"```json\n{json.dumps({'ocr': TEXTS})}\n```",
        f"```\n{json.dumps(TEXTS)}```",
        {"ocr": json.dumps(TEXTS)},
        {"ocr": TEXTS, "bg_ocr": ["more"]},
        {"ocr": " ".join(TEXTS)},
    ],
)
def test_lists_and_json_are_read_alike_in_both_modes(prediction: Any) -> None:
    assert prediction_text(prediction, "score") == READ
    assert prediction_text(prediction, "skip") == READ


def test_broken_json_is_compared_as_it_stands_or_by_what_is_quoted() -> None:
    broken = '{"ocr": ["Wait, WHAT?", "it\'s 5 o\'clock", "and th'
    assert prediction_text(broken, "score") == f"{READ} and th"
    # The name of the field is a quoted text too, in the script whose mode this is.
    assert prediction_text(broken, "skip") == f"ocr {READ}"


def test_prose_is_compared_as_it_stands_or_by_what_is_quoted() -> None:
    prose = 'The sign says "Wait!" and later "WHAT?".'
    assert prediction_text(prose, "score") == "the sign says wait and later what"
    assert prediction_text(prose, "skip") == "wait what"
    assert prediction_text("There is a sign.", "skip") is None


@pytest.mark.parametrize("empty", ["", None, [], {"ocr": []}, '{"ocr": []}', "```json\n[]\n```"])
def test_an_empty_answer_is_no_overlap_in_the_one_mode_and_left_out_in_the_other(
    empty: Any,
) -> None:
    assert prediction_text(empty, "score") == ""
    assert prediction_text(empty, "skip") is None


@pytest.mark.parametrize("blank", [{}, "{}", {"ocr": [""]}, [" "]])
def test_an_answer_of_another_form_is_not_left_out(blank: Any) -> None:
    assert prediction_text(blank, "score") == ""
    assert prediction_text(blank, "skip") == ""


def test_numbers_in_a_list_are_texts_and_the_rest_is_passed_over() -> None:
    assert prediction_text([2024, "Paris", None, True, ["x"], 1.5], "score") == "2024 paris 15"


def test_line_breaks_separate_words_also_where_they_are_escaped_twice() -> None:
    assert prediction_text(["one\ntwo\\nthree"], "score") == "one two three"
    assert prediction_text(["one\ntwo\\nthree\\tfour"], "skip") == "one two three four"


def test_the_reference_keeps_its_punctuation_in_one_mode() -> None:
    assert reference_text(["Sen.Sanders", "Yes, No?"], "score") == "sen.sanders yes, no?"
    assert reference_text(["Sen.Sanders", "Yes, No?"], "skip") == "sensanders yes no"


@pytest.mark.parametrize("mode", ["score", "skip"])
def test_of_an_endless_answer_a_bounded_part_is_compared(mode: Any) -> None:
    text = prediction_text(["NINJA"] * 100_000, mode)
    assert text is not None
    assert len(text) == MAX_CHARS
    assert text.startswith("ninja ninja")


@pytest.mark.parametrize("mode", ["score", "skip"])
@pytest.mark.parametrize("deep", ["[" * 50_000, '{"ocr":' * 50_000, '"ocr":' * 50_000])
def test_deep_nesting_is_text_like_any_other(mode: Any, deep: str) -> None:
    text = prediction_text(deep, mode)
    assert text is None or len(text) <= MAX_CHARS


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("ocr"), inner, max_size=1),
    max_leaves=6,
)


@given(JSON | st.text(), st.sampled_from(["score", "skip"]))
def test_no_answer_breaks_the_reading(prediction: Any, mode: Any) -> None:
    text = prediction_text(prediction, mode)
    assert text is None or text == text.lower() or not text.isascii()
    assert mode == "skip" or text is not None
