"""Which captions collapsed into repetition, and which only repeat themselves as people do."""

from __future__ import annotations

import json

import pytest

from tests.support.reference import reference_dir
from ugc_models.repetition import is_repetitive

PHRASE = "a man in a red shirt walks past the counter"


@pytest.mark.parametrize(
    "text",
    [
        "The video shows " + f"{PHRASE}, and " * 6,
        "no " * 40,
        "She smiles. " * 12,
        "哈" * 60,
        "一个人走过" * 45,
        "ha" * 50,
        f"First. {PHRASE}. " + "And then the dog barks loudly at the cat. " * 5 + "The end.",
        "1, 2, " * 20,
    ],
)
def test_a_collapse_is_seen(text: str) -> None:
    assert is_repetitive(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PHRASE,
        "no, no, no, no, no",
        'The crowd sings "hey hey hey hey" and claps.',
        "Ha ha ha ha ha ha, she laughs.",
        "wowwww" + "w" * 20,
        f"{PHRASE}. {PHRASE}.",
        " ".join(f"At second {n} the camera shows item {n}." for n in range(40)),
    ],
)
def test_what_people_write_is_not_one(text: str) -> None:
    assert not is_repetitive(text)


def test_a_long_text_takes_no_long_time() -> None:
    """Hostile text is no reason to hang: 200,000 words that nearly repeat."""
    words = [f"word{n % 59}" if n % 177 else "break" for n in range(200_000)]
    assert is_repetitive(" ".join(words)) in {True, False}


def test_of_the_recorded_captions_of_good_models_next_to_none_is_one() -> None:
    file = reference_dir() / "captions" / "gemini_2.5_flash.jsonl"
    captions = [json.loads(line)["caption"] for line in file.read_text().splitlines()]
    assert len(captions) > 900
    assert sum(is_repetitive(str(caption)) for caption in captions) <= 2
