"""What a mean is worth."""

from __future__ import annotations

import math
import random

import pytest

from ugc_tasks.results.statistics import mean_estimate, paired_difference, share_estimate


def test_a_mean_has_students_interval() -> None:
    # Mean 3, standard deviation sqrt(2.5), t(4) = 2.7764: 2.7764 * sqrt(2.5 / 5) = 1.9632.
    estimate = mean_estimate([1, 2, 3, 4, 5])
    assert (estimate.mean, estimate.n) == (3.0, 5)
    assert estimate.interval == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)
    assert estimate.half_width == pytest.approx(1.96324, abs=1e-4)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_estimate([7.0]).interval is None
    assert mean_estimate([7.0]).half_width is None
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="at least one value"):
            mean_estimate(values)


def test_two_values_have_an_interval_and_a_wide_one() -> None:
    # t(1) = 12.7062, standard error 1.
    assert mean_estimate([1.0, 3.0]).interval == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_estimate([4.0] * 10).interval == (4.0, 4.0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(1000):
        low, high = mean_estimate([rng.gauss(50, 10) for _ in range(6)]).interval or (0, 0)
        covered += low <= 50 <= high
    assert 930 <= covered <= 970


def test_a_share_has_wilsons_interval() -> None:
    # Wilson's interval of 633 of 669: 0.9266 to 0.9608.
    estimate = share_estimate(633, 669)
    assert estimate.mean == pytest.approx(0.94619, abs=1e-5)
    assert estimate.interval == pytest.approx((0.92641, 0.96090), abs=1e-4)


def test_a_share_of_all_or_nothing_is_still_in_doubt() -> None:
    assert share_estimate(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share_estimate(10, 10).interval == pytest.approx((0.7225, 1.0), abs=1e-4)
    for count, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="is no share"):
            share_estimate(count, n)


def test_no_share_is_below_nothing_or_above_all() -> None:
    for n in range(1, 300):
        for count in (0, n):
            low, high = share_estimate(count, n).interval or (-1, 2)
            assert 0 <= low < high <= 1


def test_a_difference_is_of_the_clips_that_both_have() -> None:
    difference = paired_difference(
        {"a": 10.0, "b": 52.0, "c": 93.0, "x": 0.0}, {"c": 90.0, "b": 50.0, "a": 9.0, "y": 1.0}
    )
    assert difference.estimate is not None
    assert (difference.estimate.mean, difference.estimate.n) == (2.0, 3)
    assert (difference.only_first, difference.only_second) == (("x",), ("y",))


def test_a_paired_difference_sees_what_lies_inside_both_intervals() -> None:
    first = {str(i): float(i) + i % 2 for i in range(100)}
    second = {str(i): float(i) for i in range(100)}
    difference = paired_difference(first, second).estimate
    assert difference is not None
    assert difference.interval is not None
    assert difference.interval[0] > 0
    alone = mean_estimate(list(first.values())).interval
    assert alone is not None
    assert alone[0] < mean_estimate(list(second.values())).mean < alone[1]


def test_nothing_in_common_is_no_difference() -> None:
    difference = paired_difference({"a": 1.0}, {"b": 1.0})
    assert difference.estimate is None
    assert (difference.only_first, difference.only_second) == (("a",), ("b",))
