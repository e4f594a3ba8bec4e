"""A background or objects answer: its judgment on the published scale, or the reason of none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ugc_tasks.detail.metrics import VALUES, answer_metrics, noise, score_of
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.types import Judgment, Scores, mean_judgment
from ugc_tasks.results.answer_text import model_answer

FAILED = Judgment("PI-1", failure="the reply is empty", reply="", attempts=3)
BLANK = Judgment("PI-1", failure="empty answer")


def row(question: str, judgment: Judgment | None, answer: str = "A.", **told: Any) -> Any:
    read = model_answer(answer, question, generation=told or None)
    return answer_metrics("PI-1", read, judgment, question=question, label="a judge", wanted=4)


@pytest.mark.parametrize(
    ("question", "scores", "score"),
    [
        ("background", Scores(consistent=1.0), 100.0),
        ("background", Scores(consistent=0.0), 0.0),
        ("objects", Scores(match_score=0.25), 25.0),
        ("objects", Scores(match_score=0.0), 0.0),
    ],
)
def test_a_judged_answer_has_its_score_under_the_questions_name(
    question: str, scores: Scores, score: float
) -> None:
    judged = row(question, Judgment("PI-1", scores=scores, reply="{…}", model="m", attempts=1))
    assert judged[question] == score
    assert (judged["n"], judged["coverage"]) == ("PI-1", "1/4")
    assert judged["answer_failed"] == judged["judge_failed"] == ""
    assert (judged["judge"], judged["judge_model"]) == ("a judge", "m")
    assert judged["judge_reply"] == "{…}"
    assert json.loads(json.dumps(judged)) == judged


def test_verdicts_that_differ_are_a_share_and_noise_under_the_questions_name() -> None:
    verdicts = [Judgment("PI-1", scores=Scores(consistent=x)) for x in (1.0, 0.0, 1.0, 1.0)]
    judged = row("background", mean_judgment(verdicts))
    assert judged["background"] == 75.0
    assert judged["judge_noise"] == "background 1 0 1 1"
    assert "background 2500.0 / - / " in noise([judged["judge_noise"]]), "0 and 100 apart"
    assert " / - / ±" in noise([judged["judge_noise"]]), "no points to be within one of"


@pytest.mark.parametrize("wanted", ["1", "5"])
def test_the_noise_says_how_many_repeats_are_enough_for_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("UGC_JUDGE_INTERVAL", wanted)
    assert f"repeats enough for ±{wanted}: objects" in noise(["objects 0.5 1", "objects 0 0.5"])


@pytest.mark.parametrize("question", VALUES)
def test_a_failed_judgment_is_no_score_and_not_a_zero(question: str) -> None:
    failed = row(question, FAILED)
    assert question not in failed
    assert failed["judge_failed"] == "the reply is empty"
    assert (failed["n"], failed["coverage"], failed["answer_failed"]) == ("", "0/4", "")


@pytest.mark.parametrize("question", VALUES)
def test_no_answer_is_the_models_failure_not_the_judges(question: str) -> None:
    silent = row(question, BLANK, " \n")
    assert question not in silent
    assert (silent["answer_failed"], silent["judge_failed"]) == ("the model gave no answer", "")
    assert row(question, BLANK, "", error="no picture in it")["answer_failed"] == "no picture in it"


@pytest.mark.parametrize("question", VALUES)
def test_without_a_judge_there_is_the_answer_only(question: str) -> None:
    unjudged = row(question, None, heard=True)
    assert question not in unjudged
    assert (unjudged["judge_failed"], unjudged["n"]) == ("", "")
    assert unjudged["clips_heard"] == "heard"


def test_the_score_of_each_is_a_value_that_its_judge_states() -> None:
    for question, value in VALUES.items():
        assert value in QUESTIONS[question].schema.names


def test_a_judgment_of_another_question_is_no_score_of_this_one() -> None:
    with pytest.raises(KeyError):
        score_of("objects", Judgment("PI-1", scores=Scores(consistent=1.0)))
    with pytest.raises(KeyError):
        score_of("caption", Judgment("PI-1", scores=Scores(4, 3, 5)))
