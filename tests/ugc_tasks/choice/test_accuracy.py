"""How good answers to a choice question are: the figures, and files of saved answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.choice.accuracy import accuracy
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.questions import read_choice_questions
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers
from ugc_tasks.results.scoring import Report, SavedRun, score


def test_accuracy_is_over_all_questions_and_unanswered_ones_are_wrong() -> None:
    figures = accuracy(["a", "a", "b", "a"], ["a", None, "b", "b"])
    assert (figures["correct"], figures["unanswered"]) == (2, 1)
    assert figures["accuracy"] == 50.0


def test_the_constant_answer_is_the_most_frequent_label() -> None:
    figures = accuracy(["a", "b", "b", "c"], ["a"] * 4)
    assert (figures["constant_answer"], figures["constant"]) == ("b", 50.0)
    assert accuracy(["b", "a"], ["a", "a"])["constant_answer"] == "a", "equally frequent: by name"


def test_macro_f1_weighs_each_label_alike() -> None:
    # a: precision 2/3, recall 1 -> 0.8; b: precision 1, recall 1/2 -> 2/3.
    figures = accuracy(["a", "a", "b", "b"], ["a", "a", "a", "b"])
    assert figures["macro_f1"] == pytest.approx(100 * (0.8 + 2 / 3) / 2)


def test_macro_f1_has_no_term_for_a_label_that_never_occurs() -> None:
    assert accuracy(["a", "a"], ["a", "z"])["macro_f1"] == pytest.approx(100 * 2 / 3)


def test_a_constant_answer_has_a_poor_macro_f1() -> None:
    labels = ["a"] * 9 + ["b"]
    figures = accuracy(labels, ["a"] * 10)
    assert figures["accuracy"] == figures["constant"] == 90.0
    assert figures["macro_f1"] == pytest.approx(100 * (18 / 19) / 2)


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
    figures = accuracy(list(questions.references.values()), [answer] * n)
    assert len(questions.references) == n
    assert figures["constant_answer"] == answer
    assert round(figures["accuracy"], 1) == round(figures["constant"], 1) == constant


# --- Saved answers to a choice question, scored ---

LABELS = {"PI-1": "positive", "PI-2": "Positive", "PI-3": "negative", "PI-4": "Neutral"}


@pytest.fixture
def references(tmp_path: Path) -> Path:
    options = ["Positive", "Negative", "Neutral"]
    samples = [{"video_id": i, "answer": a, "options": options} for i, a in LABELS.items()]
    for name in ("tone.json", "BGM.json"):
        content = json.dumps({"question": "Which tone?", "samples": samples})
        (tmp_path / name).write_text(content, "utf-8")
    return tmp_path


def scored(references: Path, answers: dict[str, Any], task: str = "tone") -> Report:
    saved = {
        i: value if isinstance(value, SavedAnswer) else SavedAnswer(value)
        for i, value in answers.items()
    }
    home = Home(root=None, videos=references, cache=references / "cache", allow_partial=False)
    return score(
        SavedRun(task, SavedAnswers(references / "file", saved), home, {}, references=references)
    )


def test_answers_are_matched_and_the_constant_answer_stands_beside(references: Path) -> None:
    report = scored(
        references,
        {"PI-1": "A", "PI-2": "It is negative.", "PI-3": {"answer": "negative"}, "PI-4": "Hm."},
    )
    assert report.metrics == {
        "accuracy": 50.0,
        "constant": 50.0,
        "macro_f1": pytest.approx(100 * (2 / 3 + 2 / 3 + 0) / 3),
        "unanswered": 1,
    }
    assert (report.n, report.failed, report.complete()) == (4, 0, True)
    assert [item["chosen"] for item in report.items] == ["Positive", "Negative", "Negative", None]
    assert [item["score"] for item in report.items] == [1, 0, 1, 0]
    assert report.facts["constant_answer"] == "Positive"
    # Wilson's interval of two of four.
    assert report.ci95["accuracy"] == (
        pytest.approx(15.0036, abs=1e-3),
        pytest.approx(84.9964, abs=1e-3),
    )
    assert report.notes == ("always answering 'Positive' gives 50.0, and these answers no more",)


def test_no_option_is_unanswered_and_a_blank_is_a_failure_that_does_not_count(
    references: Path,
) -> None:
    report = scored(
        references,
        {"PI-1": "Hm.", "PI-2": " \n", "PI-3": SavedAnswer("", error="blocked"), "PI-9": "A"},
    )
    assert (report.n, report.failed, report.metrics["unanswered"]) == (1, 2, 1)
    assert (report.pairing.missing, report.pairing.unknown) == (("PI-4",), ("PI-9",))
    assert [item["failure"] and item["failure"]["reason"] for item in report.items] == [
        None,
        "the model gave no answer",
        "blocked",
    ]
    assert not report.complete()


def test_the_interval_is_that_of_the_clips_that_were_answered(references: Path) -> None:
    answered = {"PI-1": "A", "PI-2": "B"}
    alone = scored(references, answered).ci95
    assert scored(references, answered | {"PI-3": SavedAnswer("", error="blocked")}).ci95 == alone


def test_a_letter_is_one_of_the_clips_own_options(references: Path) -> None:
    path = references / "tone.json"
    content = json.loads(path.read_text("utf-8"))
    content["samples"][2]["options"] = ["Neutral", "Positive", "Negative"]
    path.write_text(json.dumps(content), "utf-8")
    report = scored(references, {"PI-1": "A", "PI-3": "C"})
    assert [item["chosen"] for item in report.items] == ["Positive", "Negative"]


def test_captions_are_no_answers_to_a_choice(references: Path) -> None:
    caption = "A man in a red coat walks along a beach with his dog while soft music plays there."
    with pytest.raises(DataError, match="is it a file of captions"):
        scored(references, dict.fromkeys(LABELS, caption))


def test_what_beats_a_constant_answer_needs_no_note(references: Path) -> None:
    right = {"PI-1": "A", "PI-2": "A", "PI-3": "B", "PI-4": "C"}
    report = scored(references, right)
    assert (report.metrics["accuracy"], report.notes) == (100.0, ())


def test_nothing_answered_is_no_figure(references: Path) -> None:
    report = scored(references, {"PI-1": SavedAnswer(None, error="blocked")})
    assert report.n == 0
    assert set(report.metrics.values()) == {None}


def test_background_music_says_that_it_measures_nothing(references: Path) -> None:
    report = scored(references, {"PI-1": "Positive"}, task="bgm")
    assert report.notes == ("every label is No: this measures nothing",)
