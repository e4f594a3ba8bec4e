"""Files that were joined end to end are read to their end, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import read_index, write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.joins import NO_JOINS, Mark, begins_anew, find_joins
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling

ALL = Sampling(frames=400)


def joined(folder: Path, suffix: str, *seconds: float, **how: Any) -> Path:
    """Write clips and put them one behind the other, as ``cat`` does."""
    parts = [
        write_clip(folder / f"{place}.{suffix}", seconds=length, seed=place, **how)
        for place, length in enumerate(seconds)
    ]
    path = folder / f"joined.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("ts", {"b_frames": 2}),
        ("ts", {"audio": None}),
        ("mpg", {"codec": "mpeg2video", "audio_codec": "mp2"}),
        ("mkv", {}),
        ("mkv", {"b_frames": 2}),
        ("webm", {"codec": "libvpx", "audio_codec": "libopus", "audio_rate": 48_000}),
    ],
)
def test_times_that_start_anew_are_continued(
    suffix: str, how: dict[str, Any], tmp_path: Path
) -> None:
    clip = read_clip(joined(tmp_path, suffix, 2.0, 3.0, **how), ALL)
    assert [read_index(frame) for frame in clip.frames] == [*range(50), *range(75)]
    steps = np.diff(clip.times)
    assert (steps > 0).all() and steps.max() < 0.15
    assert clip.duration == pytest.approx(5.0, abs=0.15) and clip.lost_seconds == 0


def test_the_sound_of_the_second_part_goes_with_its_picture(tmp_path: Path) -> None:
    path = joined(tmp_path, "ts", 2.0, 3.0)
    clip = read_clip(path, ALL)
    alone = read_clip(tmp_path / "1.ts", ALL)
    assert clip.sound is not None and alone.sound is not None
    place = round(clip.times[50] * 16_000)
    second, expected = clip.sound[place:][2000:30_000], alone.sound[2000:30_000]
    assert np.abs(second - expected).max() < 0.1 < np.abs(expected).max()


def test_more_than_two_parts_are_continued(tmp_path: Path) -> None:
    clip = read_clip(joined(tmp_path, "ts", 1.0, 2.0, 1.0, 1.5), ALL)
    assert len(clip.frames) == 25 + 50 + 25 + 38
    assert clip.duration == pytest.approx(5.52, abs=0.3)


@pytest.mark.parametrize("suffix", ["flv", "wmv"])
def test_a_second_file_that_is_not_reached_is_refused(suffix: str, tmp_path: Path) -> None:
    codec = {"flv": "flv", "wmv": "wmv2"}[suffix]
    path = joined(tmp_path, suffix, 2.0, 2.0, codec=codec, audio=None)
    with pytest.raises(MediaError, match="joined from several files, of which only the first"):
        read_clip(path)
    assert len(read_clip(tmp_path / f"0.{suffix}", ALL).frames) == 50


def test_sound_that_goes_on_behind_the_picture_is_no_second_file(tmp_path: Path) -> None:
    how: dict[str, Any] = {"width": 32, "height": 32, "seconds": 1.0, "audio_seconds": 12.0}
    assert len(read_clip(write_clip(tmp_path / "a.ts", **how), ALL).frames) == 25


def marks(*parts: tuple[float, float, int], track: int = 0) -> list[Mark]:
    """Packets every 40 ms: from, to, and the byte of the first."""
    return [
        Mark(track, byte + place, at, at, at + 0.04)
        for begin, end, byte in parts
        for place, at in enumerate(np.arange(begin, end, 0.04).tolist())
    ]


def test_a_part_begins_at_its_first_byte_and_where_the_one_before_ends() -> None:
    picture = marks((1.0, 3.0, 0), (1.0, 2.0, 1000))
    sound = marks((1.0, 3.4, 100), (0.9, 2.0, 1100), track=1)
    joins = find_joins([*picture, *sound])
    assert joins.positions == (1000,)
    assert joins.seconds == pytest.approx((3.4 - 0.9,))


def test_one_wrong_time_in_a_damaged_file_begins_nothing() -> None:
    back = marks((1.0, 3.0, 0))
    back[20] = back[20]._replace(time=0.1)
    ahead = marks((1.0, 3.0, 0))
    ahead[20] = ahead[20]._replace(time=90.0)
    leap = marks((1.0, 2.0, 0), (50.0, 51.0, 100), (2.0, 3.0, 200))
    assert find_joins(back) == find_joins(ahead) == find_joins(leap) == NO_JOINS


def test_parts_that_no_byte_tells_apart_are_refused() -> None:
    for byte in (0, 10):
        with pytest.raises(MediaError, match="its times start anew in the middle"):
            find_joins(marks((1.0, 3.0, 500), (1.0, 3.0, byte)))


def test_a_quarter_of_a_second_of_disorder_is_none() -> None:
    assert not begins_anew(2.0, 1.75)
    assert begins_anew(2.0, 1.74)
