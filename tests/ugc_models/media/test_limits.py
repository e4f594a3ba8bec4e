"""What one file may use of the machine."""

from __future__ import annotations

import time

import pytest

from ugc_models.media.limits import Deadline, Limits, MediaError


def test_the_bounds_are_those_that_are_documented() -> None:
    """Larger ones take memory and time that nobody reckons with; smaller ones refuse clips."""
    limits = Limits()
    assert limits.source_pixels == 4096 * 4096
    assert (limits.image_pixels, limits.sound_seconds) == (89_478_485, 300.0)
    assert (limits.decode_seconds, limits.packets) == (120.0, 2_000_000)


def test_many_frames_may_take_longer() -> None:
    limits = Limits(decode_seconds=60)
    assert [limits.seconds(frames) for frames in (1, 128, 256)] == [60, 60, 120]


def test_time_that_is_up_is_up() -> None:
    deadline = Deadline(Limits(decode_seconds=60))
    assert 0 < deadline.left() <= 60
    deadline.check_time()
    over = Deadline(Limits(decode_seconds=1e-6))
    time.sleep(0.001)
    with pytest.raises(MediaError, match="timed out: reading it took more than 1e-06 s"):
        over.check_time()


def test_what_is_left_is_never_nothing_which_libav_takes_for_at_once() -> None:
    over = Deadline(Limits(decode_seconds=1e-6))
    time.sleep(0.001)
    assert over.left() > 0
