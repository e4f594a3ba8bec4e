"""A clip's row in the samples file, and what becomes of the rows in the results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ugc_tasks.caption.metrics import (
    DIMENSIONS,
    average_interval,
    clip_metrics,
    noise,
)
from ugc_tasks.estimate import interval
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, mean_judgment, why_not_judged
from ugc_tasks.lmms.metrics import count, count_flags, count_heard, one_label, share
from ugc_tasks.results.answer_text import model_answer

SCORES = Scores(visual=5, audio=3, details=4)
SCORED = Judgment("PI-1", scores=SCORES, reply="{...}", model="gpt", fingerprint="fp", attempts=1)
FAILED = Judgment("PI-1", failure="the reply is no JSON", reply="Sorry.", attempts=3)
BLANK = Judgment("PI-1", failure="empty caption")
SCORE_KEYS = {*DIMENSIONS, "average"}


def row(judgment: Judgment | None, *, estimate: bool = False, **generation: Any) -> dict[str, Any]:
    text = " " if judgment is BLANK else "A caption."
    caption = model_answer(text, "caption", generation=generation or None)
    return clip_metrics("PI-1", caption, judgment, label="a judge", estimate=estimate, wanted=4)


def test_a_judged_clip_has_its_scores_on_the_published_scale() -> None:
    scored = row(SCORED)
    assert {key: scored[key] for key in SCORE_KEYS} == {
        "visual": 100.0,
        "audio": 60.0,
        "details": 80.0,
        "average": 80.0,
    }
    assert (scored["n"], scored["coverage"]) == ("PI-1", "1/4")
    assert scored["judge_failed"] == scored["caption_failed"] == ""


def test_a_judged_clip_tells_who_said_what() -> None:
    scored = row(SCORED)
    assert scored["video_id"] == "PI-1"
    assert scored["judge"] == "a judge"
    assert scored["judge_reply"] == "{...}"
    assert (scored["judge_model"], scored["judge_fingerprint"]) == ("gpt", "fp")
    assert scored["judge_stored"] is False


def test_an_estimate_never_stands_under_the_name_of_a_score() -> None:
    estimated = row(SCORED, estimate=True)
    assert not SCORE_KEYS & set(estimated)
    assert estimated["average_estimate"] == 80.0


def test_an_estimate_says_how_far_off_it_may_be_and_what_it_knows_nothing_of() -> None:
    guess = Judgment("PI-1", scores=SCORES, unlike="short")
    rows = [row(guess, estimate=True), row(SCORED, estimate=True)]
    told = average_interval([each["interval_of_estimate"] for each in rows])
    word, low, to, high = told.split()
    assert (word, to) == ("estimate", "to")
    assert (low, high) == tuple(f"{bound:.1f}" for bound in interval("average", 80.0, 2))
    assert count_flags([each["unlike_of_estimate"] for each in rows]) == "1: 1 short"


def test_a_score_has_no_interval_of_an_estimate() -> None:
    assert not {"interval_of_estimate", "unlike_of_estimate"} & set(row(SCORED))


def test_the_mean_of_several_judgments_is_the_score_and_each_is_in_the_row() -> None:
    said = [Judgment("PI-1", scores=Scores(grade, 3, 4)) for grade in (5, 4, 4)]
    judged = row(mean_judgment(said))
    assert judged["visual"] == pytest.approx(260 / 3)
    assert judged["average"] == pytest.approx((260 / 3 + 60 + 80) / 3)
    assert judged["judge_repeats"] == "3 of 3"
    assert judged["judge_noise"] == "visual 5 4 4; audio 3 3 3; details 4 4 4"
    assert json.loads(json.dumps(judged)) == judged


@pytest.mark.parametrize("wanted", ["1", "5"])
def test_the_noise_says_how_many_repeats_are_enough_for_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("UGC_JUDGE_INTERVAL", wanted)
    assert f"repeats enough for ±{wanted}: visual" in noise(["visual 4 5", "visual 3 4"])


def test_a_caption_of_one_modality_has_its_one_score_and_no_average() -> None:
    heard = row(Judgment("PI-1", scores=Scores(audio=3)))
    assert {key: heard[key] for key in SCORE_KEYS & set(heard)} == {"audio": 60.0}
    assert heard["n"] == "PI-1"


def test_a_failed_judgment_is_no_score_and_is_counted_with_its_reply() -> None:
    failed = row(FAILED)
    assert not SCORE_KEYS & set(failed), "absent, so that no mean has a zero in it"
    assert failed["judge_failed"] == "the reply is no JSON"
    assert failed["judge_reply"] == "Sorry."
    assert failed["caption_failed"] == ""
    assert (failed["n"], failed["coverage"]) == ("", "0/4")


def test_a_clip_without_a_caption_is_the_models_failure_not_the_judges() -> None:
    silent = row(BLANK)
    assert silent["caption_failed"] == "the model gave no caption"
    assert silent["judge_failed"] == ""
    assert not SCORE_KEYS & set(silent)


def test_the_models_own_reason_is_kept() -> None:
    broken = row(BLANK, error="no picture in it")
    assert broken["caption_failed"] == "no picture in it"
    assert broken["judge_failed"] == ""


def test_what_counts_as_no_caption_is_what_the_judge_is_not_asked_about() -> None:
    assert why_not_judged(JudgeItem("PI-1", " ", "reference")) == BLANK.failure


def test_without_a_judge_there_is_the_caption_only() -> None:
    unjudged = row(None, heard=True)
    assert not SCORE_KEYS & set(unjudged)
    assert not any(key.startswith("judge_reply") for key in unjudged)
    assert unjudged["judge_failed"] == "", "not asked is not failed"
    assert unjudged["clips_heard"] == "heard"


@pytest.mark.parametrize(
    ("generation", "heard"),
    [
        ({}, "unknown"),
        ({"heard": True}, "heard"),
        ({"heard": False, "sound_missing": "no track"}, "no track"),
        ({"heard": False}, "no"),
    ],
)
def test_whether_the_sound_was_heard_is_told_with_the_reason(
    generation: dict[str, Any], heard: str
) -> None:
    assert row(SCORED, **generation)["clips_heard"] == heard


def test_a_row_is_plain_json() -> None:
    judged = row(SCORED, heard=True, tokens=3)
    assert json.loads(json.dumps(judged)) == judged
    assert judged["generation"] == {"heard": True, "tokens": 3}


def test_what_there_is_to_tell_is_counted() -> None:
    assert count(["a reason", "", "another"]) == 2
    assert count([]) == 0


def test_shares_of_the_whole_benchmark_add_up_exactly() -> None:
    assert share(["1/999"] * 999) == 1.0
    assert share(["1/4", "0/4", "1/4"]) == 0.5


def test_heard_clips_are_counted_unless_no_model_told() -> None:
    assert count_heard(["heard", "no track", "heard"]) == 2
    assert count_heard(["unknown", "unknown"]) == "unknown"
    assert count_heard(["no track", "no"]) == 0


def test_a_mixture_of_judges_is_named_as_one() -> None:
    assert one_label(["a", "a"]) == "a"
    assert one_label(["b", "a", "b"]) == "a + b"
