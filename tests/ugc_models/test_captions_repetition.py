"""Which captions collapsed into repetition, and which only repeat themselves as people do."""

from __future__ import annotations

import json

import pytest

from tests.support.growth import assert_linear
from tests.support.reference import reference_dir
from ugc_models.captions import is_repetitive

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


def words(count: int) -> str:
    """So many different words."""
    return " ".join(f"word{n}" for n in range(count))


@pytest.mark.parametrize(
    ("just", "short_of_it"),
    [
        pytest.param(f"{words(9)} " * 4, f"{words(9)} " * 3 + words(8), id="four times"),
        pytest.param(f"{words(60)} " * 4, f"{words(61)} " * 8, id="a phrase of 60 words"),
        pytest.param("no " * 24, "no " * 23, id="24 words of one"),
        pytest.param("yes no " * 12, "yes no " * 11 + "yes", id="24 words of two"),
        pytest.param("哈" * 40, "哈" * 39, id="a character 40 times"),
        pytest.param("abcdefgh" * 40, "abcdefghi" * 40, id="eight characters 40 times"),
    ],
)
@pytest.mark.parametrize("before", ["", "She turns round. "])
def test_the_bounds_are_where_the_documentation_has_them(
    just: str, short_of_it: str, before: str
) -> None:
    assert is_repetitive(before + just)
    assert not is_repetitive(before + short_of_it)


def test_an_interruption_begins_the_count_anew() -> None:
    assert not is_repetitive("no " * 23 + "yes " + "no " * 23)


def test_the_same_phrase_in_capitals_is_the_same_phrase() -> None:
    assert is_repetitive((PHRASE + " " + PHRASE.title() + " ") * 2)


def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    nearly = [f"word{n % 59}" if n % 177 else "break" for n in range(16_000)]
    assert_linear(is_repetitive, " ".join(nearly[:2_000]), " ".join(nearly))


def test_of_the_recorded_captions_of_good_models_next_to_none_is_one() -> None:
    file = reference_dir() / "captions" / "gemini_2.5_flash.jsonl"
    captions = [json.loads(line)["caption"] for line in file.read_text().splitlines()]
    assert len(captions) > 900
    assert sum(is_repetitive(str(caption)) for caption in captions) <= 2
