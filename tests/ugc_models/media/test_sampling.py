"""Which frames are taken, given when each is shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.media.sampling import Sampling, Selection, select


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


def test_the_cap_spreads_the_frames_over_the_whole_clip_and_is_recorded() -> None:
    chosen = select(steady(1000, 25), 40.0, Sampling(fps=2.0, max_frames=11))
    assert len(chosen.indices) == 10
    assert chosen.indices[0] == 0 and chosen.indices[-1] == 999
    assert chosen.fps == pytest.approx(9 / 39.96)
    assert chosen.capped


def test_a_rate_above_the_clips_own_gives_no_frame_twice_and_is_not_a_cap() -> None:
    chosen = select(steady(10, 5), 2.0, Sampling(fps=30.0))
    assert chosen == Selection(tuple(range(10)), fps=5.0)
    odd = select(steady(5, 5), 1.0, Sampling(fps=30.0))
    assert (len(odd.indices), odd.capped) == (4, False)


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


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"fps": 0.0}, "fps must be a number above 0"),
        ({"fps": float("inf")}, "fps must be a number above 0"),
        ({"fps": float("nan")}, "fps must be a number above 0"),
        ({"max_frames": 1}, "max_frames must be at least 2"),
        ({"factor": 0}, "factor must be at least 1"),
        ({"max_pixels": 783}, "max_pixels must be at least 784"),
        ({"min_pixels": 200_000}, r"min_pixels must lie in 0\.\.100352"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**settings)  # type: ignore[arg-type]


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
