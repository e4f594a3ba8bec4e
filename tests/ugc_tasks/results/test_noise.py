"""The judge's noise apart from the clips' differences: by hand, as published, and simulated."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import krippendorff
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugc_tasks.results import reliability

Z = 1.959964
GRADES = [20.0, 40.0, 60.0, 80.0, 100.0]


def noise_of(table: Sequence[Sequence[float]], *, point: float | None, interval: float) -> Any:
    """Return the figures as attributes."""
    return SimpleNamespace(**reliability.noise_of(table, point=point, interval=interval))


def noise(table: Sequence[Sequence[float]], *, interval: float = 0.5) -> Any:
    return noise_of(table, point=20.0, interval=interval)


def simulated(
    *, clips: int, sizes: Sequence[int], clip_sd: float, judge_sd: float, seed: int
) -> tuple[list[list[float]], float]:
    """Return judgments with known variances, and the mean of the clips' own levels."""
    chance = random.Random(seed)
    levels = [chance.gauss(60, clip_sd) for _ in range(clips)]
    table = [
        [chance.gauss(level, judge_sd) for _ in range(sizes[n % len(sizes)])]
        for n, level in enumerate(levels)
    ]
    return table, math.fsum(levels) / clips


# ---- variances ----


def test_by_hand_with_two_judgments_of_each_clip() -> None:
    told = noise([[60, 80], [20, 20], [100, 80]])
    assert (told.clips, told.judgments) == (3, 6)
    assert told.judge_variance == pytest.approx(400 / 3)
    assert told.clip_variance == pytest.approx((2600 - 400 / 3) / 2)
    assert told.standard_error == pytest.approx(math.sqrt(400 / 3 / 2 / 3))
    assert told.half_width == pytest.approx(Z * math.sqrt(400 / 18))
    a_clip = 400 / 3 / 2
    assert told.share_of_mean == pytest.approx(a_clip / (a_clip + (2600 - 400 / 3) / 2))


def test_by_hand_with_one_two_and_three_judgments() -> None:
    told = noise([[1, 3], [5], [3, 3, 3]])
    assert told.judge_variance == pytest.approx(2 / 3)
    assert told.clip_variance == pytest.approx(14 / 11)  # (3 - 2/3) / (11/6)
    # The mean weighs clips alike: a clip judged once is as heavy, and noisier.
    assert told.standard_error == pytest.approx(math.sqrt(2 / 3 * (1 / 2 + 1 + 1 / 3)) / 3)


@pytest.mark.parametrize("sizes", [(3,), (5, 4, 2, 1, 3)])
def test_the_variances_that_judgments_were_made_with_are_found(sizes: Sequence[int]) -> None:
    table, _ = simulated(clips=5000, sizes=sizes, clip_sd=12, judge_sd=7, seed=5)
    told = noise(table)
    # Standard errors of the two estimates here are about 0.7 and 3.
    assert told.judge_variance == pytest.approx(49, abs=2.5)
    assert told.clip_variance == pytest.approx(144, abs=10)


def test_the_estimates_are_right_on_average_where_few_clips_tell_little_each() -> None:
    several = [
        noise(simulated(clips=12, sizes=(3, 1, 2), clip_sd=20, judge_sd=8, seed=n)[0])
        for n in range(800)
    ]
    judge = math.fsum(each.judge_variance or 0 for each in several) / len(several)
    clips = math.fsum(each.clip_variance or 0 for each in several) / len(several)
    assert judge == pytest.approx(64, rel=0.05)
    assert clips == pytest.approx(400, rel=0.05)


def test_clips_that_differ_by_noise_alone_have_no_variance_and_never_a_negative_one() -> None:
    told = noise([[40, 60], [60, 40], [40, 60]])
    assert told.clip_variance == 0
    assert told.share_of_mean == 1


# ---- the mean ----


def test_the_interval_holds_what_endless_repeats_would_give_in_95_of_100_runs() -> None:
    inside = 0
    for seed in range(600):
        table, endless = simulated(clips=80, sizes=(3, 2), clip_sd=15, judge_sd=9, seed=seed)
        mean = math.fsum(math.fsum(row) / len(row) for row in table) / len(table)
        inside += abs(mean - endless) <= (noise(table).half_width or 0)
    assert 0.93 <= inside / 600 <= 0.97


def test_the_interval_does_not_cover_other_clips() -> None:
    near, _ = simulated(clips=80, sizes=(3,), clip_sd=1, judge_sd=9, seed=1)
    apart, _ = simulated(clips=80, sizes=(3,), clip_sd=30, judge_sd=9, seed=1)
    assert noise(near).half_width == pytest.approx(noise(apart).half_width)


@pytest.mark.parametrize(
    ("interval", "enough"), [(0.5, 21), (1.0, 6), (5.0, 1)], ids=["half", "one", "five"]
)
def test_the_repeats_that_would_do_are_the_fewest_that_keep_the_interval(
    interval: float, enough: int
) -> None:
    table = [[50.0, 70.0], [20.0, 40.0]] * 75  # the judge's variance is 200, of 150 clips
    told = noise(table, interval=interval)
    assert (told.judge_variance, told.enough) == (pytest.approx(200), enough)
    assert Z * math.sqrt(200 / enough / 150) <= interval
    assert enough == 1 or Z * math.sqrt(200 / (enough - 1) / 150) > interval


def test_a_judge_that_says_the_same_every_time_is_asked_once() -> None:
    told = noise([[80, 80, 80], [40, 40, 40]])
    assert (told.judge_variance, told.half_width, told.enough) == (0, 0, 1)
    assert (told.exact, told.alpha, told.share_of_mean) == (1, 1, 0)


# ---- agreement ----


def test_pairs_of_judgments_of_one_clip_agree_exactly_or_within_a_point() -> None:
    told = noise([[80, 80, 100], [20, 60], [40]])  # pairs: 0, 20, 20; 40
    assert told.exact == pytest.approx(1 / 4)
    assert told.within_one == pytest.approx(3 / 4)


def test_means_of_grades_are_a_point_apart_whatever_their_last_bit_is() -> None:
    tenth = 0.1 + 0.2
    assert noise_of([[0.3, tenth]], point=None, interval=1).exact == 1
    assert noise_of([[1 / 3 * 20, 4 / 3 * 20]], point=20, interval=1).within_one == 1


def test_a_scale_without_points_has_none_to_be_within() -> None:
    assert noise_of([[0, 100], [50, 50]], point=None, interval=1).within_one is None


def test_alpha_is_that_of_the_published_example() -> None:
    # Krippendorff: Computing Krippendorff's Alpha-Reliability (2011), example C: four observers,
    # twelve units, some not observed; the paper gives 0.849 for the interval level.
    seen = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[float(x) for x in unit if x is not None] for unit in zip(*seen, strict=True)]
    assert noise(units).alpha == pytest.approx(0.849, abs=0.0005)


@given(st.lists(st.lists(st.sampled_from(GRADES), min_size=1, max_size=5), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_alpha_is_that_of_the_package_of_its_name(table: list[list[float]]) -> None:
    alpha = noise(table).alpha
    pairable = [row for row in table if len(row) > 1]
    if len({x for row in pairable for x in row}) < 2:
        assert alpha is None
        return
    most = max(map(len, pairable))
    by_observer = [[row[n] if n < len(row) else math.nan for row in pairable] for n in range(most)]
    expected = krippendorff.alpha(by_observer, level_of_measurement="interval")
    assert alpha == pytest.approx(expected, abs=1e-9)


def test_where_all_judgments_are_the_same_alpha_is_undefined_and_not_a_perfect_one() -> None:
    told = noise([[60, 60], [60, 60, 60]])
    assert told.alpha is None
    assert told.exact == 1


def test_as_many_different_shares_as_judgments_need_no_table_of_all_pairs() -> None:
    chance = random.Random(3)
    table = [[chance.random() * 100 for _ in range(8)] for _ in range(999)]
    told = noise_of(table, point=None, interval=0.5)  # 7,992 values: 64 million pairs
    assert told.alpha == pytest.approx(0, abs=0.05)


# ---- where nothing is to be told ----


def test_without_a_second_judgment_nothing_is_known_of_the_judge() -> None:
    told = noise([[60], [80], [20]])
    assert (told.clips, told.judgments) == (3, 3)
    assert {told.judge_variance, told.clip_variance, told.alpha, told.exact, told.within_one} == {
        None
    }
    assert {told.half_width, told.share_of_mean, told.enough} == {None}


def test_one_clip_gives_the_judges_variance_and_not_the_clips() -> None:
    told = noise([[60, 80]])
    assert told.judge_variance == 200
    assert (told.clip_variance, told.share_of_mean) == (None, None)
    assert told.enough is not None


@pytest.mark.parametrize("table", [[], [[60.0], []], [[math.nan, 1.0]], [[math.inf]]])
def test_what_is_no_table_of_judgments_is_refused(table: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        noise(table)
