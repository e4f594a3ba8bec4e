"""How good choices are, and that a constant answer is shown beside them."""

from __future__ import annotations

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.choice.accuracy import accuracy
from ugc_tasks.data.choice_questions import read_choice_questions


def test_accuracy_is_over_all_questions_and_unanswered_ones_are_wrong() -> None:
    figures = accuracy(["a", "a", "b", "a"], ["a", None, "b", "b"])
    assert (figures.n, figures.correct, figures.unanswered) == (4, 2, 1)
    assert figures.accuracy == 50.0


def test_the_constant_answer_is_the_most_frequent_label() -> None:
    figures = accuracy(["a", "b", "b", "c"], ["a"] * 4)
    assert (figures.constant_answer, figures.constant) == ("b", 50.0)
    assert accuracy(["b", "a"], ["a", "a"]).constant_answer == "a", "equally frequent: by name"


def test_macro_f1_weighs_each_label_alike() -> None:
    # a: precision 2/3, recall 1 -> 0.8; b: precision 1, recall 1/2 -> 2/3.
    figures = accuracy(["a", "a", "b", "b"], ["a", "a", "a", "b"])
    assert figures.macro_f1 == pytest.approx(100 * (0.8 + 2 / 3) / 2)


def test_macro_f1_has_no_term_for_a_label_that_never_occurs() -> None:
    assert accuracy(["a", "a"], ["a", "z"]).macro_f1 == pytest.approx(100 * 2 / 3)


def test_a_constant_answer_has_a_poor_macro_f1() -> None:
    labels = ["a"] * 9 + ["b"]
    figures = accuracy(labels, ["a"] * 10)
    assert figures.accuracy == figures.constant == 90.0
    assert figures.macro_f1 == pytest.approx(100 * (18 / 19) / 2)


@pytest.mark.parametrize(("labels", "chosen"), [([], []), (["a"], []), (["a"], ["a", "a"])])
def test_nothing_to_compare_is_an_error(labels: list[str], chosen: list[str | None]) -> None:
    with pytest.raises(ValueError, match="as many answers as labels"):
        accuracy(labels, chosen)


@pytest.mark.parametrize(
    ("file", "n", "constant", "answer"),
    [
        ("voice_source.json", 669, 94.6, "In-Video Voice"),
        ("tone.json", 999, 74.4, "Positive"),
        ("BGM.json", 999, 100.0, "No"),
    ],
)
def test_the_published_annotations_are_won_by_a_constant(
    file: str, n: int, constant: float, answer: str
) -> None:
    questions = read_choice_questions(reference_dir() / "questions" / file)
    figures = accuracy(list(questions.labels.values()), [answer] * n)
    assert figures.n == n
    assert figures.constant_answer == answer
    assert round(figures.accuracy, 1) == round(figures.constant, 1) == constant
