"""What a mean is worth, and how far a judge agrees with itself."""

from __future__ import annotations

import math
import random

import pytest

from ugc_tasks.results.reliability import (
    describe_repeats,
    figure_interval,
    mean_interval,
    measured,
    share_interval,
    stated,
    table,
    total_repeats,
)


@pytest.mark.parametrize(
    ("pairs", "counts", "line"),
    [
        ([(3, 3)] * 4, (3, 12, 12, 0, 0), "3 of each clip, all 12 came"),
        (
            [(3, 3), (2, 3), (0, 3)],
            (3, 9, 5, 1, 1),
            "3 of each clip, 5 of 9 came (clips with fewer: 1, with none: 1)",
        ),
        (
            [(3, 3), (2, 2)],
            (3, 5, 5, 0, 0),
            "3 of each clip, all 5 came",
        ),
    ],
    ids=["all", "some", "runs that were mixed"],
)
def test_judgments_are_counted_and_clips_that_lack_some(
    pairs: list[tuple[int, int]], counts: tuple[int, ...], line: str
) -> None:
    total = total_repeats(pairs)
    names = ("repeats", "judgments_wanted", "judgments", "clips_with_fewer", "clips_with_none")
    assert total == dict(zip(names, counts, strict=True))
    assert describe_repeats(total) == line


def test_figures_are_on_the_published_scale_and_the_average_is_each_judgments_own() -> None:
    items = [
        {"visual": [4, 5], "audio": [4, 3], "details": [4, 4]},
        {"visual": [1, 1], "audio": [1, 1], "details": [1, 1]},
    ]
    noise = measured(items, factor=20, points=True, interval=0.5)
    assert list(noise) == ["visual", "audio", "details", "average"]
    assert noise["visual"]["judge_variance"] == noise["audio"]["judge_variance"] == 100
    assert noise["average"]["judge_variance"] == pytest.approx(0), "what one lost the other gained"
    assert noise["visual"]["exact"] == 0.5
    assert noise["average"]["exact"] == 1


def test_a_single_value_has_no_average_beside_it() -> None:
    items = [{"objects": [0.5, 0.75]}, {"objects": [1, 1]}]
    noise = measured(items, factor=100, points=False, interval=0.5)
    assert list(noise) == ["objects"]
    assert noise["objects"]["within_one"] is None


def test_the_table_has_a_line_for_each_value_and_says_what_is_enough() -> None:
    noise = measured([{"audio": [4, 5]}, {"audio": [1, 1]}], factor=20, points=True, interval=0.25)
    head, line, foot = table(noise)
    assert head.split()[:2] == ["judge's", "variance"]
    assert line.split()[:3] == ["audio", "100.0", "2400.0"]
    assert "±0.25" in foot


def test_a_figure_that_cannot_be_computed_is_a_dash() -> None:
    noise = measured([{"audio": [4]}], factor=20, points=True, interval=0.5)
    assert noise["audio"]["judgments"] == 1
    assert table(noise)[1].split() == ["audio", "-", "-", "undefined", "-", "-", "-", "(-)", "-"]


# --- means and shares of clips ---


def test_a_mean_has_students_interval() -> None:
    # Mean 3, standard deviation sqrt(2.5), t(4) = 2.7764: 2.7764 * sqrt(2.5 / 5) = 1.9632.
    mean, interval = mean_interval([1, 2, 3, 4, 5])
    assert mean == 3.0
    assert interval == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([7.0]) == (7.0, None)
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="at least one value"):
            mean_interval(values)


def test_two_values_have_an_interval_and_a_wide_one() -> None:
    # t(1) = 12.7062, standard error 1.
    assert mean_interval([1.0, 3.0])[1] == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_interval([4.0] * 10) == (4.0, (4.0, 4.0))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(1000):
        low, high = mean_interval([rng.gauss(50, 10) for _ in range(6)])[1] or (0, 0)
        covered += low <= 50 <= high
    assert 930 <= covered <= 970


def test_the_interval_of_a_figure_ends_where_the_figure_does() -> None:
    # Student's: 80 ± 254.1, 10 ± 24.84.
    assert figure_interval([100.0, 60.0]) == (80.0, (0.0, 100.0))
    assert figure_interval([0.0, 10.0, 20.0]) == (10.0, (0.0, pytest.approx(34.84, abs=0.01)))
    assert figure_interval([50.0]) == (50.0, None)
    values = [50.0, 52.0, 54.0]
    assert figure_interval(values) == mean_interval(values)


@pytest.mark.parametrize("chances", [(0, 1, 2, 4, 4), (4, 4, 2, 1, 0)], ids=["high", "low"])
def test_what_is_cut_off_covers_the_truth_no_less_often(chances: tuple[int, ...]) -> None:
    rng = random.Random(11)
    grades = (0, 25, 50, 75, 100)
    truth = sum(grade * chance for grade, chance in zip(grades, chances, strict=True)) / 11
    covered = shorter = 0
    for _ in range(1000):
        values = [float(grade) for grade in rng.choices(grades, chances, k=5)]
        cut, whole = figure_interval(values)[1], mean_interval(values)[1]
        assert cut
        assert whole
        assert 0 <= cut[0] <= cut[1] <= 100
        assert (cut[0] <= truth <= cut[1]) == (whole[0] <= truth <= whole[1])
        covered += cut[0] <= truth <= cut[1]
        shorter += cut != whole
    assert 930 <= covered <= 970
    assert shorter > 100, "else nothing was cut off"


def test_an_interval_is_stated_with_both_ends_where_the_value_is_not_in_its_middle() -> None:
    assert stated(55.44, (54.54, 56.34)) == "55.4 ±0.9"
    assert stated(96.0, (90.0, 100.0)) == "96.0 [90.0, 100.0]"
    assert stated(2.5, (1.25, 3.75), "+.2f") == "+2.50 ±1.25"
    assert stated(2.5, None, "+.1f") == "+2.5"


def test_a_share_has_wilsons_interval() -> None:
    # Wilson's interval of 633 of 669: 0.9266 to 0.9608.
    assert share_interval(633, 669) == pytest.approx((0.92641, 0.96090), abs=1e-4)


def test_a_share_of_all_or_nothing_is_still_in_doubt() -> None:
    assert share_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    for count, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="is no share"):
            share_interval(count, n)


def test_no_share_is_below_nothing_or_above_all() -> None:
    for n in range(1, 300):
        for count in (0, n):
            low, high = share_interval(count, n)
            assert 0 <= low < high <= 1
