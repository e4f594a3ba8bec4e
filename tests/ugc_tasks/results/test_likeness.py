"""Answers of another task are refused by what they look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.results.likeness import refuse_descriptions, refuse_options

PATH = Path("answers.jsonl")
TONES = ["Positive", "Neutral", "Negative"]
CAPTION = "A man in a red coat walks along a beach with his dog while soft music plays, and waves."


@pytest.mark.parametrize(
    "option",
    ["A", "b.", "(C)", "**B**", "Answer: B", "option c", "Positive", "A. Positive", "Narration",
     "In-Video Voice", "(b) out-video voice."],
)  # fmt: skip
def test_options_are_no_descriptions(option: str) -> None:
    with pytest.raises(DataError, match=r"answers.jsonl: 3 of 4 answers are options or letters"):
        refuse_options(PATH, [option, option, option, CAPTION, None, 5])


def test_descriptions_however_short_are_descriptions() -> None:
    refuse_options(PATH, ["A cat.", "Yes", "No", "A", "cat", "none", "A positive mood."])
    refuse_options(PATH, ["A", "B", "a cat"])  # two thirds are no more than that
    refuse_options(PATH, ["A"])
    refuse_options(PATH, [])


def test_long_texts_that_name_no_option_are_no_choices() -> None:
    with pytest.raises(DataError) as error:
        refuse_descriptions(PATH, [CAPTION] * 3 + ["Positive"], TONES)
    assert "3 of 4 answers are long texts that name none of the options" in str(error.value)
    assert '(Positive, Neutral, Negative), such as "A man in a red coat' in str(error.value)
    assert "is it a file of captions?" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["A man walks.", CAPTION + " The answer is open.", CAPTION + " It is NEUTRAL, I think.", ""],
)
def test_a_bad_answer_to_a_choice_is_still_one(text: str) -> None:
    refuse_descriptions(PATH, [text] * 4, TONES)
    refuse_descriptions(PATH, [CAPTION, CAPTION, "A"], TONES)
    refuse_descriptions(PATH, [CAPTION], TONES)
