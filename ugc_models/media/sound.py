"""The sound of a clip: the mean of its channels at 16 kHz, streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from ugc_models.media.container import Damage, decoded_audio, open_media
from ugc_models.media.errors import MediaError
from ugc_models.media.limits import Budget

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

RATE = 16_000
"""Samples per second that Qwen2.5-Omni's feature extractor takes."""
SHORTEST = 0.1
"""Seconds. Less than this gives the audio encoder nothing to work on."""

_RATES = range(1_000, 768_001)
_BITS = {"u8": 8, "s16": 16, "s32": 32}


@dataclass(frozen=True)
class Sound:
    """What can be heard: exactly one of the two is set."""

    samples: NDArray[np.float32] | None
    missing: str | None


def read_sound(path: Path, budget: Budget) -> Sound:
    """Return the sound as float32 (N,), or the reason why there is none; never raise for it.

    The samples are what ``librosa.load(path, sr=16000, mono=True)`` gives: integers scaled to
    [-1, 1), the mean of the channels, soxr's HQ resampler, ceil(N * 16000 / rate) samples. PyAV's
    and libav's own downmix to mono is louder by a factor that depends on the layout.
    """
    damage = Damage()
    try:
        samples = _read(path, budget, damage)
    except MediaError as error:
        return Sound(None, f"audio undecodable: {error}")
    if samples is None:
        return Sound(None, "no audio track")
    if not samples.size and damage.count:
        return Sound(None, f"audio undecodable: {damage.first}")
    if len(samples) < SHORTEST * RATE:
        return Sound(None, f"audio track shorter than {SHORTEST} s")
    if not np.isfinite(samples).all():
        return Sound(None, "audio not finite")
    return Sound(samples, None)


def _read(path: Path, budget: Budget, damage: Damage) -> NDArray[np.float32] | None:
    room = math.floor(budget.limits.sound_seconds * RATE)
    kept: list[NDArray[np.float32]] = []
    with open_media(path, budget) as container:
        if not container.streams.audio:
            return None
        best = container.streams.best("audio")
        audio = container.streams.audio
        stream = next((each for each in audio if each is best), audio[0])
        # PyAV's stubs leave out that a stream of an unknown codec has no context.
        if stream.codec_context is None:
            raise MediaError("its codec is not known here")
        blocks = decoded_audio(container, stream, budget, damage)
        for chunk in _resampled(blocks):
            kept.append(chunk[:room])
            room -= len(kept[-1])
            if room <= 0:
                break
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)


def _resampled(blocks: Iterator[AudioFrame]) -> Iterator[NDArray[np.float32]]:
    """Turn blocks at any rate into chunks at 16 kHz; a change of rate starts a new resampler."""
    resampler: _Resampler | None = None
    for block in blocks:
        if resampler is None or resampler.rate != block.sample_rate:
            if resampler is not None:
                yield resampler.finish()
            resampler = _Resampler(block.sample_rate)
        yield resampler.push(mono(block))
    if resampler is not None:
        yield resampler.finish()


class _Resampler:
    """One run of samples at one rate, to 16 kHz, of the length that librosa gives it."""

    def __init__(self, rate: int) -> None:
        if rate not in _RATES:
            raise MediaError(f"a sample rate of {rate} Hz")
        self.rate = rate
        self._taken = 0
        self._given = 0
        self._stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._taken += len(samples)
        return self._give(self._resample(samples, last=False))

    def finish(self) -> NDArray[np.float32]:
        rest = self._resample(np.zeros(0, np.float32), last=True)
        due = -(-self._taken * RATE // self.rate) - self._given
        return self._give(np.pad(rest[:due], (0, max(0, due - len(rest)))))

    def _resample(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), dtype=np.float32)

    def _give(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._given += len(samples)
        return samples


def mono(block: AudioFrame) -> NDArray[np.float32]:
    """Return the mean over the channels of a decoded block, float32 (N,), integers in [-1, 1)."""
    samples = block.to_ndarray()
    channels = block.layout.nb_channels
    if not block.format.is_planar:
        samples = samples.reshape(-1, channels).T
    bits = _BITS.get(block.format.name.removesuffix("p"))
    scaled = samples.astype(np.float32)
    if bits is not None:
        scaled = (scaled - (128 if bits == 8 else 0)) / np.float32(2 ** (bits - 1))
    return np.ascontiguousarray(scaled.mean(axis=0, dtype=np.float32))
