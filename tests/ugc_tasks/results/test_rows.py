"""The row of a clip: its figures on the published scale, or why it has none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.grades import grades
from ugc_tasks.judge.judge import why_not_judged
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, Usage, mean_judgment
from ugc_tasks.results.answer_text import ModelAnswer, model_answer
from ugc_tasks.results.rows import base_row, judged_row

TEXT = ModelAnswer("text")
SCORES = Scores(visual=5, audio=3, details=4)
SCORED = Judgment("PI-1", scores=SCORES, reply="{...}", model="gpt", fingerprint="fp", attempts=1)
FAILED = Judgment("PI-1", failure="the reply is no JSON", reply="Sorry.", attempts=3)
FIGURES = {*DIMENSIONS, "average", "overall", "background", "objects"}
each_task = pytest.mark.parametrize(
    ("task", "subject"),
    [("caption", "caption"), ("background", "answer"), ("objects", "answer")],
)


def unjudged(told: dict[str, Any] | None, *, scored: bool = True) -> dict[str, Any]:
    """Return the row of a clip of four, with what the model reported of its answer."""
    answer = ModelAnswer("text", generation=told)
    return base_row("tone", "PI-1", answer, scored=scored, wanted=4)


def row(
    judgment: Judgment | None,
    task: str = "caption",
    answer: ModelAnswer = TEXT,
    *,
    estimate: bool = False,
) -> dict[str, Any]:
    """Return the row of a judged clip of four."""
    judge = {"label": "a judge", "estimate": estimate}
    return judged_row(task, "PI-1", answer, judgment, judge=judge, wanted=4)


def figures(of: dict[str, Any]) -> dict[str, Any]:
    return {name: of[name] for name in FIGURES & set(of)}


# --- every task -----------------------------------------------------------------------------------


def test_a_row_says_whether_its_clip_is_scored_and_how_many_clips_there_are() -> None:
    scored, other = unjudged({}), unjudged({}, scored=False)
    assert (scored["n"], scored["coverage"]) == ("PI-1", {"scored": True, "of": 4})
    assert (other["n"], other["coverage"]) == ("", {"scored": False, "of": 4})


def test_what_the_model_reported_of_its_answer_is_in_the_row() -> None:
    told = {"heard": False, "sound_missing": "no track", "decoding": "greedy", "error": ""}
    told_row = unjudged(told)
    assert (told_row["clips_heard"], told_row["decoding"]) == ("no track", "greedy")
    assert told_row["generation"] == told


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (None, "unknown"),
        ({}, "unknown"),
        ({"heard": True}, "heard"),
        ({"heard": False, "sound_missing": "no track"}, "no track"),
        *(({"heard": value}, "no") for value in (False, "yes", 1, None)),
    ],
)
def test_only_true_counts_as_audio_used(told: dict[str, Any] | None, heard: str) -> None:
    assert unjudged(told)["clips_heard"] == heard


@pytest.mark.parametrize(
    ("flags", "flagged"),
    [
        (["token_limit", "repetition"], ["token_limit", "repetition"]),
        ([], []),
        *((other, None) for other in ("token_limit", None, [1], ["cut", None])),
    ],
)
def test_flags_are_in_the_row_unless_they_have_another_form(
    flags: object, flagged: list[str] | None
) -> None:
    assert unjudged({"flags": flags})["flagged"] == flagged
    assert unjudged(None)["flagged"] is None


# --- judged tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "scores", "expected"),
    [
        (
            "caption",
            SCORES,
            {"visual": 100, "audio": 60, "details": 80, "average": 80}
            | {"overall": {"columns": 3, "of": 8, "mean": 80}},
        ),
        ("audio_caption", Scores(audio=3), {"audio_caption": 60}),
        ("visual_caption", Scores(visual=1), {"visual_caption": 20}),
        *(
            (task, scores, {task: value, "overall": {"columns": 1, "of": 8, "mean": value}})
            for task, scores, value in (
                ("background", Scores(consistent=1.0), 100),
                ("background", Scores(consistent=0.0), 0),
                ("objects", Scores(match_score=0.25), 25),
                ("objects", Scores(match_score=0.0), 0),
            )
        ),
    ],
)
def test_a_judged_clip_has_its_figures_on_the_published_scale(
    task: str, scores: Scores, expected: dict[str, Any]
) -> None:
    judged = row(Judgment("PI-1", scores=scores), task)
    assert {name: judged[name] for name in expected} == expected
    assert FIGURES & set(judged) <= set(expected), "and no others"
    assert judged["n"] == "PI-1"
    failures = [value for name, value in judged.items() if name.endswith("_failed")]
    assert failures == ["", ""]


def test_a_judged_clip_says_who_judged_and_what() -> None:
    judged = row(SCORED)
    assert judged["video_id"] == "PI-1"
    assert (judged["judge"], judged["judge_ran"]) == ("a judge", "gpt fp")
    assert (judged["judge_model"], judged["judge_fingerprint"]) == ("gpt", "fp")
    assert judged["judge_reply"] == "{...}"
    assert json.loads(json.dumps(judged)) == judged


@pytest.mark.parametrize("stored", [False, True])
def test_a_judged_row_says_whether_it_was_paid_for_in_this_run(stored: bool) -> None:
    usage = Usage(700, 18, 0.002)
    judged = row(Judgment("PI-1", SCORES, stored=stored, usage=usage))
    assert judged["judge_stored"] is stored
    assert judged["judge_spent"] == {
        "stored": stored,
        "prompt_tokens": 700,
        "completion_tokens": 18,
        "usd": 0.002,
    }


@each_task
def test_a_failed_judgment_is_no_score_not_a_zero_and_the_judges_failure(
    task: str, subject: str
) -> None:
    failed = row(FAILED, task)
    assert not figures(failed), "absent, so that no mean has a zero in it"
    assert (failed["judge_failed"], failed["judge_reply"]) == ("the reply is no JSON", "Sorry.")
    assert failed[f"{subject}_failed"] == ""
    assert failed["coverage"] == {"scored": False, "of": 4}
    assert row(Judgment("PI-1", failure=""), task)["judge_failed"], "also without a word"


@each_task
def test_no_answer_is_the_models_failure_not_the_judges(task: str, subject: str) -> None:
    blank = Judgment("PI-1", failure=f"empty {subject}")
    silent = row(blank, task, model_answer(" \n", task))
    assert not figures(silent)
    assert silent[f"{subject}_failed"] == f"the model gave no {subject}"
    assert silent["judge_failed"] == ""
    broken = row(blank, task, model_answer("", task, generation={"error": "no picture in it"}))
    assert broken[f"{subject}_failed"] == "no picture in it"


@each_task
def test_without_a_judge_there_is_the_answer_only(task: str, subject: str) -> None:
    alone = row(None, task, ModelAnswer("text", generation={"heard": True}))
    assert not figures(alone)
    assert "judge_reply" not in alone
    assert (alone["judge_failed"], alone["n"]) == ("", ""), "not asked is not failed"
    assert alone["clips_heard"] == "heard"


def test_what_counts_as_no_caption_is_what_the_judge_is_not_asked_about() -> None:
    assert why_not_judged(JudgeItem("PI-1", " ", "reference")) == "empty caption"


def test_whatever_an_endpoint_says_the_row_can_be_written_down() -> None:
    said = Judgment("PI-1", SCORES, reply="half \ud800", model="m\udfff")
    written = json.dumps(row(said), ensure_ascii=False, allow_nan=False)
    assert "half ?" in written.encode().decode()


def test_what_was_changed_in_an_answer_before_it_was_sent_is_in_its_row() -> None:
    changed = Judgment("PI-1", SCORES, sanitized=("hidden", "label"))
    assert row(changed)["sanitized"] == ["hidden", "label"]
    assert row(SCORED)["sanitized"] == row(None)["sanitized"] == []


# --- an estimate ----------------------------------------------------------------------------------


def test_an_estimate_never_stands_under_the_name_of_a_score() -> None:
    estimated = row(SCORED, estimate=True)
    assert not figures(estimated)
    assert estimated["average_estimate"] == 80.0


def test_an_estimate_says_what_it_knows_nothing_of() -> None:
    guess = Judgment("PI-1", scores=SCORES, unlike="short")
    assert row(guess, estimate=True)["unlike_of_estimate"] == ["short"]
    assert row(SCORED, estimate=True)["unlike_of_estimate"] == []
    assert row(SCORED, estimate=True)["interval_of_estimate"] == {"average": 80.0}
    assert not {"interval_of_estimate", "unlike_of_estimate"} & set(row(SCORED))


# --- several judgments of one answer --------------------------------------------------------------


def test_the_mean_of_several_judgments_is_the_score_and_each_is_in_the_row() -> None:
    said = [Judgment("PI-1", scores=grades(grade, 3, 4)) for grade in (5, 4, 4)]
    judged = row(mean_judgment(said))
    assert judged["visual"] == pytest.approx(260 / 3)
    assert judged["average"] == pytest.approx((260 / 3 + 60 + 80) / 3)
    assert judged["judge_repeats"] == {"wanted": 3, "came": 3, "failures": []}
    assert judged["judge_noise"] == {
        "visual": [5, 4, 4],
        "audio": [3, 3, 3],
        "details": [4, 4, 4],
    }
    assert json.loads(json.dumps(judged)) == judged


def test_verdicts_that_differ_are_a_share() -> None:
    verdicts = [Judgment("PI-1", scores=Scores(consistent=x)) for x in (1.0, 0.0, 1.0, 1.0)]
    judged = row(mean_judgment(verdicts), "background")
    assert judged["background"] == 75.0
    assert judged["judge_noise"] == {"background": [1, 0, 1, 1]}


def test_a_clip_that_was_judged_several_times_has_all_of_it_in_its_row() -> None:
    ran: dict[str, Any] = {"model": "m", "usage": Usage(700, 18, 0.002)}
    parts = (
        Judgment("PI-1", Scores(match_score=0.5), reply="half", fingerprint="fp_2", **ran),
        Judgment("PI-1", failure="no object: {", reply="?", fingerprint="fp_1", **ran),
        Judgment("PI-1", Scores(match_score=1.0), reply="all", fingerprint="fp_2", **ran),
    )
    judged = row(mean_judgment(parts), "objects")
    assert judged["judge_repeats"] == {"wanted": 3, "came": 2, "failures": ["no object: {"]}
    assert judged["judge_noise"] == {"objects": [0.5, 1]}
    assert judged["judge_reply"] == ["half", "?", "all"]
    assert judged["judge_ran"] == "m fp_1 + m fp_2"
    assert [entry["usd"] for entry in judged["judge_spent"]] == [0.002] * 3
    assert (judged["n"], judged["judge_failed"]) == ("PI-1", "")


def test_a_clip_of_which_no_repeat_came_failed_and_has_no_noise() -> None:
    parts = [Judgment("PI-1", failure="no object", model="m"), Judgment("PI-1", failure="401")]
    failed = row(mean_judgment(parts), "objects")
    assert failed["judge_failed"] == "401"
    assert failed["judge_repeats"] == {"wanted": 2, "came": 0, "failures": ["401", "no object"]}
    assert failed["judge_ran"] == "m", "of the other nobody said what ran"
    assert "judge_noise" not in failed


def test_a_clip_that_was_judged_once_has_no_repeats_in_its_row() -> None:
    assert not {"judge_repeats", "judge_noise"} & set(row(SCORED))
    assert not {"judge_repeats", "judge_noise"} & set(row(FAILED))
