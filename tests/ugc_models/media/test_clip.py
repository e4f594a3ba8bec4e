"""Broken and oversized files: a clip or one clear sentence, within bounds."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import write_clip
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.limits import Limits, MediaError
from ugc_models.media.sampling import Sampling

PROJECT = Path(__file__).resolve().parents[3]


def attempt(path: Path) -> Clip | str:
    """Read a file that may be broken: a well-formed clip, or the reason why there is none."""
    try:
        clip = read_clip(path, Sampling(frames=8), limits=Limits(decode_seconds=60))
    except MediaError as error:
        assert 10 < len(str(error)) < 120 and "\n" not in str(error)
        return str(error)
    count, height, width, channels = clip.frames.shape
    assert 1 <= count <= 8 and channels == 3 and height % 28 == width % 28 == 0
    assert clip.times.shape == (count,) and (np.diff(clip.times) >= 0).all()
    assert clip.times[0] == 0.0 and clip.fps > 0 and clip.duration >= 0
    assert (clip.sound is None) == (clip.sound_missing is not None)
    return clip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    makers = {
        "a.mp4": {"b_frames": 2},
        "first.mp4": {"faststart": True},
        "fragments.mp4": {"fragmented": True},
        "hevc.mp4": {"codec": "libx265"},
        "a.mkv": {},
        "a.ts": {},
        "a.avi": {"codec": "mpeg4"},
    }
    return {
        name: write_clip(
            folder / name,
            width=96,
            height=64,
            seconds=1.0,
            **settings,  # type: ignore[arg-type]
        ).read_bytes()
        for name, settings in makers.items()
    }


def test_the_whole_files_are_clips(files: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        clip = attempt(tmp_path / name)
        assert isinstance(clip, Clip) and len(clip.frames) == 8 and clip.decode_errors == 0


def test_a_file_without_its_index_is_truncated(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(files["a.mp4"][: files["a.mp4"].index(b"moov") - 4])
    assert attempt(path) == "truncated or damaged: its headers cannot be read"


def test_an_index_without_its_data_has_no_frames(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    data = files["first.mp4"]
    path.write_bytes(data[: data.index(b"mdat") + 4])
    assert attempt(path) == "zero frames: nothing of its picture can be decoded"


@pytest.mark.parametrize("name", ["a.mp4", "first.mp4", "fragments.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_file_cut_off_anywhere_is_a_shorter_clip_or_a_reason(
    name: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    path, data = tmp_path / name, files[name]
    path.write_bytes(data)
    whole = attempt(path)
    assert isinstance(whole, Clip)
    for length in np.linspace(1, len(data) - 1, 15).astype(int):
        path.write_bytes(data[:length])
        clip = attempt(path)
        assert isinstance(clip, str) or clip.duration <= whole.duration


def test_flipped_bits_give_a_clip_or_a_reason(files: dict[str, bytes], tmp_path: Path) -> None:
    choose = random.Random(20251)
    outcomes: set[type] = set()
    for _ in range(70):
        name, whole = choose.choice(sorted(files.items()))
        data = bytearray(whole)
        header = data.find(b"moov")
        # Half of them in the index, where a single bit does most harm.
        span = (
            range(header, len(data)) if header > 0 and choose.random() < 0.5 else range(len(data))
        )
        for _ in range(choose.choice([1, 4, 60])):
            data[choose.choice(span)] ^= 1 << choose.randrange(8)
        path = tmp_path / name
        path.write_bytes(data)
        outcomes.add(type(attempt(path)))
    assert outcomes == {Clip, str}


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])
    with pytest.raises(MediaError, match="too large: frames of 96x64 are over the limit of 6000"):
        read_clip(tmp_path / "a.mp4", limits=Limits(source_pixels=6000))


def test_a_picture_may_be_of_any_length(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", times=[0.0, 0.1, 7200.0], audio=None)
    clip = read_clip(path)
    assert (len(clip.frames), clip.times[-1]) == (3, 7200.0)


def test_too_many_packets_are_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])
    with pytest.raises(MediaError, match="a track has more than 24 packets"):
        read_clip(tmp_path / "a.mp4", limits=Limits(packets=24))
    assert read_clip(tmp_path / "a.mp4", sound=False, limits=Limits(packets=25)).duration == 1.0


def test_reading_stops_when_the_time_is_up(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])
    with pytest.raises(MediaError, match="timed out: reading it took more than 0"):
        read_clip(tmp_path / "a.mp4", limits=Limits(decode_seconds=1e-4))


def test_a_full_size_clip_takes_little_memory(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", width=1080, height=1920, fps=30, seconds=4.0, b_frames=2, gop=120
    )
    small = write_clip(tmp_path / "b.mp4", seconds=0.4)
    script = (
        "import resource, sys\n"
        "from ugc_models.media.clip import read_clip\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "read_clip(sys.argv[1])\n"
        "before = peak()\n"
        "clip = read_clip(sys.argv[2])\n"
        "print(len(clip.frames), peak() - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(small), str(path)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    frames, grown = (int(word) for word in ran.stdout.split())
    assert frames == 32
    # 120 full frames are 712 MiB as RGB; the decoder's own pictures are 3 MiB each.
    assert grown < 150
