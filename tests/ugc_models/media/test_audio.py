"""Recordings come out as librosa loads them; what is none is one sentence."""

from __future__ import annotations

import io
import struct
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soxr

from ugc_models.media.audio import convert_samples, read_audio
from ugc_models.media.limits import Deadline, Limits, MediaError


def tone(rate: int, seconds: float, channels: int = 2) -> Any:
    at = np.arange(int(rate * seconds)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (220 + 40 * n) * at) for n in range(channels)])


def stored(
    suffix: str, codec: str, rate: int = 44_100, seconds: float = 2.0, **options: str
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=suffix, options=options) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="stereo")
        samples = tone(rate, seconds).astype(np.float32)
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", rate)
        for part in resampler.resample(block):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def as_librosa(samples: Any, rate: int) -> Any:
    """Return what ``librosa.load(sr=16000, mono=True)`` makes of samples (channels, N)."""
    mono = np.asarray(samples, np.float32).mean(axis=0, dtype=np.float32)
    resampled = mono if rate == 16_000 else soxr.resample(mono, rate, 16_000, quality="HQ")
    due = -(-len(mono) * 16_000 // rate)
    return np.pad(resampled, (0, max(due - len(resampled), 0)))[:due]


def read(content: Path | bytes, **limits: Any) -> Any:
    return read_audio(content, Deadline(Limits(**limits)))


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [("wav", "pcm_s16le", 44_100), ("wav", "pcm_f32le", 16_000), ("flac", "flac", 48_000)],
)
def test_a_file_and_its_bytes_are_what_librosa_loads(
    suffix: str, codec: str, rate: int, tmp_path: Path
) -> None:
    content = stored(suffix, codec, rate)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    whole = tone(rate, 2.0).astype(np.float32)
    if codec != "pcm_f32le":  # whole numbers of 16 bits: FLAC keeps what WAV has
        with wave.open(io.BytesIO(stored("wav", "pcm_s16le", rate))) as file:
            whole = np.frombuffer(file.readframes(rate * 2), "<i2").reshape(-1, 2).T / 32_768
    expected = as_librosa(whole, rate)
    for given in (path, content):
        audio = read(given)
        assert audio.samples.dtype == np.float32
        assert len(audio.samples) == len(expected)
        assert np.abs(audio.samples - expected).max() < 1e-6
        assert audio.seconds == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp3", "libmp3lame"), ("ogg", "libvorbis"), ("adts", "aac"), ("mp4", "aac")],
)
def test_what_is_compressed_is_heard(suffix: str, codec: str) -> None:
    audio = read(stored(suffix, codec))
    spectrum = np.abs(np.fft.rfft(audio.samples[8_000:24_000]))
    assert set(np.argsort(spectrum)[-2:]) == {220, 260}


def test_what_is_over_the_limit_is_cut_and_its_length_is_told() -> None:
    audio = read(stored("wav", "pcm_s16le", seconds=3.0), sound_seconds=1.0)
    assert len(audio.samples) == 16_000
    assert audio.seconds == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(("suffix", "codec"), [("webm", "libvorbis"), ("adts", "aac")])
def test_it_is_told_where_the_file_does_not_say_its_length(suffix: str, codec: str) -> None:
    """As recorders write files while they record."""
    content = stored(suffix, codec, seconds=5.0, live="1" if suffix == "webm" else "0")
    audio = read(content, sound_seconds=1.0)
    assert len(audio.samples) == 16_000
    assert audio.seconds == pytest.approx(5.0, abs=0.4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a recording that is read here, or damaged"),
        (b"not sound at all" * 100, "not a recording that is read here, or damaged"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "not a recording"),
        (b"RIFF\x00\x00\x00\x00WAVE", "no audio track|shorter|not a recording"),
        (stored("wav", "pcm_s16le", seconds=0.05), "shorter than 0.1 s"),
    ],
)
def test_what_is_no_recording_is_said(content: bytes, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        read(content)


@pytest.mark.parametrize("level", [np.nan, np.inf, -1e30])
def test_a_level_that_makes_the_model_answer_nonsense_is_refused(level: float) -> None:
    """vLLM would carry it into the answers to other requests."""
    levels = np.zeros(32_000, "<f4")
    levels[20_000] = level
    header = struct.pack(
        "<4sIHHIIHH4sI", b"fmt ", 16, 3, 1, 16_000, 64_000, 4, 32, b"data", 128_000
    )
    content = b"RIFF" + struct.pack("<I", 128_036) + b"WAVE" + header + levels.tobytes()
    with pytest.raises(MediaError, match="not finite, or louder than any sound"):
        read(content)


def test_a_level_of_32_bits_is_heard() -> None:
    loud = tone(16_000, 1.0) * 2.0**31
    assert np.abs(convert_samples(loud, 16_000, Limits()).samples).max() > 1e8


def test_a_rate_that_nobody_records_at_is_said() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(2_000_000_000)
        out.writeframes(bytes(4000))
    with pytest.raises(MediaError):
        read(file.getvalue())


# ---- samples that are in memory ----


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_resampled_as_librosa_does(rate: int, channels: int) -> None:
    samples = tone(rate, 1.3, channels).astype(np.float32)
    audio = convert_samples(samples[0] if channels == 1 else samples, rate, Limits())
    expected = as_librosa(samples, rate)
    assert len(audio.samples) == len(expected)
    assert np.abs(audio.samples - expected).max() < 1e-6
    assert audio.seconds == pytest.approx(1.3)


def test_no_more_is_resampled_than_is_kept() -> None:
    audio = convert_samples(tone(44_100, 3.0), 44_100, Limits(sound_seconds=1.0))
    assert (len(audio.samples), audio.seconds) == (16_000, pytest.approx(3.0))


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.zeros((2, 2, 2)), 16_000, "is no"),
        (np.zeros(16_000, complex), 16_000, "of complex128 is no"),
        (np.zeros(16_000, np.int16), 16_000, "of int16 is no"),
        (np.zeros(0), 16_000, "shorter than 0.1 s"),
        (np.zeros((16_000, 2)), 16_000, "is no"),
        (np.zeros(16_000), 0, "a sample rate of 0 Hz"),
        (np.zeros(16_000), 10**9, "a sample rate of 1000000000 Hz"),
        (np.full(16_000, np.nan), 16_000, "not finite"),
        (np.full(16_000, -np.inf), 16_000, "not finite"),
        (np.full(16_000, 1e13), 16_000, "louder than any sound"),
    ],
)
def test_what_is_no_recording_in_memory_is_said(samples: Any, rate: int, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        convert_samples(samples, rate, Limits())
