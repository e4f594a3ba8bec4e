"""Which frames are taken, given when each is shown; their size follows Qwen2-VL's rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling, Selection, select, target_size


def steady(count: int, fps: float) -> np.ndarray:
    return np.arange(count) / fps


def test_frames_are_spread_evenly_from_the_first_to_the_last() -> None:
    chosen = select(steady(100, 25), 4.0, Sampling(frames=5))
    assert chosen == Selection((0, 24, 49, 74, 99), fps=4 / 3.96)


def test_a_clip_with_fewer_frames_than_wanted_gives_each_of_them_once() -> None:
    chosen = select(np.array([0.0, 0.1, 0.9]), 1.0, Sampling(frames=32))
    assert chosen == Selection((0, 1, 2), fps=2 / 0.9)
    uneven = np.array([0.0, 0.1, 0.2, 0.9])
    assert select(uneven, 1.0, Sampling(frames=4)).indices == (0, 1, 2, 3)


def test_a_frame_that_is_held_is_taken_at_every_time_it_is_shown() -> None:
    times = np.concatenate([steady(50, 50), [9.0]])
    chosen = select(times, 9.1, Sampling(frames=4))
    assert chosen.indices == (0, 49, 49, 50)


def test_a_rate_takes_an_even_number_of_frames_at_that_rate() -> None:
    chosen = select(steady(125, 25), 5.0, Sampling(fps=1.0))
    assert chosen == Selection((0, 25, 50, 75), fps=1.0)


def test_a_rate_that_does_not_divide_the_clips_takes_the_frame_shown() -> None:
    chosen = select(steady(90, 30), 3.0, Sampling(fps=4.0))
    assert chosen.indices == (0, 7, 15, 22, 30, 37, 45, 52, 60, 67, 75, 82)


def test_times_rounded_to_milliseconds_do_not_shift_the_choice() -> None:
    exact, rounded = steady(90, 24), np.round(steady(90, 24), 3)
    for sampling in (Sampling(fps=8.0), Sampling(fps=6.0), Sampling(fps=12.0)):
        assert select(exact, 3.75, sampling) == select(rounded, 3.75, sampling)


def test_a_frame_that_comes_a_millisecond_late_is_shown_already() -> None:
    assert select(np.array([0.0, 0.501, 1.0]), 1.5, Sampling(fps=2.0)).indices == (0, 1)


def test_a_last_frame_that_was_rounded_down_is_still_on_the_grid() -> None:
    chosen = select(np.array([0.0, 1.0, 2.0, 2.9993]), 3.5, Sampling(fps=1.0))
    assert chosen == Selection((0, 1, 2, 3), fps=1.0)


def test_a_rate_gives_two_frames_at_least_and_says_at_which_rate() -> None:
    chosen = select(steady(10, 25), 0.4, Sampling(fps=1.0))
    assert chosen == Selection((0, 9), fps=1 / 0.36)


def test_the_cap_spreads_the_frames_over_the_whole_clip() -> None:
    chosen = select(steady(1000, 25), 40.0, Sampling(fps=2.0, max_frames=11))
    assert len(chosen.indices) == 10
    assert chosen.indices[0] == 0 and chosen.indices[-1] == 999
    assert chosen.fps == pytest.approx(9 / 39.96)


def test_a_rate_above_the_clips_own_gives_no_frame_twice() -> None:
    chosen = select(steady(10, 5), 2.0, Sampling(fps=30.0))
    assert chosen == Selection(tuple(range(10)), fps=5.0)
    odd = select(steady(5, 5), 1.0, Sampling(fps=30.0))
    assert len(odd.indices) == 4


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(frames=1), Sampling(fps=2.0)])
def test_a_single_frame_is_taken_once_at_the_rate_of_its_duration(sampling: Sampling) -> None:
    assert select(np.array([0.0]), 0.5, sampling) == Selection((0,), fps=2.0)
    assert select(np.array([0.0]), 0.0, sampling) == Selection((0,), fps=1.0)


def test_one_frame_of_many_is_the_first() -> None:
    assert select(steady(50, 25), 2.0, Sampling(frames=1)) == Selection((0,), fps=0.5)


@given(
    gaps=st.lists(st.floats(min_value=0.002, max_value=5.0), min_size=1, max_size=80),
    frames=st.integers(min_value=1, max_value=64),
    fps=st.one_of(st.none(), st.floats(min_value=0.05, max_value=100.0)),
)
def test_any_choice_ascends_stays_in_the_clip_and_has_a_usable_rate(
    gaps: list[float], frames: int, fps: float | None
) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    chosen = select(times, float(times[-1]) + 0.04, Sampling(frames=frames, fps=fps, max_frames=40))
    assert list(chosen.indices) == sorted(chosen.indices)
    assert chosen.indices[0] == 0 and chosen.indices[-1] < len(times)
    assert 0 < chosen.fps < 1e4
    assert len(chosen.indices) <= len(times)
    if fps is not None:
        assert len(chosen.indices) % 2 == 0
        assert len(chosen.indices) <= 40
        assert chosen.fps <= fps * 1.001 or len(chosen.indices) == 2


class TestByCount:
    """``spread="count"``: frames even in number, as ``numpy.linspace(..., dtype=int)`` has them."""

    @pytest.mark.parametrize("available", [1, 2, 31, 32, 33, 100, 719, 1800])
    def test_numbers_are_linspace_rounded_down(self, available: int) -> None:
        chosen = select(steady(available, 60), available / 60, Sampling(spread="count"))
        assert chosen.indices == tuple(np.linspace(0, available - 1, 32, dtype=int).tolist())

    def test_do_not_care_when_a_frame_is_shown(self) -> None:
        times = np.array([0.0, 0.1, 0.2, 5.0, 9.0])
        assert select(times, 9.1, Sampling(frames=4, spread="count")).indices == (0, 1, 2, 4)
        assert select(times, 9.1, Sampling(frames=4)).indices == (0, 2, 3, 4)

    def test_a_rate_comes_first(self) -> None:
        by_rate = Sampling(fps=1.0, spread="count")
        assert select(steady(100, 25), 4.0, by_rate) == select(
            steady(100, 25), 4.0, Sampling(fps=1.0)
        )

    def test_frames_that_are_repeated_have_the_rate_of_the_grid(self) -> None:
        chosen = select(steady(3, 2), 1.5, Sampling(frames=5, spread="count"))
        assert (chosen.indices, chosen.fps) == ((0, 0, 1, 1, 2), 4.0)


SIDES = st.integers(min_value=16, max_value=8192)


# What smart_resize of transformers 5.19.0 (models/qwen2_vl/video_processing_qwen2_vl.py) gives with
# min_pixels=3136, max_pixels=100352. Importing it would take as long as all other media tests.
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1080, 1920), (224, 420)),
        ((1920, 1080), (420, 224)),
        ((720, 1280), (224, 420)),
        ((576, 1024), (224, 420)),
        ((1000, 1000), (308, 308)),
        ((160, 120), (168, 112)),
        ((120, 160), (112, 168)),
        ((1919, 1081), (420, 224)),
        ((42, 42), (56, 56)),
        ((98, 70), (112, 56)),
        ((20, 20), (56, 56)),
        ((16, 900), (28, 896)),
        ((30, 5000), (28, 4088)),
        ((317, 318), (308, 308)),
    ],
)
def test_sizes_are_those_of_the_models_own_processor(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    assert target_size(*source, Sampling()) == target


@given(width=SIDES, height=SIDES)
def test_sides_are_multiples_of_the_factor_within_the_budget(width: int, height: int) -> None:
    sampling = Sampling(min_pixels=28 * 28 * 16, max_pixels=28 * 28 * 128)
    if max(width, height) > 60 * min(width, height):
        return  # a single row of blocks is allowed to be over the budget
    new_width, new_height = target_size(width, height, sampling)
    assert new_width % 28 == 0 and new_height % 28 == 0
    assert sampling.min_pixels <= new_width * new_height <= sampling.max_pixels


@given(width=SIDES, height=SIDES)
def test_the_rule_applied_to_its_own_result_changes_nothing(width: int, height: int) -> None:
    if max(width, height) > 60 * min(width, height):
        return
    once = target_size(width, height, Sampling())
    assert target_size(*once, Sampling()) == once


@pytest.mark.parametrize("size", [(8192, 16), (3201, 16), (16, 3201)])
def test_a_ribbon_is_refused_in_words(size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match=f"{size[0]}x{size[1]} is too narrow"):
        target_size(*size, Sampling())


def test_two_hundred_times_as_long_as_wide_is_no_ribbon_yet() -> None:
    assert target_size(3200, 16, Sampling()) == (3192, 28)


def test_a_size_that_is_just_within_the_bounds_is_not_scaled_once_more() -> None:
    assert target_size(230, 450, Sampling()) == (224, 448), "128 tokens"
    assert target_size(60, 48, Sampling()) == (56, 56), "4 tokens"


def test_a_side_is_never_less_than_one_factor() -> None:
    assert target_size(1, 100, Sampling(factor=2, min_pixels=1)) == (2, 100)


class TestEven:
    """The rule of qwen-omni-utils 0.0.9, written down from its source."""

    @staticmethod
    def theirs(total: int, rate: float, fps: float, least: int, most: int) -> list[int]:
        wanted = total / rate * fps
        count = int(min(max(wanted, least), min(most, total) // 2 * 2, total)) // 2 * 2
        return np.linspace(0, total - 1, count).round().astype(int).tolist()

    @pytest.mark.parametrize("total", [7, 24, 25, 100, 749, 5000])
    @pytest.mark.parametrize("rate", [24.0, 29.97, 60.0])
    def test_as_many_as_the_rate_says_evenly_by_number(self, total: int, rate: float) -> None:
        own = Sampling(fps=2.0, spread="even", min_frames=4, max_frames=64)
        chosen = select(steady(total, rate), total / rate, own)
        assert list(chosen.indices) == self.theirs(total, rate, 2.0, 4, 64)
        assert chosen.fps == pytest.approx(len(chosen.indices) / (total / rate))

    def test_all_frames_share_the_pixels(self) -> None:
        own = Sampling(min_pixels=100, max_pixels=1000, total_pixels=8000)
        assert own.of_frames(8).max_pixels == 1000
        assert own.of_frames(32).max_pixels == 500
        assert own.of_frames(800).max_pixels == 105
        assert Sampling().of_frames(800) == Sampling()


def test_what_came_later_is_no_part_of_older_keys() -> None:
    assert not {"total_pixels", "min_frames"} & Sampling().made_of().keys()
    assert Sampling(total_pixels=9, min_frames=4).made_of()["min_frames"] == 4
