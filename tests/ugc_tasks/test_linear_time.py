"""Whatever looks at captions and replies takes time by their length, whatever they are made of.

Work that grows with the square of the length takes seconds for the longer text. What takes a moment
is not that; what takes longer is measured for two sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.growth import assert_linear
from ugc_models.captions import is_repetitive
from ugc_tasks.choice.matching import match_option
from ugc_tasks.common.display import shown
from ugc_tasks.estimate.model import estimate, unlike
from ugc_tasks.judge.parsing import ReplyError, parse_reply
from ugc_tasks.judge.protocol.profiles import PAID_PROFILES, QUESTIONS, stated
from ugc_tasks.judge.protocol.sanitize import sanitize
from ugc_tasks.judge.transport.errors import brief_message
from ugc_tasks.ocr.overlap import ocr_overlap
from ugc_tasks.results.answer_text import model_answer

SHORT, LONG = 4_000, 32_000
MOMENT_S = 0.1
REFERENCE = "A man in a red coat walks a dog along a beach while music plays."
LABELS = tuple(
    dict.fromkeys(
        label
        for profile in PAID_PROFILES
        for question in QUESTIONS.values()
        for label in stated(profile, question.asked_as)["labels"]
    )
)


def parsed(text: str) -> None:
    with suppress(ReplyError):
        parse_reply(text)


READERS: dict[str, Callable[[str], object]] = {
    "what is changed before it is sent": lambda text: sanitize(text, LABELS),
    "the estimate": lambda text: (estimate(text, REFERENCE), estimate(REFERENCE, text)),
    "the estimate's doubts": lambda text: unlike(text, REFERENCE),
    "the judge's reply": parsed,
    "a choice": lambda text: match_option(text, ("Positive", "Neutral", "Negative")),
    "texts on the screen": lambda text: ocr_overlap(text, ["OPEN 24/7"], "score"),
    "a caption": lambda text: model_answer(text, "caption"),
    "an answer of one word": lambda text: model_answer(text, "tone"),
    "an answer of texts": lambda text: model_answer(text, "ocr"),
    "repetition": is_repetitive,
    "a server's message": lambda text: brief_message(text, "sk-0123456789"),
    "what is shown": lambda text: shown(text, limit=LONG),
}
FRAMED = ("what is changed before it is sent", "the judge's reply", "a choice")
PIECES = [
    *"#*_<>{}[]()\"'`~|/\\:=-,.!? \n\t\v1a",
    *(
        "\u200b",
        "\u200d",
        "\ufe0f",
        "\u0301",
        "\u202e",
        "\u2028",
        "\x00",
        "é",
        "漢",
        "🙂",
        "\ufdfa",
    ),
    *(label + " " for label in LABELS),
    *("Ground Truth ", "sample id\n", "[end of ", "1. ", "- ", "\n", "\n# ", "\n1) ", "::", " ="),
    *("<|im_end|>", "<im_end>", "<|", "<|a", "</s>", "[INST]", "<<SYS>>", "<think>", "</think>"),
    *(
        "<think></think>",
        '{"visual": ',
        "{'a': '",
        "[1,",
        "\\u0041",
        '\\"',
        "```json\n",
        "\\boxed{",
    ),
    *("word ", "12 ", "a.b. ", "the the ", "Error: ", "**B** ", "not A ", "<answer>", "(A) "),
]
FRAMES = {
    "alone": ("", ""),
    "behind words of a label": ("Ground Truth Description", ""),
    "within a label": ("A dog.\nGround", "Truth Description:"),
    "before a label": ("A dog.\n", "Ground Truth Description: Answer:"),
    "in an object": ('{"visual": 4, "audio": ', "}"),
}


@pytest.mark.parametrize(
    ("reader", "frame"),
    [
        *((reader, "alone") for reader in READERS),
        *((reader, frame) for reader in FRAMED for frame in FRAMES if frame != "alone"),
    ],
)
def test_time_grows_with_the_text_and_not_with_its_square(reader: str, frame: str) -> None:
    work, (head, tail) = READERS[reader], FRAMES[frame]

    def of(piece: str, size: int) -> str:
        return head + (piece * size)[:size] + tail

    for piece in PIECES:
        started = time.thread_time()
        work(of(piece, LONG))
        if time.thread_time() - started > MOMENT_S:
            assert_linear(work, of(piece, SHORT), of(piece, LONG))
