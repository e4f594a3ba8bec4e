"""A clip is looked at before it counts: its beginning, its end, its length."""

from __future__ import annotations

import errno
import itertools
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
import pytest

from tests.support.clips import write_clip, write_song
from ugc_tasks.data import check
from ugc_tasks.data.check import (
    ClipFault,
    ClipState,
    NotChecked,
    admit,
    check_clip,
    survey,
)
from ugc_tasks.data.ledger import Dead, Ledger

if TYPE_CHECKING:
    from av.video.stream import VideoStream


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"audio": None},
        {"codec": "libx265"},
        {"rotation": 90},
        {"fragmented": True},
        {"times": [0.0, 0.04, 0.08, 1.96]},
        {"b_frames": 2, "gop": 250},
        {"audio_seconds": 9.0},
    ],
    ids=lambda how: " ".join(how) or "plain",
)
def test_a_clip_is_as_long_as_its_picture(tmp_path: Path, how: dict[str, object]) -> None:
    path = write_clip(tmp_path / "clip.mp4", **{"seconds": 2.0, **how})  # type: ignore[arg-type]
    assert check_clip(path) == pytest.approx(2.0, abs=0.25)


def test_another_container_under_the_name_of_a_clip_will_do(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", seconds=2).rename(tmp_path / "clip.mp4")
    assert check_clip(path) == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize(
    "how", [{"audio_seconds": 9.0}, {"codec": "libvpx", "audio": None, "width": 64, "height": 64}]
)
def test_the_length_of_the_file_is_not_taken_for_that_of_its_picture(
    tmp_path: Path, how: dict[str, object]
) -> None:
    """Matroska states one length, its longest track's."""
    check_clip(write_clip(tmp_path / "a.mkv", seconds=3.0, **how))  # type: ignore[arg-type]


def test_a_picture_that_starts_late_is_cut_where_it_is_cut(tmp_path: Path) -> None:
    times = [3.0 + k / 25 for k in range(100)]
    path = write_clip(tmp_path / "a.mp4", times=times, audio=None, faststart=True, gop=5)
    assert check_clip(path) == pytest.approx(4.0, abs=0.1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with pytest.raises(ClipFault, match="it is cut short"):
        check_clip(path)


REFRESH = {
    "intra refresh": "intra-refresh=1:bframes=0:keyint=60",
    "intra refresh with B-frames": "intra-refresh=1:bframes=3:keyint=60",
    "a refresh that ends after the file": "intra-refresh=1:bframes=3:keyint=190",
    "open groups": "open-gop=1:bframes=3:keyint=25",
}


@pytest.mark.parametrize("name", REFRESH)
def test_a_whole_clip_is_not_cut_short_however_late_its_last_entry_is(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = cast("VideoStream", container.add_stream("libx264", rate=25))
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        parameters = f"log-level=-1:{REFRESH[name]}"
        stream.codec_context.options = {"preset": "veryfast", "x264-params": parameters}
        noise = np.random.default_rng(0).integers(0, 255, (180, 520, 3), dtype=np.uint8)
        for index in range(200):
            picture = np.ascontiguousarray(noise[:, index : index + 320])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert check_clip(path) == pytest.approx(8.0, abs=0.1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with pytest.raises(ClipFault, match="it is cut short"):
        check_clip(path)


@pytest.mark.parametrize("seconds", [0.5, 121.0])
def test_a_length_that_no_clip_has_is_refused(tmp_path: Path, seconds: float) -> None:
    path = write_clip(tmp_path / "c.mp4", width=32, height=32, fps=2, seconds=seconds, audio=None)
    with pytest.raises(ClipFault, match=rf"lasts {seconds:.1f} s, which is not 1 to 120 s"):
        check_clip(path)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_clip_that_was_cut_is_told_by_its_end(tmp_path: Path, kept: float) -> None:
    path = write_clip(tmp_path / "long.mp4", seconds=10, faststart=True)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ClipFault, match=r"it is cut short|not a readable video"):
        check_clip(path)


def test_a_clip_without_its_index_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mp4", seconds=2)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ClipFault, match="not a readable video file"):
        check_clip(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>no such video</html>",
        b"#EXTM3U\n#EXTINF:1\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        os.urandom(4096),
    ],
    ids=["empty", "page", "playlist", "script", "noise"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ClipFault, match="not a readable video file"):
        check_clip(path)


def test_sound_with_a_cover_has_no_picture(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.m4a").rename(tmp_path / "song.mp4")
    with pytest.raises(ClipFault, match="it has no picture"):
        check_clip(song)


def test_a_lack_of_memory_is_not_taken_for_damage_and_is_not_remembered(
    tmp_path: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    def look() -> ClipState:
        return survey(["clip"], tmp_path, ledger, workers=1)["clip"]

    (tmp_path / "clip.mp4").write_bytes(clip_bytes)
    with Ledger(None) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(av, "open", lacking)
            with pytest.raises(NotChecked, match="there is not enough memory to check it"):
                check_clip(tmp_path / "clip.mp4")
            said = "clip.mp4: there is not enough memory to check it"
            assert look() == ClipState("missing", said)
        assert look() == ClipState("present")


def test_only_files_are_looked_at(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "."):
        with pytest.raises(ClipFault, match="not a regular file"):
            check_clip(tmp_path / name)
    with pytest.raises(ClipFault, match="cannot be read"):
        check_clip(tmp_path / "absent.mp4")


def test_a_clip_gets_its_place_only_when_it_is_one(tmp_path: Path, clip_bytes: bytes) -> None:
    place, new = tmp_path / "clip.mp4", tmp_path / "new"
    place.write_bytes(b"what was there")
    new.write_bytes(clip_bytes[:5000])
    with Ledger(None) as ledger:
        ledger.note_dead("clip", Dead("https://a.example", "gone", "status 404"))
        with pytest.raises(ClipFault):
            admit(new, place, ledger)
        assert place.read_bytes() == b"what was there"
        assert (ledger.checked(place), ledger.dead("clip") is None) == ((False, None), False)
        new.write_bytes(clip_bytes)
        admit(new, place, ledger)
        assert (ledger.checked(place), ledger.dead("clip")) == ((True, None), None)
    assert place.read_bytes() == clip_bytes
    assert not new.exists()


def test_a_clip_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, new = tmp_path / "clip.mp4", tmp_path / "new"
    new.write_bytes(clip_bytes)
    synced: list[tuple[int, bool]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, place.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    admit(new, place, Ledger(None))
    assert synced == [(len(clip_bytes), False)]


def test_a_file_may_be_large_but_not_without_limit(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    os.truncate(path, 256 << 20)
    with pytest.raises(ClipFault, match="not a readable video file"):
        check_clip(path)
    os.truncate(path, (256 << 20) + 1)
    with pytest.raises(ClipFault, match="it is larger than 256 MiB"):
        check_clip(path)


def test_a_picture_may_be_wide_but_not_without_limit(tmp_path: Path) -> None:
    form: dict[str, Any] = {"height": 32, "fps": 2, "seconds": 2.0, "audio": None}
    check_clip(write_clip(tmp_path / "a.mp4", width=8192, **form))
    with pytest.raises(ClipFault, match="its picture is larger than 8192 pixels a side"):
        check_clip(write_clip(tmp_path / "b.mp4", width=8194, **form))


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile whole.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nwhole.mp4\n#EXT-X-ENDLIST\n",
    ],
    ids=["script", "playlist"],
)
def test_a_script_is_no_clip_though_it_names_one(
    tmp_path: Path, clip_bytes: bytes, script: str
) -> None:
    (tmp_path / "whole.mp4").write_bytes(clip_bytes)
    (tmp_path / "clip.mp4").write_text(script)
    with pytest.raises(ClipFault, match="not a readable video file"):
        check_clip(tmp_path / "clip.mp4")


def test_a_name_that_looks_like_an_address_is_a_file_here(
    tmp_path: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("http:clip.mp4").write_bytes(clip_bytes)
    assert check_clip(Path("http:clip.mp4")) == pytest.approx(2.0, abs=0.1)


def test_a_clip_is_looked_at_for_only_so_long(
    tmp_path: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip_bytes)
    minutes = itertools.count(step=61)
    monkeypatch.setattr(check, "time", SimpleNamespace(thread_time=lambda: next(minutes)))
    with pytest.raises(ClipFault, match="it takes more than 60 s of CPU to look at"):
        check_clip(tmp_path / "clip.mp4")
