"""The rows of the table, and that the recorded scores give the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.estimate.model import interval
from ugc_tasks.results.scores import ScoreFile, clip_scores, read_scores
from ugc_tasks.results.summary import (
    COLUMNS,
    as_published,
    compare,
    doubts,
    summarize,
)

STRAY = next(iter(NO_REFERENCE))


def scores(clips: Mapping[str, float], **changed: Any) -> ScoreFile:
    """Make a file in which each clip has one score in all dimensions."""
    facts: dict[str, Any] = {
        "path": Path("scores.json"),
        "failed": {},
        "judge": "a judge",
        "estimate": False,
        "wanted": None,
        "stated_average": None,
    }
    made = {video_id: clip_scores(value, value, value) for video_id, value in clips.items()}
    return ScoreFile(clips=made, **(facts | changed))


def test_a_row_has_the_documented_keys() -> None:
    row = summarize(scores({"a": 40.0, "b": 60.0}), {"a", "b", "c", "d"})
    assert {key: row[key] for key in ("file", "n", "coverage", *COLUMNS)} == {
        "file": "scores.json",
        "n": 2,
        "coverage": 0.5,
        "visual": 50.0,
        "audio": 50.0,
        "details": 50.0,
        "average": 50.0,
    }
    low, high = row["ci95"]["average"]
    assert low < 50 < high
    assert set(row["ci95"]) == set(COLUMNS)
    assert (row["judge"], row["estimate"], row["failed"], row["zeros"]) == ("a judge", False, 0, 0)


def test_a_clip_without_a_public_reference_counts_and_the_figure_without_it_stands_beside() -> None:
    row = summarize(scores({"a": 40.0, STRAY: 100.0}))
    assert (row["n"], row["average"]) == (2, 70.0)
    assert row["without_reference"] == [STRAY]
    assert (row["with_reference"]["n"], row["with_reference"]["average"]) == (1, 40.0)
    assert row["coverage"] == 1 / 999, "of the clips with a public reference"


def test_references_at_hand_decide_which_clips_have_one() -> None:
    row = summarize(scores({"a": 40.0, "b": 60.0, "c": 80.0}), {"a", "b"})
    assert row["without_reference"] == ["c"]
    assert row["with_reference"]["average"] == 50.0
    assert row["coverage"] == 1.0
    assert summarize(scores({"a": 40.0}), {"a"})["with_reference"] is None


def test_the_file_may_say_itself_how_many_clips_there_are() -> None:
    assert summarize(scores({"a": 40.0}, wanted=8))["coverage"] == 1 / 8


def test_an_estimate_never_stands_under_the_name_of_a_score() -> None:
    row = summarize(scores({"a": 40.0}, estimate=True))
    assert [row[name] for name in COLUMNS] == [None] * 4
    assert row["average_estimate"] == 40.0
    assert row["published"] is None
    assert row["estimate"] is True
    difference = compare(scores({"a": 40.0}, estimate=True), scores({"a": 30.0}))
    assert (difference["average_estimate"], "average" in difference) == (10.0, False)


def test_the_intervals_of_estimates_are_those_of_their_errors() -> None:
    first, second = ({"a": 40.0, "b": 40.0}, {"a": 30.0, "b": 30.0})
    row = summarize(scores(first, estimate=True))
    assert row["ci95"]["average_estimate"] == list(interval("average", 40.0, 2))
    difference = compare(scores(first, estimate=True), scores(second, estimate=True))
    low, high = difference["ci95"]["average_estimate"]
    assert low < 10 - interval_half() and high > 10 + interval_half()


def interval_half() -> float:
    low, high = interval("average", 60.0, 10**9)
    return (high - low) / 2


def test_a_file_of_failures_has_no_figures() -> None:
    row = summarize(scores({}, failed={"a": "no reply"}))
    assert (row["n"], row["coverage"], row["average"], row["ci95"]) == (0, 0.0, None, {})
    assert row["failed"] == 1


def test_a_difference_is_over_the_common_clips_and_names_the_others() -> None:
    difference = compare(
        scores({"a": 40.0, "b": 60.0, "x": 0.0}), scores({"b": 50.0, "a": 31.0}, path=Path("base"))
    )
    assert (difference["baseline"], difference["n"], difference["average"]) == ("base", 2, 9.5)
    assert (difference["only_here"], difference["only_in_baseline"]) == (["x"], [])
    assert difference["ci95"]["average"][0] < 9.5 < difference["ci95"]["average"][1]
    apart = compare(scores({"a": 40.0}), scores({"b": 50.0}))
    assert (apart["n"], apart["average"], apart["ci95"]) == (0, None, {})
    assert (apart["only_here"], apart["only_in_baseline"]) == (["a"], ["b"])


def test_a_difference_clip_by_clip_sees_what_lies_inside_both_intervals() -> None:
    better = scores({str(i): float(i) + i % 2 for i in range(100)})
    baseline = scores({str(i): float(i) for i in range(100)})
    assert compare(better, baseline)["ci95"]["average"][0] > 0
    low, high = summarize(better)["ci95"]["average"]
    assert low < summarize(baseline)["average"] < high


def test_different_judges_are_warned_of() -> None:
    one = scores({"a": 40.0})
    assert doubts([one, one]) == []
    for judge in ("another", None):
        (warning,) = doubts([one, scores({"a": 40.0}, judge=judge)])
        assert "not of one judge" in warning


def test_stored_zeros_failures_and_a_false_average_are_warned_of() -> None:
    zeros = {"b": clip_scores(0.0, 0.0, 0.0)}
    stored = {"failed": {"b": "stored"}, "zeros": zeros, "stated_average": 20.0}
    [said] = doubts([scores({"a": 40.0}, **stored)])
    assert "1 clips have a 0" in said
    assert "1 clips have no score" in doubts([scores({"a": 40.0}, failed={"b": "?"})])[0]
    assert "states an average of 41.00" in doubts([scores({"a": 40.0}, stated_average=41.0)])[0]
    assert doubts([scores({"a": 40.0}, stated_average=40.001)]) == []


def test_published_columns_are_rounded_on_the_judges_scale_and_a_half_upwards() -> None:
    # 703 of 200 clips: 3.515, which is printed as 3.52 * 20.
    clips = [clip_scores(80.0, 60.0, 20.0)] * 103 + [clip_scores(60.0, 60.0, 20.0)] * 97
    assert as_published(clips) == {
        "visual": 70.4,
        "audio": 60.0,
        "details": 20.0,
        "average": 50.1,
    }


@pytest.mark.parametrize(
    ("fours", "printed"), [(101, 70.2), (103, 70.4), (105, 70.6), (104, 70.4), (102, 70.2)]
)
def test_a_half_goes_up_whether_the_digit_before_it_is_even_or_odd(
    fours: int, printed: float
) -> None:
    """The mean is 3.505, 3.515, 3.525, 3.52 and 3.51: printed as 3.51, 3.52, 3.53, 3.52, 3.51."""
    values = [80.0] * fours + [60.0] * (200 - fours)
    row = as_published([clip_scores(value, 60.0, 60.0) for value in values])
    assert row["visual"] == printed


@pytest.mark.parametrize(("more", "printed"), [(3, 20.13), (9, 20.38), (2, 20.08), (1, 20.04)])
def test_an_average_on_the_edge_is_rounded_up_too(more: int, printed: float) -> None:
    """Exactly 20.125, 20.375, 20.0833... and 20.0416..."""
    clips = [clip_scores(40.0, 20.0, 20.0)] * more + [clip_scores(20.0, 20.0, 20.0)] * (160 - more)
    assert as_published(clips)["average"] == printed


@pytest.mark.parametrize(
    ("file", "n", "printed"),
    [
        ("omni_baseline_4o.json", 999, (55.6, 48.2, 52.6, 52.18)),
        ("UGC_Videocaptioner_4o.json", 999, (59.4, 62.4, 58.2, 60.01)),
        ("gemini_2.5_flash_4o.json", 996, (78.8, 74.2, 77.2, 76.73)),
        # In print its audio is 46.0, a slip, and its average has one decimal: 59.6.
        ("minicpm_4o.json", 1000, (70.4, 46.2, 62.4, 59.61)),
    ],
)
def test_recorded_scores_give_the_published_columns(
    file: str, n: int, printed: tuple[float, ...]
) -> None:
    recorded = read_scores(reference_dir() / "scores" / file)
    row = summarize(recorded)
    assert (row["n"], row["zeros"], row["failed"]) == (n, 0, 0)
    assert row["published"] == dict(zip(COLUMNS, printed, strict=True))
    assert row["average"] == pytest.approx(recorded.stated_average, abs=1e-9)
    assert row["without_reference"] == [STRAY]
    assert row["with_reference"]["n"] == n - 1
    assert doubts([recorded]) == []


def test_intervals_of_the_published_averages_are_less_than_a_point_wide_each_way() -> None:
    for path in sorted((reference_dir() / "scores").glob("*.json")):
        low, high = summarize(read_scores(path))["ci95"]["average"]
        assert 0.8 < (high - low) / 2 < 0.97


def test_one_name_for_two_models_is_no_reason_to_compare_them() -> None:
    """An alias such as gpt-4o stands for one model this month and for another the next."""
    old = scores({"a": 40.0}, ran=frozenset({"gpt-4o-2024-08-06 fp_1"}))
    new = scores({"a": 60.0}, ran=frozenset({"gpt-4o-2024-11-20 fp_2"}))
    (doubt,) = doubts([old, new])
    assert "gpt-4o-2024-08-06, gpt-4o-2024-11-20" in doubt
    assert "cannot be compared" in doubt
    assert not doubts([old, scores({"a": 1.0}, ran=frozenset({"gpt-4o-2024-08-06 fp_9"}))])


def test_the_same_judge_at_two_places_is_two_judges() -> None:
    here, there = scores({"a": 40.0}, judge="paper/m/d"), scores({"a": 60.0}, judge="paper/m/d@h")
    (doubt,) = doubts([here, there])
    assert "not of one judge" in doubt


def test_a_judge_that_changed_within_a_file_is_reported() -> None:
    changed = scores({"a": 40.0}, ran=frozenset({"m fp_1", "m fp_2"}))
    (doubt,) = doubts([changed])
    assert "scores.json: the judge changed while judging (m fp_1; m fp_2)" in doubt


@pytest.mark.parametrize(
    ("stated", "doubted"), [(39.98, True), (39.995, False), (40.005, False), (40.02, True)]
)
def test_a_stated_average_is_to_be_that_of_the_clips(stated: float, doubted: bool) -> None:
    said = doubts([scores({"a": 40.0}, stated_average=stated)])
    assert bool(said) is doubted
    assert all("its clips give another" in sentence for sentence in said)
