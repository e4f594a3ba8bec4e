"""Which of several tracks is read, and whose length a header states."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.support.clips import write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import MediaError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

RATE = 16_000
LEVELS = (200, 90)
"""How bright the two picture tracks are."""
PITCHES = (400, 1600, 2400, 3200, 4000)
"""In Hz, of the sound tracks."""


def write_tracks(
    path: Path, *, pictures: int = 1, sounds: Sequence[str] = ("pcm_s16le",), defaults: int = 1
) -> Path:
    """Write two seconds of Matroska; pictures by ``LEVELS``, sounds by ``PITCHES``."""
    with av.open(str(path), "w") as container:
        shown = []
        for codec in ("libx264", "mpeg4")[:pictures]:
            stream = cast("VideoStream", container.add_stream(codec, rate=25))
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            shown.append(stream)
        heard = [
            cast("AudioStream", container.add_stream(codec, rate=RATE, layout="mono"))
            for codec in sounds
        ]
        for sound in heard[:defaults]:
            sound.disposition = Disposition.default.value  # type: ignore[assignment]
        for index in range(50):
            for stream, level in zip(shown, LEVELS, strict=False):
                picture = np.full((64, 96, 3), level, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            at = np.arange(index * 640, index * 640 + 640) / RATE
            for sound, pitch in zip(heard, PITCHES, strict=False):
                wave = (0.4 * 32767 * np.sin(2 * np.pi * pitch * at)).astype(np.int16)
                block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
                block.sample_rate, block.pts, block.time_base = RATE, index * 640, Fraction(1, RATE)
                container.mux(sound.encode(block))
        for each in (*shown, *heard):
            container.mux(each.encode(None))
    return path


def rename(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


def pitch(sound: Any) -> int:
    return round(float(np.abs(np.fft.rfft(sound[:RATE])).argmax()))


def test_sound_that_cannot_be_decoded_does_not_hide_one_that_can(tmp_path: Path) -> None:
    """An iPhone's second track, or its first: both are marked as the default."""
    for old, new, heard, track in (
        (b"A_PCM/INT/LIT", b"A_APAC/INT/XX", 1600, 2),
        (b"A_FLAC", b"A_ZZZZ", 400, 1),
    ):
        path = write_tracks(tmp_path / "a.mkv", sounds=("pcm_s16le", "flac"))
        rename(path, old, new)
        clip = read_clip(path)
        assert clip.sound is not None and pitch(clip.sound) == heard
        assert clip.sound_track == track and clip.picture_track is None


def test_a_picture_that_cannot_be_decoded_does_not_hide_one_that_can(tmp_path: Path) -> None:
    for old, new, level, track in (
        (b"V_MPEG4/ISO/AVC", b"V_ZZZZZ/ISO/ZZZ", 90, 1),
        (b"V_MPEG4/ISO/ASP", b"V_ZZZZZ/ISO/ZZZ", 200, 0),
    ):
        path = write_tracks(tmp_path / "a.mkv", pictures=2)
        rename(path, old, new)
        clip = read_clip(path)
        assert clip.frames.mean() == pytest.approx(level, abs=4)
        assert clip.picture_track == track and clip.sound_track is None


def junk(path: Path, stream: int) -> None:
    """Overwrite what a track's packets hold."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams[stream]):
            if packet.size and packet.pos is not None:
                at = data.find(bytes(packet), packet.pos)
                data[at : at + packet.size] = b"\x5a" * packet.size
    path.write_bytes(data)


def test_where_the_best_track_gives_nothing_the_next_is_read(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", pictures=2)
    first = read_clip(path).picture_track
    assert first is not None
    junk(path, first)
    clip = read_clip(path)
    assert clip.picture_track == 1 - first
    assert clip.frames.mean() == pytest.approx(LEVELS[1 - first], abs=4)
    junk(path, 1 - first)
    with pytest.raises(MediaError, match="zero frames"):
        read_clip(path)


def test_where_the_best_track_of_sound_gives_nothing_the_next_is_heard(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", sounds=("flac", "flac"))
    assert read_clip(path).sound_track == 1
    junk(path, 1)
    clip = read_clip(path)
    assert clip.sound is not None and pitch(clip.sound) == 1600
    assert clip.sound_track == 2
    junk(path, 2)
    assert "audio undecodable" in (read_clip(path).sound_missing or "")


def test_the_fourth_best_track_of_sound_is_the_last_that_is_tried(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", sounds=("flac",) * 5)
    for stream in (1, 2, 3):
        junk(path, stream)
    assert read_clip(path).sound_track == 4
    junk(path, 4)
    assert read_clip(path).sound is None


def test_default_tracks_go_before_those_of_more_bits_a_second(tmp_path: Path) -> None:
    sounds = ("flac", "flac", "pcm_s16le", "pcm_s32le")
    path = write_tracks(tmp_path / "a.mkv", sounds=sounds, defaults=2)
    for track in (1, 2, 4):
        assert read_clip(path).sound_track == track
        junk(path, track)


def test_where_there_is_no_other_track_none_is_named(tmp_path: Path) -> None:
    clip = read_clip(write_tracks(tmp_path / "a.mkv"))
    assert clip.picture_track is None and clip.sound_track is None
    assert pitch(clip.sound) == 400


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("a.wmv", {"codec": "wmv2", "audio_codec": "wmav2"}),
        ("a.avi", {"codec": "mpeg4", "audio_codec": "libmp3lame"}),
        ("a.mkv", {}),
        ("a.flv", {"codec": "flv"}),
        ("a.ts", {}),
        ("a.mp4", {}),
        ("a.mp4", {"fragmented": True}),
        ("a.webm", {"codec": "libvpx", "audio_codec": "libopus", "audio_rate": 48_000}),
    ],
)
def test_a_file_whose_sound_outlasts_its_picture_is_not_cut_off(
    file: str, how: dict[str, Any], tmp_path: Path
) -> None:
    clip = read_clip(write_clip(tmp_path / file, seconds=2.0, audio_seconds=5.0, **how))
    assert clip.lost_seconds == 0
    assert clip.duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_an_avi_whose_picture_comes_late_is_not_cut_off(codec: str, tmp_path: Path) -> None:
    """Its header counts the frames that are left out in front."""
    times = [3.0 + k / 25 for k in range(25)]
    path = write_clip(tmp_path / "a.avi", codec=codec, b_frames=2, times=times, audio=None)
    clip = read_clip(path)
    assert clip.lost_seconds == 0 and len(clip.frames) == 25
