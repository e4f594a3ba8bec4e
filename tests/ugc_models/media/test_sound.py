"""Sound against resampling the whole signal at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soxr

from tests.support.clips import write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import Limits

SOUNDS: dict[str, tuple[str, dict[str, Any]]] = {
    "AAC stereo": ("a.mp4", {}),
    "AAC mono at 16 kHz": ("a.mp4", {"audio": "mono", "audio_rate": 16_000}),
    "AAC 5.1 at 48 kHz": ("a.mp4", {"audio": "5.1", "audio_rate": 48_000}),
    "AAC at 8 kHz": ("a.mp4", {"audio": "mono", "audio_rate": 8_000}),
    "shorter than the picture": ("a.mp4", {"audio_seconds": 1.1}),
    "longer than the picture": ("a.mp4", {"audio_seconds": 3.7}),
    "fragments": ("a.mp4", {"fragmented": True}),
    "16-bit PCM": ("a.mov", {"audio_codec": "pcm_s16le", "audio_rate": 22_050}),
    "float PCM": ("a.mkv", {"audio_codec": "pcm_f32le"}),
    "MP3": ("a.avi", {"codec": "mpeg4", "audio_codec": "libmp3lame"}),
    "Opus": ("a.mkv", {"audio_codec": "libopus", "audio_rate": 48_000}),
}


def whole_sound(path: Path) -> np.ndarray:
    """What librosa.load(path, sr=16000, mono=True) computes, from all samples at once."""
    blocks = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            if samples.dtype == np.int16:
                samples = samples.astype(np.float32) / 32768
            if not frame.format.is_planar:
                samples = samples.reshape(-1, frame.layout.nb_channels).T
            blocks.append(samples)
            rate = frame.sample_rate
    signal = np.mean(np.concatenate(blocks, axis=1), axis=0)
    length = int(np.ceil(signal.size * 16_000 / rate))
    if rate != 16_000:
        signal = soxr.resample(signal, rate, 16_000, "HQ")
    return np.pad(signal[:length], (0, max(0, length - signal.size)))


@pytest.mark.parametrize("name", SOUNDS)
def test_the_sound_is_that_of_the_whole_signal_resampled_at_once(name: str, tmp_path: Path) -> None:
    file, settings = SOUNDS[name]
    path = write_clip(tmp_path / file, seconds=2.0, **settings)
    clip = read_clip(path)
    expected = whole_sound(path)
    assert clip.sound is not None and clip.sound_missing is None
    assert clip.sound.shape == expected.shape
    assert np.abs(expected).max() > 0.05
    assert np.abs(clip.sound - expected).max() < 1e-6


def test_pcm_keeps_its_level_and_channels_are_averaged(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"audio_codec": "pcm_s16le", "audio_rate": 16_000, "seconds": 0.5}
    one = read_clip(write_clip(tmp_path / "1.mov", audio="mono", **settings)).sound
    two = read_clip(write_clip(tmp_path / "2.mov", audio="stereo", **settings)).sound
    assert one is not None and two is not None
    assert two == pytest.approx(one * (1 + 0.25) / 2, abs=1 / 32768)


def test_sound_is_cut_at_the_limit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=2.0)
    cut = read_clip(path, limits=Limits(sound_seconds=0.75)).sound
    whole = read_clip(path).sound
    assert cut is not None and whole is not None
    assert len(cut) == 12_000
    assert np.array_equal(cut, whole[:12_000])


def test_a_rate_that_changes_midway_keeps_time(tmp_path: Path) -> None:
    both = tmp_path / "both.ts"
    parts = [
        write_clip(tmp_path / f"{rate}.ts", seconds=1.0, audio_rate=rate, audio="mono")
        for rate in (44_100, 48_000)
    ]
    with both.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    joined = read_clip(both).sound
    alone = [read_clip(part).sound for part in parts]
    assert joined is not None and alone[0] is not None and alone[1] is not None
    assert len(joined) == pytest.approx(len(alone[0]) + len(alone[1]), abs=1024)
    assert np.array_equal(joined[: len(alone[0]) - 2000], alone[0][:-2000])


@pytest.mark.parametrize(
    ("file", "settings", "reason"),
    [
        ("a.mp4", {"audio": None}, "no audio track"),
        ("a.mp4", {"audio_seconds": 0.04}, "audio track shorter than 0.1 s"),
        (
            "a.mkv",
            {"audio_codec": "pcm_f32le", "loudness": float("nan")},
            "audio not finite",
        ),
    ],
)
def test_sound_that_cannot_be_used_is_left_out_with_the_reason(
    file: str, settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    clip = read_clip(write_clip(tmp_path / file, seconds=0.4, **settings))
    assert clip.sound is None
    assert clip.sound_missing == reason
    assert len(clip.frames) == 10


def test_a_sound_track_of_junk_is_left_out_and_the_picture_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=1.0)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    clip = read_clip(path)
    assert clip.sound is None
    assert clip.sound_missing == "audio undecodable: damaged data"
    assert len(clip.frames) == 25 and clip.decode_errors == 0


def test_a_codec_nobody_knows_is_left_out_and_the_picture_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=1.0)
    data = path.read_bytes()
    assert data.count(b"A_AAC") == 1
    path.write_bytes(data.replace(b"A_AAC", b"A_ZZZ"))
    clip = read_clip(path)
    assert clip.sound is None
    assert clip.sound_missing == "audio undecodable: its codec is not known here"
    assert len(clip.frames) == 25


def test_sound_that_was_not_asked_for_is_not_read(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", seconds=0.4), sound=False)
    assert clip.sound is None and clip.sound_missing == "not asked for"
