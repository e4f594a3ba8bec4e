"""Which option an answer chooses, and that nothing is guessed where it chooses none."""

from __future__ import annotations

import json

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


IN_MARKUP = [
    "<answer>B</answer>",
    "<answer>\nB. Negative\n</answer>",
    "They shout, so A is out. <answer>B</answer>",
    "<answer>B</answer> <answer>(B)</answer>",
    "<answer>B",
    "<final_answer>B</final_answer>",
    '<answer>{"answer": "B"}</answer>',
    "<b>B</b>",
    "<p><strong>Negative</strong></p>",
    "<B>",
    "- B",
    "* B",
    "• B",
    "> B",
    "+ B",
    "1. B",
    "2) **B**",
    "## B",
    "- Negative",
    "> Negative",
    "(Negative)",
    "(B)",
    "B)",
    "{B}",
    "B!",
    '"B"',
    "'B'",
    "“B”",
    "«B»",
    "`B`",
    "```B```",
    "```\nB\n```",
    '```json\n"B"\n```',
    "__B__",
    "***B***",
    "**B** – they shout",
    "$B$",
    "$\\boxed{B}$",
    "\\boxed{\\text{B}}",
    "\\boxed{\\textbf{(B)}}",
    "\\boxed{\\mathrm{Negative}}",
    "A, C? No. \\boxed{B}",
    "\\(B\\)",
    "\\[ \\boxed{B} \\]",
    "\uff22",
    "\uff08\uff22\uff09",
    "\u24b7",
    "B\u3002",
    "B</s>",
    "B<|im_end|>",
    "<|im_start|>assistant\nB<|im_end|>",
    "{'answer': 'B'}",
    '{"answer": ["B"]}',
    '{"answer": "B", "confidence": 0.5}',
    'Here it is:\n```json\n{"answer": "B"}\n```',
]
IN_WORDS = [
    "It's B.",
    "It\u2019s B",
    "it's b.",
    "It is B: Negative",
    "That's B!",
    "B it is.",
    "b it is",
    "Well. B",
    "Yes, it's B.",
    "Negative\n\nIt sounds positive at first.",
    '{"option": "A", "answer": "B"}',
    '{"mood": "B"}',
    "B is correct.",
    "I choose B",
    "I'd go with B.",
    "I'm going with option B because of the shouting",
    "My answer is B because they shout.",
    "I think it's B, since they shout",
    "Definitely B.",
    "Therefore, B.",
    "Selected: B",
    "The tone is B.",
    "The option that fits best is B.",
    "The letter B",
    "B because they shout.",
    "B, because they shout.",
    "B Negative",
    "Negative (B)",
    "B (Negative)",
    "Answer - B",
    "answer = B",
    "**Answer**: B",
    "**Answer: B**",
    "### Answer\nB",
    "Answer: option (B) Negative",
    "The answer is:\n\n**B**",
    "The answer is **B**. The voices are not positive.",
    "Answer: B\n\nPositive words are missing.",
    "It is not A, it is B.",
    "A is wrong. B is right.",
    "Option A is wrong, option B is right.",
    "The speakers are **B**.",
    "I think it is 'B'.",
    "The mood is _negative_.",
    "The answer is negative. Positive is wrong.",
    "Answer: (D) Negative",
    "A. Positive\nB. Negative\nC. Neutral\n\nB",
    "A. Positive B. Negative C. Neutral Answer: B",
    "答案是B",
    "正确答案：B。",
]
CHOOSING_NONE_OR_SEVERAL = [
    "A or B",
    "A and B",
    "A, B",
    "A/B",
    "A & B",
    "A B",
    "either A or B",
    "B (or A)",
    "It's B or A.",
    "I'd say B, or maybe A.",
    "It's between A and B.",
    "- A\n- B",
    "1. A\n2. B",
    "Option A or option B",
    "Option A and B",
    "The answer is A or B",
    "Answer: A/B",
    "Answer: A, B",
    "The answer is positive or negative",
    "Answer: positive/negative",
    "Answer: **Positive**, **Negative**",
    "<answer>A or B</answer>",
    "<answer>A</answer><answer>B</answer>",
    "\\boxed{A} \\boxed{B}",
    "\\boxed{A, B}",
    '{"answer": "A or B"}',
    '{"mood": "B", "why": "they shout"}',
    "{}",
    "[]",
    "not B",
    "**Not B**",
    "(B) is wrong",
    "B is wrong.",
    "B: incorrect",
    "B isn't right",
    "Option B is not right.",
    "It isn't B.",
    "It's not B",
    "It can't be B.",
    "never (B)",
    "anything but B",
    "other than (B)",
    "excluding (B)",
    "neither",
    "Neither A nor B.",
    "The answer is not B",
    "I don't think the answer is B.",
    "I would not choose B",
    "<answer>not B</answer>",
    "Positive is wrong.",
    "Positive isn't right.",
    "B?",
    "Is it B?",
    "Is the answer B?",
    "Is it A, B or C?",
    "Which one: A, B, or C?",
    "Choose A, B or C.",
    "The options are A, B and C.",
    "Options: (A) Positive (B) Negative (C) Neutral",
    "(A) Positive or (B) Negative",
    "- Positive\n- Negative\n- Neutral",
    "B: Positive",
    "It's B: Positive",
    "Answer: B. Positive",
    "Answer: B (Positive)",
    "a voice in the video",
    "It's a man.",
    "The answer is a man.",
    "Plan B failed.",
    "It's B-roll.",
    "B flat is played.",
    "I hear a B and an A.",
    "It could be A. It could be B.",
    "The letter A is seen, then the letter B.",
    "Answer: A or negative",
    "The answer is positive, or C",
    "The mood is 'not positive'.",
    "B. Positive or negative",
]


@pytest.mark.parametrize("text", IN_MARKUP)
def test_an_answer_in_markup_is_read_as_without_it(text: str) -> None:
    assert match_option(text, TONE) == "Negative"


TAGS = ("b", "strong", "em", "i", "u", "p", "div", "span", "li", "ul", "ol", "code", "pre", "mark")


@pytest.mark.parametrize("tag", TAGS)
def test_an_answer_in_a_tag_of_html_is_read(tag: str) -> None:
    assert match_option(f"<{tag}>B</{tag}>", TONE) == "Negative"
    assert match_option(f"They<{tag}>shout.</{tag}>\nB", TONE) == "Negative"


@pytest.mark.parametrize(
    "text",
    [
        "<ANSWER>B</ANSWER> rather than A",
        '```json\n{"mood": "B"}\n```',
        'So:\n```\n{"mood": "B"}\n```\nThat is it.',
        '```\n{"mood": "B"}```',
        "B \u2014 they shout",
        "B \u2013 they shout",
    ],
)
def test_a_fence_a_tag_and_a_dash_are_taken_off(text: str) -> None:
    assert match_option(text, TONE) == "Negative"


@pytest.mark.parametrize("text", IN_WORDS)
def test_an_answer_in_a_sentence_that_says_nothing_else_is_read(text: str) -> None:
    assert match_option(text, TONE) == "Negative"


@pytest.mark.parametrize("text", CHOOSING_NONE_OR_SEVERAL)
def test_two_options_denials_and_lists_of_the_options_are_not_read(text: str) -> None:
    assert match_option(text, TONE) is None


SAYING_NOTHING_ELSE = [
    "I guess it will be B",
    "I believe its mood is B",
    "So this video clip should most likely be B",
    "Hence I'm going to select B",
    "Thus I'll pick B",
    "Here my final vote would be B",
    "Okay sure B it is",
    "Ok I guess B",
    "Clearly B matches this one",
    "Certainly B describes its background music",
    "Surely B suits an audio of speakers",
    "Probably B applies in this question",
    "The label I chose was B",
    "I said and answered B",
    "Ans B",
    "The response B",
    "The result B",
    "The output B",
    "The prediction B",
    "The speaker voice source is B",
    "Its sound was B",
    "It must be B",
    "It's either B",
    "Choice: B",
    "Selection: B",
    "Verdict: B",
    "The answer would be B",
    "The answer must be B",
    "The answer should be B",
    "The answer is most likely B",
    'I hear shouting so the answer is "B".',
    "选B",
    "选项B",
    "选择B",
    "我选择：B",
    "答案为B",
    "B since they shout",
    "B; they shout",
    "B = they shout",
    "I heard shouting [B] there",
    "I heard shouting {B} there",
    "I heard shouting <B> there",
    "Answer: B. Positive is wrong.",
    "<answer></answer> <answer>B</answer>",
    "<answer> </answer>\nB",
    '```json\n{"predict": "B", "why": "A"}\n```',
    '```json\n{"predict": "B", "why": "they sound positive"}\n```',
]
SEVERAL = [
    "Answer: B and C",
    "Answer: B or perhaps C",
    "Answer: B, possibly C",
    "Answer: B, even C",
    "Answer: B, or both B and C",
    "Answer: B or either C or A",
    "Answer: B to C",
    "Answer: B & C",
    "Answer: B + C",
    "B. They sound positive.",
    "It's B - incorrect",
    "```\nA\n```\nor\n```\nB\n```",
    "1999. B",
]


@pytest.mark.parametrize("text", SAYING_NOTHING_ELSE)
def test_words_that_only_announce_an_answer_do_not_hide_it(text: str) -> None:
    assert match_option(text, TONE) == "Negative"


@pytest.mark.parametrize("text", SEVERAL)
def test_a_second_option_in_whatever_words_makes_it_no_answer(text: str) -> None:
    assert match_option(text, TONE) is None


@pytest.mark.parametrize("then", [" as they smile", " for its warmth", " due to it", " given that"])
def test_an_a_before_a_reason_is_a_letter_and_no_article(then: str) -> None:
    assert match_option(f"The answer is A{then}", TONE) == "Positive"
    assert match_option("The answer is A smile", TONE) is None


DENYING = """no neither nor non without than instead except excluding excludes exclude eliminate
eliminates eliminating unlike hardly anything everything not never cannot excluded eliminated"""


@pytest.mark.parametrize("word", DENYING.split())
def test_every_word_that_denies_what_follows_it_is_known(word: str) -> None:
    assert match_option(f"The mood {word} positive", TONE) is None
    assert match_option("The mood rather positive", TONE) == "Positive"


DENIED = """is wrong, is incorrect, is false, is unlikely, is ruled out, is excluded, is eliminated,
is never right, seems wrong, looks wrong, was wrong, can not be it"""


@pytest.mark.parametrize("after", DENIED.replace("\n", " ").split(", "))
def test_an_option_that_is_denied_afterwards_is_not_named(after: str) -> None:
    assert match_option(f"Positive {after}", TONE) is None
    assert match_option("Positive is right", TONE) == "Positive"


def test_a_denial_reaches_over_two_words_and_not_over_three() -> None:
    assert match_option("Not loud and positive", TONE) is None
    assert match_option("Not loud and always positive", TONE) == "Positive"


@pytest.mark.parametrize(
    "name", ["answer", "final_answer", "option", "choice", "label", "prediction", "predict"]
)
def test_the_value_of_an_answer_in_json_counts_whatever_stands_beside_it(name: str) -> None:
    assert match_option(json.dumps({"why": "they sound positive", name: "B"}), TONE) == "Negative"


def test_an_answer_in_an_answer_is_read_three_deep_and_no_deeper() -> None:
    text = "B"
    for _ in range(3):
        text = json.dumps(text)
        assert match_option(text, TONE) == "Negative"
    assert match_option(json.dumps(text), TONE) is None


def test_a_text_that_is_too_long_is_no_answer() -> None:
    assert match_option("Answer: B".ljust(MAX_CHARS), TONE) == "Negative"
    assert match_option("Answer: B".ljust(MAX_CHARS + 1), TONE) is None


def test_there_are_as_many_letters_as_in_the_alphabet() -> None:
    options = [f"Option number {n}" for n in range(26)]
    assert match_option("Answer: Z", options) == "Option number 25"
    assert match_option("It's Z.", options) == "Option number 25"
    assert match_option("It's D.", TONE) is None


@pytest.mark.parametrize("order", [("Positive", "Not Positive"), ("Not Positive", "Positive")])
def test_the_longer_option_is_looked_for_first_in_whatever_order_they_are(
    order: tuple[str, str],
) -> None:
    options = (*order, "Not Positive At All")
    assert match_option("The mood: not positive at all, I think", options) == "Not Positive At All"
    assert match_option("I would call the mood not positive here", options) == "Not Positive"


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
def test_options_of_several_words_are_distinguished(text: str, option: str | None) -> None:
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
        ("Yes, there is music and no speech.", None),
        ("**Yes**", "Yes"),
        ("No background music can be heard.", "No"),
        ("Yes and no.", None),
        ("Nothing of the kind.", None),
        ("B", "No"),
    ],
)
def test_yes_and_no_are_options_like_others(text: str, option: str | None) -> None:
    assert match_option(text, YES_NO) == option


@given(st.text(max_size=300))
def test_any_text_gives_an_option_or_nothing(text: str) -> None:
    assert match_option(text, TONE) in {*TONE, None}


@given(st.sampled_from(VOICE), st.sampled_from(["{}", "{}.", '"{}"', "Answer: {}", "**{}**\n"]))
def test_an_option_as_it_is_spelled_is_always_found(option: str, around: str) -> None:
    assert match_option(around.format(option), VOICE) == option
    assert match_option(around.format(option.upper()), VOICE) == option


PIECES = ["not ", "not-", "answer ", "(a) ", "- ", "positive ", "*", "\n", "A, ", "it is A ", "\n-"]
PIECES += [
    "option A or ",
    "<answer>",
    "<answer>x</answer>",
    "\\boxed{",
    "\\text{",
    "```",
    "<b>",
    "`",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", "positive"])
def test_time_grows_with_the_answer_and_not_with_its_square(piece: str, end: str) -> None:
    short, long = ((piece * size)[: size - len(end)] + end for size in (MAX_CHARS // 8, MAX_CHARS))
    assert_linear(lambda text: match_option(text, TONE), short, long)
