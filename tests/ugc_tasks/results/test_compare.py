"""Is one run better than another: the difference, how sure it is, and what would tell more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.support.reference import reference_dir
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.estimate.model import difference_interval
from ugc_tasks.results.compare import compare, holm, sentence
from ugc_tasks.results.reliability import mean_interval
from ugc_tasks.results.scores import ScoreFile, clip_scores, read_scores


def run(visual: Sequence[float], name: str = "run", *, first: int = 0, **more: Any) -> ScoreFile:
    """Return a run whose captions have these scores for the picture, and 60 for the rest."""
    clips = {f"PI-{first + i}": clip_scores(float(v), 60.0, 60.0) for i, v in enumerate(visual)}
    return ScoreFile(Path(f"{name}.json"), clips, {}, name=name, **more)


def noisy(rng: np.random.Generator, gain: float, n: int) -> tuple[ScoreFile, ScoreFile]:
    """Return two runs of which the first is better by ``gain`` in the picture of each clip."""
    level = rng.normal(50, 15, n)
    new = np.clip(level + gain + rng.normal(0, 8, n), 0, 100)
    return run(list(new), "new"), run(list(np.clip(level + rng.normal(0, 8, n), 0, 100)), "old")


# --- the difference ---


def test_runs_are_compared_on_the_clips_that_both_have() -> None:
    [found] = compare(run([60, 80, 100], first=1), [run([40, 60, 60])])
    assert found.only_new == ("PI-3",)
    assert found.only_old == ("PI-0",)
    visual = found.figures["visual"]
    assert (visual.n, visual.new, visual.old, visual.difference) == (2, 70.0, 60.0, 10.0)
    assert visual.ci95 == mean_interval([0.0, 20.0])[1]


def test_the_verdict_is_about_the_average() -> None:
    [found] = compare(run([60, 80, 100]), [run([40, 60, 60])])
    assert list(found.figures) == ["visual", "audio", "details", "average"]
    assert found.whole is found.figures["average"]
    assert found.figures["audio"].difference == 0
    assert found.figures["audio"].p == found.figures["audio"].p_t == 1.0


def test_clips_without_a_public_reference_are_not_counted() -> None:
    stray = sorted(NO_REFERENCE)[0]
    both = {"PI-1": clip_scores(80, 80, 80), "PI-2": clip_scores(60, 60, 60)}
    files = [
        ScoreFile(Path("a"), {**both, stray: clip_scores(20, 20, 20)}, {}),
        ScoreFile(Path("b"), {**both, stray: clip_scores(100, 100, 100)}, {}),
    ]
    [found] = compare(files[0], files[1:])
    assert found.left_out == (stray,)
    assert found.figures["average"].difference == 0


@pytest.mark.parametrize(("gain", "verdict"), [(5.0, "better"), (-5.0, "worse"), (0.0, None)])
def test_a_difference_that_is_there_is_found(gain: float, verdict: str | None) -> None:
    new, old = noisy(np.random.default_rng(3), gain, 300)
    [found] = compare(new, [old])
    assert found.verdict == (verdict or "not distinguishable")
    visual = found.figures["visual"]
    apart = [new.clips[i]["visual"] - old.clips[i]["visual"] for i in new.clips]
    assert visual.p_t == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    assert visual.p == pytest.approx(visual.p_t, abs=0.02), "two tests, one question"


def test_the_same_runs_have_the_same_p_every_time() -> None:
    new, old = noisy(np.random.default_rng(4), 1.0, 60)
    assert compare(new, [old])[0].figures == compare(new, [old])[0].figures


def test_of_95_intervals_in_a_hundred_the_truth_is_inside() -> None:
    """By simulation: 400 pairs of runs with the same true difference."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        apart = list(2.0 + rng.normal(0, 10, 50))
        pair = mean_interval(apart)[1]
        assert pair is not None
        inside += pair[0] <= 2.0 <= pair[1]
    assert 0.92 <= inside / 400 <= 0.98


# --- several comparisons at once ---


def test_holms_method_on_a_worked_example() -> None:
    # Holm (1979): 0.01, 0.02, 0.03 and 0.04 become 4 * 0.01, 3 * 0.02, and no later one is smaller.
    assert holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]
    assert holm([]) == []


def test_p_is_corrected_over_all_that_a_run_is_compared_with() -> None:
    new, old = noisy(np.random.default_rng(6), 2.0, 120)
    [alone] = compare(new, [old])
    first, second = compare(new, [old, old])
    assert alone.figures["average"].p_holm == alone.figures["average"].p
    assert first.figures["average"].p == alone.figures["average"].p
    assert first.figures["average"].p_holm == pytest.approx(2 * (first.figures["average"].p or 0))
    assert second.figures["average"].p_holm == first.figures["average"].p_holm


# --- what would tell more ---


def test_how_many_clips_would_tell_a_difference_of_this_size() -> None:
    new, old = noisy(np.random.default_rng(7), 0.6, 100)
    visual = compare(new, [old])[0].figures["visual"]
    apart = np.array([new.clips[i]["visual"] - old.clips[i]["visual"] for i in new.clips])
    needed = visual.enough_clips
    assert needed is not None
    # The power of a t test with so many clips, by the non-central t distribution.
    shift = abs(apart.mean()) / apart.std(ddof=1) * math.sqrt(needed)
    critical = stats.t.ppf(0.975, needed - 1)
    assert stats.nct.sf(critical, needed - 1, shift) == pytest.approx(0.8, abs=0.01)


def test_no_difference_at_all_has_no_number_of_clips() -> None:
    [found] = compare(run([60, 80]), [run([60, 80])])
    assert found.figures["average"].enough_clips is None


def judged(name: str, grades: Sequence[Sequence[int]]) -> ScoreFile:
    """Return a run of clips each judged several times, these grades in every dimension."""
    rows, clips = {}, {}
    for i, each in enumerate(grades):
        said = [{"scores": dict.fromkeys(("visual", "audio", "details"), g)} for g in each]
        rows[f"PI-{i}"] = {"judge": {"label": "j", "judgments": said}}
        clips[f"PI-{i}"] = clip_scores(*[20 * sum(each) / len(each)] * 3)
    return ScoreFile(Path(name), clips, {}, judge="j", name=name, rows=rows)


def test_where_the_noise_is_the_judges_more_judgments_would_tell() -> None:
    rng = np.random.default_rng(8)
    new = judged("new", [[int(g) for g in rng.integers(2, 6, 2)] for _ in range(40)])
    old = judged("old", [[int(g) for g in rng.integers(2, 5, 2)] for _ in range(40)])
    average = compare(new, [old])[0].figures["average"]
    assert average.enough_repeats is not None
    assert average.enough_repeats >= 1
    once = judged("once", [[3]] * 40)
    assert compare(once, [old])[0].figures["average"].enough_repeats is None, "noise is not known"


# --- what cannot be compared ---


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"judge": "a"}, "they were judged by different judges, a and b"),
        ({"judge": "b", "ran": frozenset(["m fp", "n"])}, "were not the same: m, n and q"),
        ({"judge": "b", "estimate": True}, "one is an estimate from the texts"),
        ({"judge": "b", "task": "tone"}, "one is of the task tone, the other of caption"),
        ({"judge": "b", "first": 2}, "they share 1 clips with a score"),
    ],
)
def test_numbers_that_mean_other_things_are_not_compared(more: dict[str, Any], why: str) -> None:
    [found] = compare(
        run([1, 2, 3], "new", **more), [run([1, 2, 3], "old", judge="b", ran=frozenset(["q fp"]))]
    )
    assert found.verdict == "not comparable"
    assert why in found.why_not
    assert found.figures == {}
    assert sentence(found) == f"new and old cannot be compared: {found.why_not}"


def test_a_judge_that_is_not_stated_is_taken_for_the_same_and_that_is_said() -> None:
    [found] = compare(run([1, 2], "new", judge="a"), [run([1, 2], "old")])
    assert found.why_not == ""
    assert "the judge is not stated in old.json" in found.notes[0]


def test_an_estimate_has_its_own_error_in_the_interval_and_no_p() -> None:
    new, old = run([60, 80, 70], estimate=True), run([50, 70, 65], estimate=True)
    [found] = compare(new, [old])
    average = found.figures["average"]
    apart = mean_interval([10 / 3, 10 / 3, 5 / 3])[1]
    assert apart is not None
    half = (apart[1] - apart[0]) / 2
    assert average.ci95 == pytest.approx(difference_interval("average", average.difference, half))
    assert average.p is average.p_holm is None
    assert found.verdict == "not distinguishable"


# --- what a person reads ---


def test_the_sentence_says_by_how_much_and_on_how_many_clips() -> None:
    new, old = noisy(np.random.default_rng(3), 9.0, 300)
    [found] = compare(new, [old])
    whole = found.figures["average"]
    assert whole.ci95 is not None
    half = (whole.ci95[1] - whole.ci95[0]) / 2
    assert sentence(found) == (
        f"new is better than old by {whole.difference:.1f} ± {half:.1f} on 300 shared clips"
    )


def test_where_nothing_can_be_told_it_says_what_would() -> None:
    new, old = noisy(np.random.default_rng(9), 0.5, 100)
    said = sentence(compare(new, [old])[0])
    assert "are not distinguishable on 100 shared clips: " in said
    assert "clips would tell a difference of" in said


# --- parts of the clips ---


def test_parts_of_the_clips_are_compared_by_the_same_figure() -> None:
    new, old = run([60, 80, 100, 40], first=0), run([40, 60, 60, 40], first=0)
    parts = {"sound": {"silent": ["PI-0", "PI-1", "PI-9"], "with sound": ["PI-2", "PI-3"]}}
    [found] = compare(new, [old], parts)
    silent = found.slices["sound"]["silent"]
    assert (silent.figure, silent.n) == ("average", 2)
    assert silent.difference == pytest.approx(20 / 3)
    assert silent.p_holm is not None
    [found] = compare(new, [old], {"sound": {"silent": ["PI-0"]}})
    assert found.slices["sound"] == {}, "of one clip nothing can be said"


# --- the authors' own scores ---


def test_the_published_models_are_apart_as_published() -> None:
    folder = reference_dir() / "scores"
    names = ("UGC_Videocaptioner_4o.json", "omni_baseline_4o.json")
    ours, base = (read_scores(folder / name) for name in names)
    [found] = compare(ours, [base])
    assert sentence(found) == (
        "UGC_Videocaptioner_4o is better than omni_baseline_4o by 7.8 ± 0.9 on 998 shared clips"
    )
    [same] = compare(ours, [ours])
    assert same.verdict == "not distinguishable"
