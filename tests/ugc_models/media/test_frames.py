"""Frames against a plain full decode of the same file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.support.clips import CORNERS, read_corners, read_index, write_clip
from ugc_models.media.clip import Clip, _shown_at, read_clip
from ugc_models.media.limits import Limits
from ugc_models.media.sampling import Sampling, target_size
from ugc_models.media.scale import Scaler

SILENT: dict[str, Any] = {"audio": None}


def indices(clip: Clip) -> list[int]:
    return [read_index(frame) for frame in clip.frames]


def everything_in(path: Path) -> tuple[list[float], list[int]]:
    """Decode the whole file at full size: when each frame is shown, and its number."""
    with av.open(str(path)) as container:
        shown = [
            (float(frame.time), read_index(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    return [time - shown[0][0] for time, _ in shown], [index for _, index in shown]


def shown_at(times: list[float], at: float) -> int:
    return max(position for position, time in enumerate(times) if time <= at + 0.001)


FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "H.264": ("a.mp4", {}),
    "B-frames": ("a.mp4", {"b_frames": 3}),
    "fragments": ("a.mp4", {"fragmented": True, "b_frames": 2}),
    "index first": ("a.mp4", {"faststart": True}),
    "odd frame count": ("a.mp4", {"seconds": 2.04}),
    "30000/1001": ("a.mp4", {"fps": Fraction(30000, 1001)}),
    "HEVC": ("a.mp4", {"codec": "libx265"}),
    "10 bits": ("a.mp4", {"pix_fmt": "yuv420p10le"}),
    "edit list": ("a.mp4", {"times": [k / 25 - 0.5 for k in range(80)], "b_frames": 2}),
    "late start": ("a.mp4", {"times": [k / 25 + 0.7 for k in range(80)]}),
    "Matroska": ("a.mkv", {"fps": 30, "b_frames": 2}),
    "WebM": ("a.webm", {"codec": "libvpx"}),
    "MPEG-TS": ("a.ts", {"b_frames": 2}),
    "AVI": ("a.avi", {"codec": "mpeg4"}),
    "FLV": ("a.flv", {"b_frames": 1}),
    "QuickTime": ("a.mov", {"codec": "mpeg4"}),
}


@pytest.mark.parametrize("name", FILES)
def test_exactly_the_frames_shown_at_the_grid_times_are_taken(name: str, tmp_path: Path) -> None:
    suffix, settings = FILES[name]
    path = write_clip(tmp_path / suffix, **{**SILENT, "seconds": 3.0, **settings})
    times, numbers = everything_in(path)

    clip = read_clip(path, Sampling(frames=16))
    expected = [shown_at(times, at) for at in np.linspace(0, times[-1], 16)]
    assert indices(clip) == [numbers[position] for position in expected]
    assert clip.times == pytest.approx([times[position] for position in expected], abs=1e-6)
    assert clip.fps == pytest.approx(15 / times[-1])
    assert clip.decode_errors == 0 and clip.lost_seconds == 0

    clip = read_clip(path, Sampling(fps=3.0))
    expected = [shown_at(times, k / 3.0) for k in range(len(clip.frames))]
    assert indices(clip) == [numbers[position] for position in expected]
    assert len(clip.frames) % 2 == 0 and clip.fps == 3.0
    assert times[-1] < (len(clip.frames) + 2) / 3.0


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_without_stored_times_frames_keep_the_order_of_display(codec: str, tmp_path: Path) -> None:
    """AVI stores no presentation times; with B-frames, packets are not in order of display."""
    path = write_clip(tmp_path / "a.avi", codec=codec, b_frames=2, seconds=2.0, audio=None)
    clip = read_clip(path, Sampling(frames=50))
    assert indices(clip) == list(range(50))
    assert clip.times == pytest.approx(np.arange(50) / 25)
    assert clip.duration == pytest.approx(2.0)
    assert indices(read_clip(path, Sampling(fps=5.0))) == list(range(0, 50, 5))


def test_a_variable_frame_rate_is_sampled_by_time_not_by_count(tmp_path: Path) -> None:
    times = [k / 60 for k in range(60)] + [1.0 + k / 5 for k in range(21)]
    path = write_clip(tmp_path / "vfr.mp4", times=times, audio=None)
    clip = read_clip(path, Sampling(frames=6))
    assert indices(clip) == [0, 60, 65, 70, 75, 80]
    assert clip.times == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], abs=1e-3)
    assert clip.fps == pytest.approx(1.0)


def test_few_frames_are_each_taken_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "few.mp4", times=[0, 0.1, 0.5, 2.0], audio=None)
    clip = read_clip(path, Sampling(frames=32))
    assert indices(clip) == [0, 1, 2, 3]
    assert clip.fps == pytest.approx(3 / 2.0)


def test_a_clip_of_one_frame_gives_one(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "one.mp4", times=[0.0], audio=None))
    assert clip.frames.shape == (1, 112, 168, 3)
    assert clip.times.tolist() == [0.0]
    assert clip.fps == pytest.approx(1 / clip.duration)


def test_the_arrays_have_the_promised_types(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", seconds=1.0), Sampling(frames=8))
    assert clip.frames.dtype == np.uint8 and clip.frames.flags.c_contiguous
    assert clip.frames.shape == (8, 112, 168, 3)
    assert clip.times.dtype == np.float64 and clip.times.shape == (8,)
    assert clip.sound is not None
    assert clip.sound.dtype == np.float32 and clip.sound.ndim == 1
    assert clip.duration == pytest.approx(1.0)


def test_decoder_threads_change_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", audio=None, b_frames=2)
    one, four = read_clip(path), read_clip(path, threads=4)
    assert np.array_equal(one.frames, four.frames)


def test_the_decoder_has_as_many_threads_as_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[int] = []

    class Counting(Scaler):
        def __call__(self, frame: Any) -> Any:
            running.append(len([*Path("/proc/self/task").iterdir()]))
            return super().__call__(frame)

    monkeypatch.setattr("ugc_models.media.clip.Scaler", Counting)
    path = write_clip(tmp_path / "a.mp4", audio=None, seconds=0.4)
    for threads in (1, 4):
        read_clip(path, Sampling(frames=1), threads=threads)
    assert running[1] - running[0] >= 3


def test_a_frame_without_a_time_follows_the_one_before() -> None:
    frame = av.VideoFrame(16, 16, "gray")
    assert frame.pts is frame.dts is None
    assert _shown_at(frame, after=7) == 8
    frame.duration = 3600
    assert _shown_at(frame, after=7) == 3607
    frame.dts = 9
    assert _shown_at(frame, after=7) == 9
    frame.pts = 5
    assert _shown_at(frame, after=7) == 5


def test_frames_that_cannot_be_decoded_are_replaced_by_those_that_can(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", audio=None, seconds=2.0, gop=10)
    with av.open(str(path)) as container:
        first = next(container.demux(video=0))
        data = bytearray(path.read_bytes())
        assert first.is_keyframe and first.pos is not None
        data[first.pos : first.pos + first.size] = bytes(first.size)
    path.write_bytes(data)
    clip = read_clip(path, Sampling(frames=5))
    assert clip.decode_errors > 0
    assert indices(clip) == [10, 19, 29, 39, 49]
    assert clip.times[0] == 0.0


def test_a_frame_in_which_damage_is_concealed_counts_as_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", codec="mpeg4", audio=None, seconds=1.0)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
    assert packet.pos is not None
    data = bytearray(path.read_bytes())
    data[packet.pos + 20 : packet.pos + packet.size] = b"\xa5" * (packet.size - 20)
    path.write_bytes(data)
    clip = read_clip(path)
    assert (len(clip.frames), clip.decode_errors) == (25, 1)


def test_what_a_cut_off_file_lacks_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", audio=None, seconds=4.0, faststart=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    clip = read_clip(path)
    assert 1.0 < clip.lost_seconds < 3.0
    assert clip.duration + clip.lost_seconds == pytest.approx(4.0)


@pytest.mark.parametrize(("frames", "lost"), [(2, 0.0), (3, 0.12), (5, 0.2)])
def test_less_than_a_tenth_of_a_second_is_not_lost_but_rounded(
    frames: int, lost: float, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "a.mp4", audio=None, seconds=1.0, faststart=True)
    with av.open(str(path)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[-frames]])
    assert read_clip(path).lost_seconds == pytest.approx(lost)


def test_frames_that_outgrow_the_limit_midway_are_not_decoded(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "s.ts", width=96, height=64, seconds=1.0, audio=None)
    later = [1.0 + k / 25 for k in range(25)]
    large = write_clip(tmp_path / "l.ts", width=640, height=480, times=later, audio=None)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    assert len(read_clip(both, Sampling(frames=99)).frames) == 50
    clip = read_clip(both, Sampling(frames=99), limits=Limits(source_pixels=100 * 100))
    assert indices(clip) == list(range(25))
    assert clip.decode_errors > 0


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_turned_clip_comes_out_upright(rotation: Any, tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", width=120, height=200, seconds=0.4, audio=None, rotation=rotation
    )
    with av.open(str(path)) as container:
        stored = container.streams.video[0]
        assert (stored.width > stored.height) == (rotation in (90, 270))
    clip = read_clip(path)
    assert clip.frames.shape[1:] == (196, 112, 3)
    assert indices(clip) == list(range(10))
    for corner, colour in read_corners(clip.frames[0]).items():
        assert colour == pytest.approx(CORNERS[corner], abs=6), corner


@pytest.mark.parametrize(
    ("aspect", "rotation", "displayed"),
    [
        (Fraction(2), 0, (320, 120)),
        (Fraction(1, 2), 0, (160, 240)),
        (Fraction(2), 90, (320, 120)),
        (Fraction(4, 3), 270, (213, 120)),
    ],
)
def test_pixels_that_are_not_square_are_made_so(
    aspect: Fraction, rotation: Any, displayed: tuple[int, int], tmp_path: Path
) -> None:
    path = write_clip(
        tmp_path / "a.mp4", seconds=0.4, audio=None, pixel_aspect=aspect, rotation=rotation
    )
    clip = read_clip(path)
    assert (clip.frames.shape[2], clip.frames.shape[1]) == target_size(*displayed, Sampling())
    assert indices(clip) == list(range(10))
