"""Files that were joined end to end are refused: only their first part would be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.timeline import _starts_anew

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
def test_times_that_start_anew_are_refused(
    suffix: str, how: dict[str, Any], tmp_path: Path
) -> None:
    path = joined(tmp_path, suffix, 2.0, 3.0, **how)
    with pytest.raises(MediaError, match="its times start anew in the middle: it is joined from"):
        read_clip(path)
    assert len(read_clip(tmp_path / f"1.{suffix}", ALL).frames) == 75


def test_so_they_are_however_short_the_first_file_was(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="its times start anew in the middle"):
        read_clip(joined(tmp_path, "ts", 0.32, 2.0, audio=None))


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


def test_disorder_and_wrong_times_in_a_damaged_file_start_nothing_anew() -> None:
    steady = list(range(100, 300, 4))
    back, ahead, late = steady.copy(), steady.copy(), steady.copy()
    back[20], ahead[20] = 10, 9000
    late[20:22] = 9000, 9004
    for times in ([], [7], steady, back, ahead, late):
        assert not _starts_anew(times, 25.0)
    assert not _starts_anew([*range(100, 300, 4), *range(275, 400, 4)], 25.0)
    assert _starts_anew([*range(100, 300, 4), *range(270, 400, 4)], 25.0)
