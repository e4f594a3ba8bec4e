"""The choice tasks as lmms-eval loads and scores them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.choice.accuracy import accuracy
from ugc_tasks.results.facts import run_facts


class Told(str):
    """An answer as a model of ours gives it."""

    generation: dict[str, Any]


def told(text: str, **generation: Any) -> Told:
    answer = Told(text)
    answer.generation = generation
    return answer


def test_an_answer_is_right_wrong_or_open_and_never_guessed(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(5)
    task = load_task("ugc_videocap_tone")
    answers = ["positive", "A. Positive", "B", "Positive or neutral.", "The answer is C."]
    rows = scored(task, answers)
    assert [row["chosen"] for row in rows] == ["Positive", "Positive", "Neutral", None, "Negative"]
    assert [row["tone"] for row in rows] == [100, 100, 0, 0, 100]
    assert [bool(row["unanswered"]) for row in rows] == [False, False, False, True, False]
    metrics = reported(task, rows)
    assert metrics["tone"] == 60.0
    assert metrics["unanswered"] == 1
    assert metrics["n"] == 5
    assert metrics["coverage"] == 1.0
    assert metrics["overall"] == {"columns": 1, "of": 8, "mean": 60.0}


def test_beside_the_accuracy_stand_the_constant_answers_and_macro_f1(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(4)
    task = load_task("ugc_videocap_voice_source")
    rows = scored(task, ["In-Video Voice"] * 4)
    metrics = reported(task, rows)
    whole = accuracy(["In-Video Voice"] * 3 + ["Narration"], ["In-Video Voice"] * 4)
    assert metrics["voice_source"] == metrics["constant_answer"] == whole["constant"] == 75.0
    assert metrics["macro_f1"] == whole["macro_f1"] == pytest.approx(100 * (6 / 7) / 2)


def test_an_answer_that_there_is_none_of_is_a_failure_and_no_wrong_answer(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(4)
    task = load_task("ugc_videocap_tone")
    rows = scored(task, ["A", "", told("", error="the clip is broken"), "C"])
    assert [row["failure"] and row["failure"]["reason"] for row in rows] == [
        None,
        "the model gave no answer",
        "the clip is broken",
        None,
    ]
    metrics = reported(task, rows)
    assert (metrics["tone"], metrics["n"], metrics["failure"]) == (100.0, 2, {"answer": 2})
    assert metrics["coverage"] == 0.5
    assert metrics["unanswered"] == 0
    assert metrics["constant_answer"] == 50.0, "of the clips that were answered"


def test_background_music_is_answered_and_stays_out_of_every_mean(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(2)
    task = load_task("ugc_videocap_bgm")
    rows = scored(task, ["No.", "Yes, there is music."])
    metrics = reported(task, rows)
    assert (metrics["bgm"], metrics["constant_answer"]) == (50.0, 100.0)
    assert "overall" not in metrics | rows[0]
    assert "measures nothing" in task.dump_config()["metadata"]["note"]


def test_what_the_model_reported_is_among_the_facts(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(2)
    task = load_task("ugc_videocap_tone")
    answers = [told("A", heard=True, decoding="greedy"), told("B", heard=False, decoding="greedy")]
    facts = run_facts(scored(task, answers))
    assert (facts["heard"]["clips"], facts["decoding"]) == (1, "greedy")
