"""The row of a clip: the same keys in every row, figures on the published scale or null."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.grades import grades
from ugc_tasks.judge.judge import why_not_judged
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, Usage, mean_judgment
from ugc_tasks.results.answer_text import ModelAnswer, model_answer
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.rows import judged_row, part_of_overall
from ugc_tasks.results.rows import row as plain_row

TEXT = ModelAnswer("text")
SCORES = Scores(visual=5, audio=3, details=4)
USAGE = Usage(700, 18, 0.002)
SCORED = Judgment(
    "PI-1",
    SCORES,
    reply="{...}",
    model="gpt",
    fingerprint="fp",
    attempts=1,
    usage=USAGE,
    request_sha256="c0ffee",
)
FAILED = Judgment("PI-1", failure="the reply is no JSON", reply="Sorry.", attempts=3)
FIGURES = {*DIMENSIONS, "average", "background", "objects", "audio_caption", "visual_caption"}
each_task = pytest.mark.parametrize(
    ("task", "subject"),
    [("caption", "caption"), ("background", "answer"), ("objects", "answer")],
)


def unjudged(told: dict[str, Any] | None, *, figure: float | None = 100.0) -> dict[str, Any]:
    """Return the row of a clip of four, with what the model reported of its answer."""
    answer = ModelAnswer("text", generation=told)
    return plain_row(
        "tone", "PI-1", answer, {"tone": figure}, reference="A", clip="/v/PI-1.mp4", wanted=4
    )


def row(
    judgment: Judgment | None,
    task: str = "caption",
    answer: ModelAnswer = TEXT,
    *,
    estimate: bool = False,
) -> dict[str, Any]:
    """Return the row of a judged clip of four."""
    return judged_row(
        *(task, "PI-1", answer, judgment),
        judge={"label": "a judge", "estimate": estimate},
        reference="reference",
        clip=None,
        wanted=4,
    )


def figures(of: dict[str, Any]) -> dict[str, Any]:
    return {name: of[name] for name in FIGURES & set(of) if of[name] is not None}


# --- every task -----------------------------------------------------------------------------------


def test_a_row_says_whether_its_clip_is_scored_and_how_many_clips_there_are() -> None:
    scored, other = unjudged({}), unjudged({}, figure=None)
    assert (scored["n"], scored["coverage"]) == ("PI-1", {"scored": True, "of": 4})
    assert (other["n"], other["coverage"]) == (None, {"scored": False, "of": 4})


def test_a_row_has_what_was_asked_answered_and_right() -> None:
    whole = unjudged({})
    assert (whole["task"], whole["clip"]) == ("tone", "/v/PI-1.mp4")
    assert (whole["prediction"], whole["reference"]) == ("text", "A")
    missing = row(None, answer=model_answer("", "caption"))
    assert (missing["prediction"], missing["reference"]) == (None, "reference")


def test_a_score_is_on_0_to_1_for_lmms_evals_own_comparisons() -> None:
    assert unjudged({})["score"] == 1.0
    assert row(SCORED)["score"] == 0.8
    assert row(FAILED)["score"] is unjudged({}, figure=None)["score"] is None
    assert row(SCORED, estimate=True)["score"] is None, "an estimate is no score"


def test_what_the_model_reported_of_its_answer_is_in_the_row() -> None:
    told = {"heard": False, "sound_missing": "no track", "decoding": "greedy", "error": ""}
    told_row = unjudged(told)
    assert (told_row["heard"], told_row["decoding"]) == (False, "greedy")
    assert told_row["generation"] == told
    assert unjudged(None)["generation"] is unjudged(None)["decoding"] is None


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        *((told, None) for told in (None, {}, {"heard": "yes"}, {"heard": 1}, {"heard": None})),
        *(({"heard": value}, value) for value in (True, False)),
    ],
)
def test_whether_sound_was_used_is_true_false_or_not_known(
    told: dict[str, Any] | None, heard: bool | None
) -> None:
    assert unjudged(told)["heard"] is heard


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        (["token_limit", "repetition"], ["token_limit", "repetition"]),
        ([], []),
        *((other, None) for other in ("token_limit", None, [1], ["cut", None])),
    ],
)
def test_flags_are_in_the_row_unless_they_have_another_form(
    flags: object, kept: list[str] | None
) -> None:
    assert unjudged({"flags": flags})["flags"] == kept
    assert unjudged(None)["flags"] is None


# --- judged tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "scores", "expected"),
    [
        ("caption", SCORES, {"visual": 100, "audio": 60, "details": 80, "average": 80}),
        ("audio_caption", Scores(audio=3), {"audio_caption": 60}),
        ("visual_caption", Scores(visual=1), {"visual_caption": 20}),
        ("background", Scores(consistent=1.0), {"background": 100}),
        ("background", Scores(consistent=0.0), {"background": 0}),
        ("objects", Scores(match_score=0.25), {"objects": 25}),
        ("objects", Scores(match_score=0.0), {"objects": 0}),
    ],
)
def test_a_judged_clip_has_its_figures_on_the_published_scale(
    task: str, scores: Scores, expected: dict[str, Any]
) -> None:
    judged = row(Judgment("PI-1", scores=scores), task)
    assert figures(judged) == expected
    assert (judged["n"], judged["failure"]) == ("PI-1", None)


@pytest.mark.parametrize(
    ("task", "scores", "part"),
    [
        ("caption", SCORES, {"columns": 3, "of": 8, "mean": 80}),
        ("objects", Scores(match_score=0.25), {"columns": 1, "of": 8, "mean": 25}),
    ],
)
def test_a_row_carries_its_part_in_the_mean_of_the_eight_columns(
    task: str, scores: Scores, part: dict[str, Any]
) -> None:
    assert row(Judgment("PI-1", scores=scores), task)["overall"] == part
    assert row(FAILED, task)["overall"] is None
    assert "overall" not in row(Judgment("PI-1", scores=Scores(audio=3)), "audio_caption")
    assert part_of_overall({"tone": 50.0}) == {"columns": 1, "of": 8, "mean": 50.0}


def test_a_judged_clip_says_who_judged_and_what_and_what_it_cost() -> None:
    judged = row(SCORED)
    assert judged["judge"] == {
        "label": "a judge",
        "judgments": [
            {
                "scores": {"visual": 5, "audio": 3, "details": 4},
                "failure": None,
                "reply": "{...}",
                "model": "gpt",
                "fingerprint": "fp",
                "stored": False,
                "request_sha256": "c0ffee",
                "prompt_tokens": 700,
                "completion_tokens": 18,
                "usd": 0.002,
            }
        ],
        "unlike": None,
    }
    assert json.loads(json.dumps(judged)) == judged


def test_what_was_not_paid_for_has_no_cost() -> None:
    [judgment] = row(Judgment("PI-1", SCORES, stored=True))["judge"]["judgments"]
    assert judgment["stored"] is True
    assert judgment["prompt_tokens"] is judgment["completion_tokens"] is judgment["usd"] is None


@each_task
def test_a_failed_judgment_is_no_score_not_a_zero_and_the_judges_failure(
    task: str, subject: str
) -> None:
    failed = row(FAILED, task)
    assert not figures(failed), "null, so that no mean has a zero in it"
    assert failed["failure"] == {"kind": "judge", "reason": "the reply is no JSON"}
    assert failed["judge"]["judgments"][0]["reply"] == "Sorry."
    assert failed["coverage"] == {"scored": False, "of": 4}
    assert row(Judgment("PI-1", failure=""), task)["failure"]["reason"], "also without a word"


@each_task
def test_no_answer_is_the_models_failure_not_the_judges(task: str, subject: str) -> None:
    blank = Judgment("PI-1", failure=f"empty {subject}")
    silent = row(blank, task, model_answer(" \n", task))
    assert not figures(silent)
    assert silent["failure"] == {"kind": subject, "reason": f"the model gave no {subject}"}
    assert silent["judge"]["judgments"] == [], "nobody was asked"
    broken = row(blank, task, model_answer("", task, generation={"error": "no picture in it"}))
    assert broken["failure"] == {"kind": subject, "reason": "no picture in it"}


@each_task
def test_without_a_judge_there_is_the_answer_only(task: str, subject: str) -> None:
    alone = row(None, task, ModelAnswer("text", generation={"heard": True}))
    assert not figures(alone)
    assert alone["judge"] == {"label": "a judge", "judgments": [], "unlike": None}
    assert (alone["failure"], alone["n"]) == (None, None), "not asked is not failed"


def test_every_row_of_a_task_has_the_same_keys() -> None:
    said = [SCORED, FAILED, None, mean_judgment([SCORED, FAILED])]
    keys = [list(row(judgment)) for judgment in said]
    assert keys.count(keys[0]) == len(said)
    assert list(row(FAILED, answer=model_answer("", "caption"))) == keys[0]


def documented(section: str) -> set[str]:
    """Return the keys that a section of the documentation has in its first table."""
    text = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    table = (
        text.partition(f"\n## {section}\n")[2].partition("\n|---|---|\n")[2].partition("\n\n")[0]
    )
    return {key for line in table.splitlines() for key in re.findall("`(.+?)`", line.split("|")[1])}


def test_every_key_is_documented() -> None:
    assert set(row(SCORED)) == documented("Rows")
    section = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    assert all(f"`{key}`" in section for key in row(SCORED)["judge"]["judgments"][0])


def test_every_fact_is_documented() -> None:
    facts = run_facts([row(SCORED)])
    assert set(facts) - {"task"} <= documented("run.json")


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
    assert row(guess, estimate=True)["judge"]["unlike"] == "short"
    assert row(SCORED, estimate=True)["judge"]["unlike"] is None


# --- several judgments of one answer --------------------------------------------------------------


def test_the_mean_of_several_judgments_is_the_score_and_each_is_in_the_row() -> None:
    said = [Judgment("PI-1", scores=grades(grade, 3, 4)) for grade in (5, 4, 4)]
    judged = row(mean_judgment(said))
    assert judged["visual"] == pytest.approx(260 / 3)
    assert judged["average"] == pytest.approx((260 / 3 + 60 + 80) / 3)
    assert [each["scores"]["visual"] for each in judged["judge"]["judgments"]] == [5, 4, 4]
    assert json.loads(json.dumps(judged)) == judged


def test_verdicts_that_differ_are_a_share() -> None:
    verdicts = [Judgment("PI-1", scores=Scores(consistent=x)) for x in (1.0, 0.0, 1.0, 1.0)]
    assert row(mean_judgment(verdicts), "background")["background"] == 75.0


def test_a_clip_that_was_judged_several_times_has_all_of_it_in_its_row() -> None:
    ran: dict[str, Any] = {"model": "m", "usage": USAGE}
    parts = (
        Judgment("PI-1", Scores(match_score=0.5), reply="half", fingerprint="fp_2", **ran),
        Judgment("PI-1", failure="no object: {", reply="?", fingerprint="fp_1", **ran),
        Judgment("PI-1", Scores(match_score=1.0), reply="all", fingerprint="fp_2", **ran),
    )
    judged = row(mean_judgment(parts), "objects")
    said = judged["judge"]["judgments"]
    assert [each["scores"] for each in said] == [{"match_score": 0.5}, None, {"match_score": 1}]
    assert [each["failure"] for each in said] == [None, "no object: {", None]
    assert [each["reply"] for each in said] == ["half", "?", "all"]
    assert [each["fingerprint"] for each in said] == ["fp_2", "fp_1", "fp_2"]
    assert [each["usd"] for each in said] == [0.002] * 3
    assert (judged["n"], judged["failure"]) == ("PI-1", None)


def test_a_clip_of_which_no_repeat_came_failed() -> None:
    parts = [Judgment("PI-1", failure="no object", model="m"), Judgment("PI-1", failure="401")]
    failed = row(mean_judgment(parts), "objects")
    assert failed["failure"] == {"kind": "judge", "reason": "401"}
    assert [each["failure"] for each in failed["judge"]["judgments"]] == ["no object", "401"]
