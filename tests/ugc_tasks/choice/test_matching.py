"""Which option an answer chooses, and that nothing is guessed where it chooses none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import assert_linear
from ugc_tasks.choice.matching import MAX_CHARS, match_option

TONE = ("Positive", "Negative", "Neutral")
VOICE = ("Narration", "In-Video Voice", "Out-Video Voice")
YES_NO = ("Yes", "No")


@pytest.mark.parametrize(
    "text",
    [
        "Negative",
        "negative",
        "  NEGATIVE.\n",
        '"Negative"',
        "**Negative**",
        "`negative`",
        "B",
        "b",
        "(b)",
        "[B]",
        "B.",
        "**B**",
        "B. Negative",
        "b) negative",
        "B: Negative",
        "B - Negative",
        "B – Negative",
        "(B) Negative",
        "**B.** Negative",
        "Answer: B",
        "Answer: (B)",
        "The answer is B.",
        "The correct answer is **B**, because they shout.",
        "Option B is right.",
        "I would say (B) here.",
        '{"answer": "Negative"}',
        '{"answer": "B", "reason": "not positive"}',
        '```json\n{"answer": "negative"}\n```',
        '["Negative"]',
        '{"tone": "negative"}',
        "The tone of the speakers is negative.",
        "It is clearly negative, and negative throughout.",
        "Negative\n\nThe speakers shout, which is neither positive nor neutral.",
        "B. They are angry.",
        "B\n\nThey are angry.",
        "Negative.\nNegative.",
        "\\boxed{B}",
        "Of positive, negative and neutral, the answer is negative.",
        "A. Positive\nB. Negative\nC. Neutral\n\nAnswer: B",
    ],
)
def test_an_answer_that_chooses_one_option_is_that_option(text: str) -> None:
    assert match_option(text, TONE) == "Negative"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "D",
        "I cannot tell.",
        "Positive or negative",
        "positive, negative",
        "A. Positive B. Negative C. Neutral",
        "(a) positive (b) negative",
        "The answer is positive. The answer is negative.",
        "A man speaks in a calm voice.",
        "The answer is a man's voice.",
        "Positive\nNegative",
        "A\nB",
        "negatively charged",
        "nonnegative",
        "B. Positive",
        '{"answer": ["Positive", "Negative"]}',
        '{"answer": null}',
        '{"first": "Positive", "second": "Negative"}',
        "1",
        "null",
        "[" * 5000,
        "Negative " * MAX_CHARS,
    ],
)
def test_an_answer_that_chooses_none_or_several_is_unanswered(text: str) -> None:
    assert match_option(text, TONE) is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("The tone is not positive.", None),
        ("It isn't negative.", None),
        ("neither positive nor negative", None),
        ("The tone is not positive but neutral.", "Neutral"),
        ("It is not negative; it is positive.", "Positive"),
        ("Neutral rather than positive.", "Neutral"),
        ("The mood is not at all negative, it stays neutral.", "Neutral"),
        ("There is no doubt that the mood is positive.", "Positive"),
    ],
)
def test_what_an_answer_denies_it_does_not_name(text: str, option: str | None) -> None:
    assert match_option(text, TONE) == option


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("In-Video Voice", "In-Video Voice"),
        ("in video voice", "In-Video Voice"),
        ("The voice is an out-video voice.", "Out-Video Voice"),
        ("C. Out-Video Voice", "Out-Video Voice"),
        ("It is a narration over the pictures.", "Narration"),
        ("In-Video Voice or Out-Video Voice", None),
        ("The narrator is in the video.", None),
        ("A voice in the video", None),
        ("video voice", None),
    ],
)
def test_options_of_several_words_are_told_from_each_other(text: str, option: str | None) -> None:
    assert match_option(text, VOICE) == option


def test_a_longer_option_does_not_name_the_one_inside_it() -> None:
    options = ("Positive", "Not Positive", "Very Positive")
    assert match_option("The mood is very positive.", options) == "Very Positive"
    assert match_option("The mood is positive.", options) == "Positive"
    assert match_option("I think: not positive", options) == "Not Positive"


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("No, there is no doubt about it.", "No"),
        ("Yes, there is music and no speech.", "Yes"),
        ("**Yes**", "Yes"),
        ("No background music can be heard.", "No"),
        ("Yes and no.", None),
        ("Nothing of the kind.", None),
        ("B", "No"),
    ],
)
def test_a_yes_no_question_is_answered_by_the_first_word(text: str, option: str | None) -> None:
    assert match_option(text, YES_NO) == option


@given(st.text(max_size=300))
def test_any_text_gives_an_option_or_nothing(text: str) -> None:
    assert match_option(text, TONE) in {*TONE, None}


@given(st.sampled_from(VOICE), st.sampled_from(["{}", "{}.", '"{}"', "Answer: {}", "**{}**\n"]))
def test_an_option_as_it_is_spelled_is_always_found(option: str, around: str) -> None:
    assert match_option(around.format(option), VOICE) == option
    assert match_option(around.format(option.upper()), VOICE) == option


@pytest.mark.parametrize("piece", ["not ", "not-", "answer ", "(a) ", "- ", "positive ", "*", "\n"])
@pytest.mark.parametrize("end", ["", "positive"])
def test_time_grows_with_the_answer_and_not_with_its_square(piece: str, end: str) -> None:
    short, long = ((piece * size)[: size - len(end)] + end for size in (MAX_CHARS // 8, MAX_CHARS))
    assert_linear(lambda text: match_option(text, TONE), short, long)
