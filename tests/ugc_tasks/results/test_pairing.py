"""Which answers belong to which questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers, UnnamedAnswer
from ugc_tasks.results.pairing import pair

SAVED = SavedAnswers(Path("file"), {i: SavedAnswer(i.lower()) for i in ("C", "A", "X")})


def references(*ids: str) -> dict[str, str]:
    return {video_id: f"reference of {video_id}" for video_id in ids}


def saved(**values: Any) -> SavedAnswers:
    return SavedAnswers(Path("file"), {i: SavedAnswer(value) for i, value in values.items()})


def unnamed(*rows: tuple[int, str]) -> SavedAnswers:
    """Answers without an id: number of the document and reference."""
    made = [
        UnnamedAnswer(f"file, row {i}", document, target, SavedAnswer(f"answer {i}"))
        for i, (document, target) in enumerate(rows, 1)
    ]
    return SavedAnswers(Path("file"), {}, tuple(made))


def found_by_id(answers: SavedAnswers, asked: dict[str, Any]) -> dict[str, SavedAnswer]:
    return dict(pair(answers, asked).saved)


def test_pairs_come_in_the_tasks_order_and_the_rest_is_named() -> None:
    pairing = pair(SAVED, references("A", "B", "C"))
    assert list(pairing.saved) == ["A", "C"]
    assert pairing.saved["C"].value == "c"
    assert (pairing.missing, pairing.unknown) == (("B",), ("X",))
    assert pairing.notes == ()


def test_a_file_of_another_benchmark_is_refused_with_an_id_of_each() -> None:
    with pytest.raises(
        DataError,
        match="file: none of its clips is one that this task asks about: it has for example C, "
        "the task D",
    ):
        pair(SAVED, references("D", "E"))


def test_upper_and_lower_case_are_one_id() -> None:
    pairing = pair(saved(a="one", PI="two"), references("A", "pi"))
    assert [(i, answer.value) for i, answer in pairing.saved.items()] == [
        ("A", "one"),
        ("pi", "two"),
    ]
    assert pairing.unknown == ()
    with pytest.raises(DataError, match="file: answered more than once: A"):
        pair(saved(a="one", A="two"), references("A"))


def test_answers_without_an_id_are_found_by_number_where_all_references_fit() -> None:
    asked = {"A": "positive", "B": "negative", "C": "positive"}
    found = found_by_id(unnamed((2, "positive"), (0, "positive"), (1, "negative")), asked)
    assert {i: answer.value for i, answer in found.items()} == {
        "C": "answer 1",
        "A": "answer 2",
        "B": "answer 3",
    }
    texts = {"A": ["one", "two"], "B": ["é"]}
    found = found_by_id(unnamed((1, '["é"]'), (0, '["one", "two"] ')), texts)
    assert found["B"].value == "answer 1"


def test_a_number_below_zero_is_no_document() -> None:
    asked = {"A": "one", "B": "same", "C": "same"}
    with pytest.raises(DataError, match="neither its doc_id nor its target"):
        found_by_id(unnamed((-1, "same")), asked)


def test_failures_are_no_answers_that_could_be_references() -> None:
    asked = {i: f"A long reference, about the clip that is called {i}." for i in "AB"}
    failed = {i: SavedAnswer(text, error="blocked") for i, text in asked.items()}
    assert pair(SavedAnswers(Path("file"), failed), asked).notes == ()


@pytest.mark.parametrize("first", [0, 1, 2, -1, 3, 10**400])
def test_where_one_number_does_not_fit_only_references_count(first: int) -> None:
    """The run left out clips: all numbers may be of others."""
    asked = {"A": "one", "B": "two", "C": "three"}
    found = found_by_id(unnamed((first, "three"), (1, "one")), asked)
    assert {i: answer.value for i, answer in found.items()} == {"C": "answer 1", "A": "answer 2"}


def test_an_answer_that_fits_no_clip_by_number_or_reference_is_refused() -> None:
    asked = {"A": "positive", "B": "negative", "C": "positive"}
    for rows in ([(1, "positive")], [(0, "positive"), (0, "negative")], [(0, "other")]):
        with pytest.raises(
            DataError, match=r"file, row 1: it has no video_id.* neither its doc_id"
        ):
            found_by_id(unnamed(*rows), asked)
    with pytest.raises(DataError, match="answered more than once: B"):
        found_by_id(unnamed((1, "negative"), (1, "negative")), asked)


def test_long_answers_that_equal_their_references_are_noted() -> None:
    asked = {i: f"A long reference, about the clip that is called {i}." for i in "ABCDE"}
    pairing = pair(saved(A=asked["A"], B=asked["B"] + " ", C="a cat", D="", E=None), asked)
    (note,) = pairing.notes
    assert note.startswith("2 of 5 answers are the same as their references, letter for letter")
    assert "--answer-field" in note
    assert pair(saved(A=asked["A"], B="a cat"), asked).notes == ()
    short = dict.fromkeys("ABCDE", "x" * 39)
    assert pair(saved(A="x" * 39, B="x" * 39, C="y"), short).notes == ()
    long = dict.fromkeys("ABCDE", "x" * 40)
    assert pair(saved(A="x" * 40, B="x" * 40, C="y"), long).notes


def test_labels_are_noted_only_if_all_are_right() -> None:
    asked = dict.fromkeys("ABC", "Positive")
    (note,) = pair(saved(A="positive", B="Positive", C="Positive"), asked).notes
    assert note.startswith("3 of 3 answers")
    assert pair(saved(A="Positive", B="Positive", C="B"), asked).notes == ()
    assert pair(saved(A="Positive", B="Positive"), asked).notes == (), "too few to tell"


def test_texts_on_screen_are_noted_if_half_equal_their_references() -> None:
    asked = {i: [f"text of {i}"] for i in "ABCDEF"}
    right = {i: asked[i] for i in "ABC"}
    assert pair(saved(**right, D=["a"], E=["b"], F=["c"]), asked).notes
    assert pair(saved(**right, D=["a"], E=["b"], F=["c"], G=["d"]), asked).notes
    assert not pair(
        saved(A=asked["A"], B={"ocr": asked["B"]}, C=["a"], D=["b"], E=["c"]), asked
    ).notes
    assert not pair(saved(**right, D=["a"], E=["b"], F=["c"], H=["x"]), asked | {"H": ["h"]}).notes
    nested = {i: {"ocr": asked[i]} for i in "ABC"}
    assert pair(saved(**nested), asked).notes


# --- Answers of another task are refused by what they look like ---

TONES = ["Positive", "Neutral", "Negative"]


def paired(values: list[Any], task: str, options: Sequence[str] = ()) -> None:
    """Pair a file's answers with as many clips."""
    answers = {f"PI-{i}": SavedAnswer(value) for i, value in enumerate(values)}
    asked = dict.fromkeys(answers or {"PI-0": None}, "x")
    pair(
        SavedAnswers(Path("answers.jsonl"), answers or {"PI-0": SavedAnswer("")}),
        asked,
        task,
        options,
    )


CAPTION = "A man in a red coat walks along a beach with his dog while soft music plays, and waves."


@pytest.mark.parametrize(
    "option",
    ["A", "b.", "(C)", "**B**", "Answer: B", "option c", "Positive", "A. Positive", "Narration",
     "In-Video Voice", "(b) out-video voice."],
)  # fmt: skip
def test_options_are_no_descriptions(option: str) -> None:
    with pytest.raises(DataError, match=r"answers.jsonl: 3 of 4 answers are options or letters"):
        paired([option, option, option, CAPTION, None, 5], "objects")


def test_two_options_are_enough_to_tell_also_without_an_id() -> None:
    with pytest.raises(DataError, match="2 of 2 answers are options or letters"):
        paired(["A", "B"], "objects")
    rows = [UnnamedAnswer("file", n, "x", SavedAnswer("A")) for n in range(2)]
    with pytest.raises(DataError, match="2 of 2 answers are options or letters"):
        pair(SavedAnswers(Path("file"), {}, tuple(rows)), {"A": "x", "B": "x"}, "objects")
    with pytest.raises(DataError, match="2 of 2 answers are long texts"):
        paired([CAPTION] * 2, "tone", TONES)


def test_what_failed_is_not_asked_what_it_looks_like() -> None:
    failed = {name: SavedAnswer(CAPTION, "blocked") for name in "ABC"}
    answers = SavedAnswers(Path("file"), failed | {"D": SavedAnswer("Positive")})
    assert len(pair(answers, dict.fromkeys("ABCD", "x"), "tone", TONES).saved) == 4


def test_descriptions_however_short_are_descriptions() -> None:
    paired(["A cat.", "Yes", "No", "A", "cat", "none", "A positive mood."], "objects")
    paired(["A", "B", "a cat"], "objects")  # two thirds are no more than that
    paired(["A"], "objects")
    paired([], "objects")
    paired(["A", "B"], "tone")


def test_long_texts_that_name_no_option_are_no_choices() -> None:
    with pytest.raises(DataError) as error:
        paired([CAPTION] * 3 + ["Positive"], "tone", TONES)
    assert "3 of 4 answers are long texts that name none of the options" in str(error.value)
    assert '(Positive, Neutral, Negative), such as "A man in a red coat' in str(error.value)
    assert "is it a file of captions?" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["A man walks.", CAPTION + " The answer is open.", CAPTION + " It is NEUTRAL, I think.", ""],
)
def test_a_bad_answer_to_a_choice_is_still_one(text: str) -> None:
    paired([text] * 4, "tone", TONES)
    paired([CAPTION, CAPTION, "A"], "tone", TONES)
    paired([f"<think>{CAPTION}</think>A"] * 4, "tone", TONES)
    paired([CAPTION], "tone", TONES)
