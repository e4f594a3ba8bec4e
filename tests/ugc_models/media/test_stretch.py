"""A stretch of a file: the frames and the samples that the whole has there, and little else."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import read_index, write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling

ALL = Sampling(frames=10_000, max_pixels=160 * 120, factor=2)
STORED: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 2, "gop": 30},
    "later.mp4": {"gop": 30, "audio_later": lambda _: 0.3},
    "h264.mkv": {"b_frames": 2, "gop": 30},
    "h264.ts": {"b_frames": 2, "gop": 30},
    "hevc.mp4": {"codec": "libx265", "gop": 30},
    "vp9.webm": {"codec": "libvpx-vp9", "gop": 30, "audio_codec": "libopus", "audio_rate": 48_000},
    "vorbis.mkv": {"gop": 30, "audio_codec": "libvorbis", "audio_rate": 48_000},
    "mpeg4.avi": {"codec": "mpeg4", "gop": 30, "audio_codec": "libmp3lame"},
    "pcm.mov": {"gop": 30, "audio_codec": "pcm_s16le"},
}
STRETCHES = ((0.0, 1.5), (2.5, 4.0), (3.13, 5.77), (5.0, None), (1.0, 99.0))


@pytest.fixture(scope="module", params=STORED)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stretch")
    return write_clip(folder / request.param, seconds=6.0, **STORED[request.param])


@pytest.mark.parametrize(("start", "end"), STRETCHES)
def test_frames_are_those_of_the_whole(path: Path, start: float, end: float | None) -> None:
    whole = read_clip(path, ALL, sound=False)
    part = read_clip(path, ALL, start=start, end=end, sound=False)
    last = whole.duration if end is None else min(end, whole.duration)
    shown = [n for n, at in enumerate(whole.times) if start + 1e-3 < at < last - 1e-3]
    # The first is the one that is shown when the stretch begins.
    first = max(n for n, at in enumerate(whole.times) if at <= start + 1e-3)
    expected = [first, *(n for n in shown if n != first)]
    assert [read_index(frame) for frame in part.frames] == expected
    assert np.array_equal(part.frames, whole.frames[expected])
    assert part.times == pytest.approx(np.maximum(whole.times[expected] - start, 0.0))
    assert part.duration == pytest.approx(last - start)


@pytest.mark.parametrize(("start", "end"), STRETCHES)
def test_sound_is_that_of_the_whole_cut_to_the_sample(
    path: Path, start: float, end: float | None
) -> None:
    whole, part = (
        read_clip(path, start=first, end=last).sound for first, last in ((0.0, None), (start, end))
    )
    assert whole is not None
    assert part is not None
    last = 6.0 if end is None else min(end, 6.0)
    expected = whole[round(start * 16_000) : round(last * 16_000)]
    # The picture lasts to within a frame of 6 s.
    assert abs(len(part) - len(expected)) <= (0 if last < 6 else 640)
    both = min(len(part), len(expected))
    difference = part[:both] - expected[:both]
    assert int(np.argmax(correlated(part[:both], expected[:both]))) == LAG
    # AAC has noise in it that a decoder draws by lot, in other order from another start.
    aac = "audio_codec" not in STORED[path.name]
    assert np.abs(difference).max() < (0.05 if aac and start else 1e-3)


LAG = 8


def correlated(part: Any, whole: Any) -> Any:
    """Return how alike the two are where one is up to ``LAG`` samples later than the other."""
    inner = whole[LAG:-LAG]
    return [float(part[lag : lag + len(inner)] @ inner) for lag in range(2 * LAG + 1)]


def test_sampling_is_of_the_stretch(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=8.0, fps=10, audio=None)
    part = read_clip(path, Sampling(fps=2.0), start=3.0, end=6.0)
    assert [read_index(frame) for frame in part.frames] == [30, 35, 40, 45, 50, 55]
    assert part.fps == 2.0


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (4.0, 2.0, "a stretch from 4 to 2 s is none"),
        (2.0, 2.0, "a stretch from 2 to 2 s is none"),
        (-1.0, 2.0, "a stretch from -1 to 2 s is none"),
        (math.nan, 2.0, "a stretch from nan to 2 s is none"),
        (60.0, 70.0, "it ends at 2.0 s, before 60 s, where to begin"),
        (60.0, None, "it ends at 2.0 s, before 60 s, where to begin"),
    ],
)
def test_one_that_there_is_not_is_said(
    tmp_path: Path, start: float, end: float | None, said: str
) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=2.0, audio=None)
    with pytest.raises(MediaError, match=said):
        read_clip(path, start=start, end=end)


def test_the_sound_of_a_stretch_that_has_none_is_missing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=9.0, audio_seconds=2.0)
    part = read_clip(path, start=5.0, end=8.0)
    assert part.sound is None
    assert part.sound_missing == "the audio track lies outside the time of the picture"
    assert read_clip(path, start=0.5, end=1.0).sound is not None


def test_a_short_stretch_late_in_a_long_file_costs_little(tmp_path: Path) -> None:
    """In CPU time, beside the whole: a hundredth of the frames."""
    path = write_clip(tmp_path / "a.mp4", seconds=240.0, fps=25, gop=50)

    def cost(**part: float) -> float:
        before = time.process_time()
        read_clip(path, ALL, **part)
        return time.process_time() - before

    assert cost(start=200.0, end=202.4) < cost() / 3
