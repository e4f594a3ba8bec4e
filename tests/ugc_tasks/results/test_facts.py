"""What rows say of the whole run: figures and their intervals, failures, the judge, the cost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ugc_tasks.estimate.model import interval
from ugc_tasks.judge.types import Judgment, Scores, Usage, mean_judgment
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.facts import counted, mean, one_label, run_facts
from ugc_tasks.results.reliability import share_interval
from ugc_tasks.results.rows import judged_row, row

TEXT = ModelAnswer("A caption.", generation={"heard": True, "flags": [], "decoding": "greedy"})
USAGE = Usage(700, 18, 0.002)


def caption(
    grades: tuple[float, float, float] | None,
    answer: ModelAnswer = TEXT,
    *,
    estimate: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return the row of a caption that a judge gave these grades, or failed on."""
    scores = None if grades is None else Scores(zip(("visual", "audio", "details"), grades))  # noqa: B905
    failure = None if scores else "Sorry."
    judgment = Judgment("PI-1", scores, failure=failure, **({"usage": USAGE} | more))
    return judged(judgment, answer, estimate=estimate)


def judged(
    judgment: Judgment, answer: ModelAnswer = TEXT, task: str = "caption", *, estimate: bool = False
) -> dict[str, Any]:
    return judged_row(
        *(task, judgment.video_id, answer, judgment),
        judge={"label": "a judge", "estimate": estimate},
        reference="reference",
        clip=None,
        wanted=4,
    )


def test_figures_are_means_over_the_clips_that_have_a_score() -> None:
    facts = run_facts([caption((5, 4, 3)), caption((3, 4, 1)), caption(None)])
    assert facts["figures"] == {"visual": 80, "audio": 80, "details": 40, "average": 200 / 3}
    assert (facts["n"], facts["of"], facts["coverage"]) == (2, 4, 0.5)
    assert facts["ci95"]["visual"] == [0.0, 100.0], "80 ± 254.1, cut off"
    assert facts["ci95_method"]["visual"] == "Student's t"
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_of_no_scored_clip_there_is_no_figure() -> None:
    facts = run_facts([caption(None)])
    assert facts["figures"] == dict.fromkeys(("visual", "audio", "details", "average"))
    assert facts["ci95"] == facts["figures"]
    assert facts["n"] == 0


def test_shares_of_right_answers_have_wilsons_interval() -> None:
    rows = [
        row("tone", f"PI-{i}", TEXT, {"tone": right}, reference="A", clip=None, wanted=3)
        for i, right in enumerate((100.0, 0.0, 100.0))
    ]
    facts = run_facts(rows)
    assert facts["ci95"]["tone"] == [100 * bound for bound in share_interval(2, 3)]
    assert facts["ci95_method"] == {"tone": "Wilson"}
    assert "spent" not in facts, "no judge was asked"


def test_an_estimate_has_the_interval_of_its_own_error() -> None:
    facts = run_facts([caption((5, 4, 3), estimate=True), caption((3, 4, 1), estimate=True)])
    assert facts["figures"]["visual_estimate"] == 80
    assert facts["ci95"]["visual_estimate"] == list(interval("visual", 80, 2))
    assert facts["ci95_method"]["visual_estimate"] == "error of the estimate"


def test_every_failure_is_named_with_its_reason_and_whose_it_is() -> None:
    silent = ModelAnswer("", failure="cut off after 2.1 s")
    facts = run_facts([caption((5, 4, 3)), caption(None), caption(None, silent)])
    assert facts["failures"] == [
        {"video_id": "PI-1", "kind": "judge", "reason": "Sorry."},
        {"video_id": "PI-1", "kind": "caption", "reason": "cut off after 2.1 s"},
    ]


def test_it_is_said_of_how_many_clips_the_sound_was_used_and_why_not_of_others() -> None:
    deaf = ModelAnswer("x", generation={"heard": False, "sound_missing": "no audio track"})
    rows = [caption((5, 4, 3)), caption((5, 4, 3), deaf), caption((5, 4, 3), deaf)]
    assert run_facts(rows)["heard"] == {"clips": 1, "not": {"no audio track": 2}}
    untold = ModelAnswer("x")
    assert run_facts([caption((5, 4, 3), untold)])["heard"] is None


def test_what_judging_cost_is_this_runs_and_what_was_on_disk() -> None:
    facts = run_facts([caption((5, 4, 3)), caption(None), caption((1, 1, 1), stored=True)])
    assert facts["spent"]["new"] == {
        "judgments": 2,
        "prompt_tokens": 1400,
        "completion_tokens": 36,
        "usd": 0.004,
        "without_price": 0,
    }
    assert facts["spent"]["stored"]["judgments"] == 1


def test_who_judged_is_said_and_several_are_all_named() -> None:
    ran = [("m", "fp_2"), ("m", "fp_1"), ("m", None)]
    rows = [caption((5, 4, 3), model=m, fingerprint=f) for m, f in ran]
    facts = run_facts(rows)
    assert (facts["judge_label"], facts["judge_ran"]) == ("a judge", "m + m fp_1 + m fp_2")


def test_the_noise_of_a_judge_that_was_asked_more_than_once_is_on_the_published_scale() -> None:
    two = mean_judgment([Judgment("PI-1", Scores(visual=g, audio=3, details=3)) for g in (4, 5)])
    noise = run_facts([judged(two)], interval=5.0)["noise"]
    assert (noise["repeats"], noise["judgments"], noise["judgments_wanted"]) == (2, 2, 2)
    assert noise["values"]["visual"]["judge_variance"] == 200, "grades of 20 points, one apart"
    assert noise["values"]["visual"]["interval"] == 5.0
    shares = [Judgment("PI-1", Scores(consistent=x)) for x in (1.0, 0.0, 1.0, 1.0)]
    noise = run_facts([judged(mean_judgment(shares), task="background")])["noise"]
    assert noise["values"]["background"]["judge_variance"] == 2500, "0 and 100 apart"
    assert noise["values"]["background"]["within_one"] is None, "no points to be within one of"
    assert run_facts([caption((5, 4, 3))])["noise"] is None


def test_a_clip_of_which_no_repeat_came_is_counted_and_has_no_noise() -> None:
    none = mean_judgment([Judgment("PI-1", failure="401")] * 2)
    noise = run_facts([judged(none)])["noise"]
    assert (noise["judgments"], noise["clips_with_none"], noise["values"]) == (0, 1, {})


def test_labels_are_counted_with_the_answers_that_have_some() -> None:
    both, one, clean = ["token_limit", "repetition"], ["token_limit"], list[str]()
    found = counted([both, clean, one, None])
    assert found == {"answers": 2, "labels": {"token_limit": 2, "repetition": 1}}
    assert list((found or {})["labels"]) == ["token_limit", "repetition"], "the commonest first"
    assert counted([clean]) == {"answers": 0, "labels": {}}
    assert counted([None, None]) is None, "no model reported any"


def test_a_label_of_a_mixed_result_names_all_in_it() -> None:
    assert one_label(["b", "a", "b", "", None]) == "a + b"
    assert one_label(["", None]) is None
    assert one_label(["a + b", "b", "a"]) == "a + b", "a clip's own mixture is no third judge"


def test_names_that_others_chose_are_harmless_where_they_are_shown() -> None:
    assert one_label(["gpt\x1b[2J\nfp"]) == r"gpt\x1b[2J fp"
    assert counted([["cut\x1b[2J\u202e"]]) == {
        "answers": 1,
        "labels": {r"cut\x1b[2J\u202e": 1},
    }


@pytest.mark.parametrize(("items", "value"), [([1.0, None, 3.0], 2.0), ([None], None), ([], None)])
def test_a_mean_is_over_what_is_there(items: list[float | None], value: float | None) -> None:
    assert mean(items) == value
