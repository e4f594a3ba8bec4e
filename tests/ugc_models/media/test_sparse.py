"""A plan brings the very frames that decoding everything brings, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest

from tests.support.clips import write_clip
from ugc_models.media import frames as frames_module
from ugc_models.media.errors import MediaError
from ugc_models.media.frames import Picture, read_frames
from ugc_models.media.limits import Budget, Limits
from ugc_models.media.plan import Course, Step, plan
from ugc_models.media.sampling import Sampling
from ugc_models.media.scale import Scaler

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

WIDTH, HEIGHT, COUNT, RATE = 96, 64, 90, 30
SAMPLINGS = (Sampling(frames=4), Sampling(frames=13), Sampling(fps=1.0), Sampling(fps=7.0))

X264 = {"preset": "veryfast", "x264-params": "log-level=-1:ref=3:"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:min-keyint=5:"}
ENCODES: dict[str, tuple[str, str, str]] = {
    "one group": ("libx264", "bframes=0:keyint=250", "mp4"),
    "short groups": ("libx264", "bframes=0:keyint=12", "mp4"),
    "B-frames": ("libx264", "bframes=3:b-pyramid=none:keyint=40", "mp4"),
    "B-pyramid": ("libx264", "bframes=5:b-pyramid=normal:keyint=40", "mp4"),
    "strict B-pyramid": ("libx264", "bframes=5:b-pyramid=strict:keyint=250", "mkv"),
    "in MPEG-TS": ("libx264", "bframes=3:b-pyramid=normal:keyint=30", "ts"),
    "in FLV": ("libx264", "bframes=2:keyint=30", "flv"),
    "open groups": ("libx264", "bframes=3:open-gop=1:keyint=12", "mp4"),
    "open groups in MPEG-TS": ("libx264", "bframes=3:open-gop=1:keyint=25", "ts"),
    "intra refresh": ("libx264", "intra-refresh=1:keyint=20", "ts"),
    "slices": ("libx264", "bframes=2:slices=4:keyint=30:weightp=2", "mp4"),
    "interlaced": ("libx264", "interlaced=1:bframes=2:keyint=30", "mp4"),
    "HEVC": ("libx265", "bframes=4:open-gop=0:keyint=20", "mp4"),
    "HEVC, open groups": ("libx265", "bframes=4:open-gop=1:keyint=20", "mp4"),
    "HEVC, open groups in MPEG-TS": ("libx265", "bframes=4:open-gop=1:keyint=20", "ts"),
    "HEVC, leading pictures": ("libx265", "bframes=4:open-gop=0:radl=2:keyint=20", "mkv"),
    "HEVC, layers": ("libx265", "bframes=4:temporal-layers=3:keyint=40", "mp4"),
    "VP8": ("libvpx", "", "webm"),
    "VP9": ("libvpx-vp9", "", "webm"),
    "MPEG-4": ("mpeg4", "", "mp4"),
    "MPEG-4 in AVI": ("mpeg4", "", "avi"),
    "MPEG-2": ("mpeg2video", "", "ts"),
    "AV1": ("libsvtav1", "", "mp4"),
}
"""Encoder, its parameters, container."""
WITH_PLAN = frozenset(ENCODES) - {"interlaced", "VP8", "MPEG-4", "MPEG-4 in AVI", "MPEG-2", "AV1"}


def encode(path: Path, codec: str, parameters: str, seed: int = 0) -> Path:
    """Write a noisy clip with a cut in the middle, so that every kind of block and frame occurs."""
    noise = np.random.default_rng(seed)
    scenes = noise.integers(16, 235, (2, HEIGHT + COUNT, WIDTH + COUNT), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = stream.codec_context
        if codec == "libx264":
            context.options = X264 | {"x264-params": X264["x264-params"] + parameters}
        elif codec == "libx265":
            context.options = X265 | {"x265-params": X265["x265-params"] + parameters}
        else:
            context.gop_size = 20
            context.options = {"deadline": "realtime", "cpu-used": "8"} if "vpx" in codec else {}
            context.max_b_frames = 2 if codec.startswith("mpeg") else 0
        for index in range(COUNT):
            scene = scenes[int(index > COUNT // 2)]
            light = scene[index // 2 : index // 2 + HEIGHT, index : index + WIDTH]
            tint = np.full((HEIGHT // 2, WIDTH), 100 + index // 2, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([light, tint]), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def everything_in(path: Path) -> list[NDArray[np.uint8]]:
    """Decode the whole file with PyAV alone; its frames in order of display, scaled."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        scale = Scaler(Sampling(), stream.sample_aspect_ratio)
        return [scale(frame) for frame in container.decode(stream)]


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """The plans that are made during the test."""
    made: list[bytes | None] = []

    def spy(course: Course, wanted: list[int]) -> bytes | None:
        made.append(plan(course, wanted))
        return made[-1]

    monkeypatch.setattr(frames_module, "plan", spy)
    return made


@pytest.fixture
def no_plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Decode everything, always; undone with ``undo()``."""
    monkeypatch.setattr(frames_module, "plan", lambda _course, _wanted: None)
    yield monkeypatch


def read(path: Path, sampling: Sampling) -> Picture:
    return read_frames(path, sampling, Budget(Limits()), 1)


@pytest.mark.parametrize("name", ENCODES)
def test_the_frames_are_those_of_a_full_decode(
    name: str, plans: list[bytes | None], tmp_path: Path
) -> None:
    codec, parameters, suffix = ENCODES[name]
    path = encode(tmp_path / f"a.{suffix}", codec, parameters)
    whole = everything_in(path)
    assert len(whole) == COUNT
    for sampling in SAMPLINGS:
        picture = read(path, sampling)
        numbers = [round(at * RATE) for at in picture.times]
        assert len(set(numbers)) == len(picture.frames)
        for frame, number in zip(picture.frames, numbers, strict=True):
            assert np.array_equal(frame, whole[number]), f"frame {number} of {sampling}"
        assert picture.decode_errors == 0
    assert any(plans) == (name in WITH_PLAN)


def test_sparse_frames_of_short_groups_cost_a_part_of_the_file(
    plans: list[bytes | None], tmp_path: Path
) -> None:
    read(encode(tmp_path / "a.mp4", "libx264", "bframes=3:keyint=10"), Sampling(frames=4))
    steps = plans[0]
    assert steps is not None
    assert sum(step != Step.LEAVE for step in steps) < COUNT / 3
    assert steps.count(Step.RESTART) >= 2


def test_an_edit_list_is_kept_to(plans: list[bytes | None], tmp_path: Path) -> None:
    times = [k / 25 - 0.5 for k in range(80)]
    path = write_clip(tmp_path / "a.mp4", times=times, b_frames=2, gop=15, audio=None)
    whole = everything_in(path)
    picture = read(path, Sampling(frames=5))
    assert any(plans)
    for frame, at in zip(picture.frames, picture.times, strict=True):
        assert np.array_equal(frame, whole[round(at * 25)])


@pytest.mark.parametrize("name", ["B-pyramid", "HEVC", "HEVC, open groups", "in MPEG-TS", "VP9"])
def test_a_damaged_file_gives_what_a_full_decode_gives(
    name: str, no_plans: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The full decode conceals damage with pictures that a plan may have left out."""
    codec, parameters, suffix = ENCODES[name]
    path = encode(tmp_path / f"a.{suffix}", codec, parameters)
    whole = path.read_bytes()
    damaged = []
    for seed in (*range(12), 55):  # HEVC's 55 is concealed without a word, unless told otherwise
        choose = random.Random(seed)
        data = bytearray(whole)
        for _ in range(choose.choice([1, 2, 8])):
            at = choose.randrange(len(data) // 10, len(data) * 9 // 10)
            data[at : at + choose.choice([1, 1, 100])] = b"\xa5"
        damaged.append(tmp_path / f"{seed}.{suffix}")
        damaged[-1].write_bytes(data)

    def outcome(path: Path) -> Picture | str:
        try:
            return read(path, Sampling(frames=5))
        except MediaError as error:
            return str(error)

    plain = [outcome(path) for path in damaged]
    no_plans.undo()
    sparse = [outcome(path) for path in damaged]
    for one, other in zip(plain, sparse, strict=True):
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            assert np.array_equal(one.frames, other.frames)
            assert np.array_equal(one.times, other.times)
    assert sum(isinstance(each, Picture) for each in sparse) > 3
