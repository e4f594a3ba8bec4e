"""The sound of a clip: the mean of its channels at 16 kHz, on the clock of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from ugc_models.media.container import Damage, decodable, open_media
from ugc_models.media.limits import TRACKS_TRIED, Deadline, MediaError, OutOfMemoryError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

RATE = 16_000
"""Samples per second that Qwen2.5-Omni's feature extractor takes."""

# Seconds.
_SHORTEST = 0.1  # less gives the audio encoder nothing to work on
_ROUNDING = 1e-3  # this close to the picture is with it: Matroska and FLV round to milliseconds
# A block whose time differs this little from the end of the block before follows it: recorders read
# their clock late, and ASF rounds coarsely. A lost packet is 20 ms or more.
_JITTER = 0.02
_SLACK = 1.0  # after the end of the picture sound may still begin

_TOO_SHORT = f"audio track shorter than {_SHORTEST} s"
_RATES = range(1_000, 768_001)
_BITS = {"u8": 8, "s16": 16, "s32": 32}


@dataclass(frozen=True)
class Sound:
    """The samples, or the reason why there are none; the others as the fields of ``Clip``."""

    samples: NDArray[np.float32] | None
    missing: str | None
    offset: float | None = None
    gaps: float = 0.0
    track: int | None = None


def read_sound(
    path: Path, deadline: Deadline, start: float, duration: float, *, align: bool = True
) -> Sound:
    """Return the sound as float32 (N,), or the reason why there is none.

    Only a lack of memory is raised: it says nothing about the sound. ``start`` is when the picture
    appears on the file's clock, ``duration`` its length, infinite where it sets no bound.

    The samples are what ``librosa.load(path, sr=16000, mono=True)`` gives: integers scaled to
    [-1, 1), the mean of the channels, soxr's HQ resampler. PyAV's and libav's own downmix to mono
    is louder by a factor that depends on the layout.

    With ``align``, sample 0 is heard when the first frame appears: pauses of the track become
    silence, what comes before the picture is cut, and of what overlaps the first is kept. Without,
    the track's samples follow each other from its first one on. ``offset`` and ``gaps`` say in both
    cases how the track lies beside the picture. Of several tracks, the best is used of which
    something can be decoded.
    """
    found: list[Sound] = []
    for place in range(TRACKS_TRIED):
        buffer = _SampleBuffer(deadline.limits.sound_seconds, start, duration, align=align)
        if (sound := _read_track(path, deadline, place, buffer)) is None:
            break
        found.append(sound)
        if sound.samples is not None:
            return sound
    return found[0] if found else Sound(None, "no audio track")


def _read_track(path: Path, deadline: Deadline, place: int, buffer: _SampleBuffer) -> Sound | None:
    """Read the ``place``-th best track; None where there are not so many."""
    try:
        with open_media(path, deadline) as media:
            tracks = media.container.streams.audio
            able = decodable(tracks, media.container.streams.best("audio"))
            stream = next(islice(able, place, None), None)
            if stream is None:
                if tracks and not place:
                    raise MediaError("its codec is not known here")
                return None
            track = stream.index if len(tracks) > 1 else None
            buffer.take(media.decode(stream), stream.time_base or Fraction(1))
    except OutOfMemoryError:
        raise
    except MediaError as error:
        return Sound(None, f"audio undecodable: {error}")
    return replace(buffer.sound(media.damage), track=track)


class _SampleBuffer:
    """Samples at 16 kHz, put in their places as they come."""

    def __init__(self, seconds: float, start: float, duration: float, *, align: bool) -> None:
        self._room = math.floor(seconds * RATE)
        self._start, self._duration, self._align = start, duration, align
        self._pieces: list[NDArray[np.float32]] = []
        self._filled = 0  # samples, silence included
        self._heard = 0  # samples, silence that was put in not included
        self._at = 0  # where the next sample of the run belongs
        self._offset: float | None = None
        self._gaps = 0.0

    def take(self, blocks: Iterator[AudioFrame], tick: Fraction) -> None:
        """Take a track's blocks, to its end or to where no more are wanted."""
        run: _Run | None = None
        for block in blocks:
            at = None if block.pts is None else float(block.pts * tick) - self._start
            if run is None:
                self._offset = at or 0.0
                if abs(self._offset) <= _ROUNDING:
                    self._offset = 0.0
                run = self._begin(block.sample_rate, self._offset)
            else:
                run = self._go_on(run, block.sample_rate, at)
            if run is None:
                return
            self._put(run.push(mono(block)))
            if self._filled >= self._room:
                return
        if run is not None:
            self._put(run.finish())

    def sound(self, damage: Damage) -> Sound:
        """Return what was taken, or why there is nothing to use."""
        if self._offset is None:
            missing = f"audio undecodable: {damage.first}" if damage.count else _TOO_SHORT
            return Sound(None, missing)
        if not self._heard:
            return Sound(None, "the audio track lies outside the time of the picture")
        if self._heard < _SHORTEST * RATE:
            return Sound(None, _TOO_SHORT)
        samples = np.concatenate(self._pieces)
        if not np.isfinite(samples).all():
            return Sound(None, "audio not finite")
        return Sound(samples, None, self._offset, self._gaps)

    def _begin(self, rate: int, at: float) -> _Run | None:
        if self._align and at > self._duration + _SLACK:
            return None
        self._at = round(at * RATE) if self._align else self._filled
        return _Run(rate, at)

    def _go_on(self, run: _Run, rate: int, at: float | None) -> _Run | None:
        """Return the run of the next block; None if it comes after the picture."""
        beside = 0.0 if at is None else at - run.end
        if abs(beside) <= _JITTER:
            beside = 0.0
        elif not self._align:
            run.start += beside
        self._gaps += max(beside, 0.0)
        if run.rate == rate and not (beside and self._align):
            return run
        self._put(run.finish())
        return self._begin(rate, run.end + (beside if self._align else 0.0))

    def _put(self, samples: NDArray[np.float32]) -> None:
        """Put samples of the run in their place; those whose place is taken are left out."""
        silence = min(max(self._at - self._filled, 0), self._room - self._filled)
        new = samples[max(self._filled - self._at, 0) :][: self._room - self._filled - silence]
        self._at += len(samples)
        if new.size:
            self._pieces += [np.zeros(silence, np.float32), new]
            self._filled += silence + len(new)
            self._heard += len(new)


class _Run:
    """Samples at one rate that follow each other, to 16 kHz, as many as librosa makes of them."""

    def __init__(self, rate: int, start: float) -> None:
        if rate not in _RATES:
            raise MediaError(f"a sample rate of {rate} Hz")
        self.rate = rate
        self.start = start  # seconds from the start of the picture
        self._taken = 0
        self._given = 0
        self._stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, quality="HQ")

    @property
    def end(self) -> float:
        return self.start + self._taken / self.rate

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        self._taken += len(samples)
        if self._stream is not None:
            resampled = self._stream.resample_chunk(samples, last=last)
            samples = np.asarray(resampled, dtype=np.float32)
        self._given += len(samples)
        return samples

    def finish(self) -> NDArray[np.float32]:
        due = -(-self._taken * RATE // self.rate) - self._given
        rest = self.push(np.zeros(0, np.float32), last=True)
        return np.pad(rest[:due], (0, max(0, due - len(rest))))


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
