"""The sound of a clip: the mean of its channels at 16 kHz, on the clock of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from ugc_models.media.container import DEMUXERS, Damage, MediaFile, decodable, open_media
from ugc_models.media.limits import TRACKS_TRIED, Deadline, MediaError, OutOfMemoryError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from numpy.typing import NDArray

RATE = 16_000
"""Samples per second that Qwen2.5-Omni's feature extractor takes."""

# Seconds.
SHORTEST = 0.1  # less gives the audio encoder nothing to work on
_ROUNDING = 1e-3  # this close to the picture is with it: Matroska and FLV round to milliseconds
# A block whose time differs this little from the end of the block before follows it: recorders read
# their clock late, and ASF rounds coarsely. A lost packet is 20 ms or more.
_JITTER = 0.02
_LEAD = 1.0  # decoded before a stretch: decoders and the resampler need some to be in tune
_SLACK = 1.0  # after the end of the picture sound may still begin

_UNEVEN = frozenset({"vorbis"})  # unlike numbers of samples in packets: none can be passed over
_LOUDEST = 1e12  # more than whole numbers of 32 bits; their squares are far from float32's end
TOO_LOUD = "audio not finite, or louder than any sound"
_TOO_SHORT = f"audio track shorter than {SHORTEST} s"
RATES = range(1_000, 768_001)
_BITS = {"u8": 8, "s16": 16, "s32": 32}


@dataclass(frozen=True)
class Sound:
    """The samples, or the reason why there are none; the others as the fields of ``Clip``."""

    samples: NDArray[np.float32] | None
    missing: str | None
    offset: float | None = None
    gaps: float = 0.0
    track: int | None = None
    cut: float = 0.0


def read_sound(
    path: Path | bytes,
    deadline: Deadline,
    start: float,
    duration: float,
    *,
    align: bool = True,
    part: tuple[float, float] | None = None,
    demuxers: Sequence[str] = DEMUXERS,
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

    ``part`` is the stretch that is wanted, in seconds of the picture (the end may be infinite): the
    samples are those that the whole has there, and little else is decoded. It is aligned always.
    """
    found: list[Sound] = []
    for place in range(TRACKS_TRIED):
        buffer = _SampleBuffer(deadline.limits.sound_seconds, start, duration, part, align=align)
        if (sound := _read_track(path, deadline, place, buffer, demuxers)) is None:
            break
        found.append(sound)
        if sound.samples is not None:
            return sound
    return found[0] if found else Sound(None, "no audio track")


def _read_track(
    path: Path | bytes,
    deadline: Deadline,
    place: int,
    buffer: _SampleBuffer,
    demuxers: Sequence[str],
) -> Sound | None:
    """Read the ``place``-th best track; None where there are not so many."""
    try:
        with open_media(path, deadline, demuxers) as media:
            tracks = media.container.streams.audio
            able = decodable(tracks, media.container.streams.best("audio"))
            stream = next(islice(able, place, None), None)
            if stream is None:
                if tracks and not place:
                    raise MediaError("its codec is not known here")
                return None
            track = stream.index if len(tracks) > 1 else None
            tick = stream.time_base or Fraction(1)
            before = buffer.before()
            if before is None or stream.codec_context.name in _UNEVEN:
                buffer.take(media.decode(stream), tick)
            else:
                buffer.take(*_from(media, stream, tick, before))
            cut = buffer.cut(_length(media, stream, tick)) if buffer.full else 0.0
    except OutOfMemoryError:
        raise
    except MediaError as error:
        return Sound(None, f"audio undecodable: {error}")
    return replace(buffer.sound(media.damage), track=track, cut=cut)


def _length(media: MediaFile, stream: AudioStream, tick: Fraction) -> float:
    """Return the seconds of a track as its file says, or as the rest of its packets does."""
    if stream.duration:
        return float(stream.duration * tick)
    if media.container.duration:
        return media.container.duration / 1e6
    times = (packet.pts or 0 for packet in media.packets(stream))
    return float((max(times, default=0) - (stream.start_time or 0)) * tick)


@dataclass
class _Skipped:
    """What of a track was passed over; times are on the file's clock."""

    start: Fraction  # seconds at which the first block that the decoder gives out is heard
    at: Fraction  # and at which the first packet that is decoded later is
    samples: int  # of the first block
    packets: int = 0  # after those that gave the first block

    def before(self, block: AudioFrame, tick: Fraction) -> int:
        """Return how many samples of the track come before a block.

        They are counted by packets: the times may be rounded to milliseconds.
        """
        pts = self.at / tick if block.pts is None else block.pts
        by_time = (pts * tick - self.start) * block.sample_rate
        # A decoder that starts in the middle may give out nothing of its first packets.
        late = round((pts * tick - self.at) * block.sample_rate / max(block.samples, 1))
        counted = self.samples + (self.packets + late) * block.samples
        return counted if abs(by_time - counted) <= _JITTER * block.sample_rate else round(by_time)


def _from(
    media: MediaFile, stream: AudioStream, tick: Fraction, before: float
) -> tuple[Iterator[AudioFrame], Fraction, _Skipped | None]:
    """Decode the first block and then from ``before`` on (seconds on the file's clock).

    Returns the blocks, their unit of time, and what was left out; None where nothing was.
    """
    packets = media.packets(stream)
    skipped: _Skipped | None = None
    for packet in packets:
        if packet.pts is None:
            return media.decode(stream, packets=chain([packet], packets)), tick, None
        if skipped is None:
            blocks = list(media.decode(stream, packets=iter([packet]), flush=False))
            if not blocks:
                continue
            first = blocks[0]
            if first.pts is None or float(packet.pts * tick) >= before:
                return chain(blocks, media.decode(stream, packets=packets)), tick, None
            heard = sum(block.samples for block in blocks)
            skipped = _Skipped(first.pts * tick, packet.pts * tick, heard)
            stream.codec_context.flush_buffers()
        elif float(packet.pts * tick) >= before:
            skipped.at = packet.pts * tick
            return media.decode(stream, packets=chain([packet], packets)), tick, skipped
        else:
            skipped.packets += 1
    return iter(()), tick, skipped


class _SampleBuffer:
    """Samples at 16 kHz, put in their places as they come."""

    def __init__(
        self,
        seconds: float,
        start: float,
        duration: float,
        part: tuple[float, float] | None = None,
        *,
        align: bool,
    ) -> None:
        self._room = math.floor(seconds * RATE)
        self._start, self._duration, self._align = start, duration, align
        self._part, self._first = part, 0
        if part is not None:
            self._align, self._first = True, round(part[0] * RATE)
            self._duration = part[1]
            if math.isfinite(part[1]):
                self._room = min(self._room, round(part[1] * RATE) - self._first)
        self._pieces: list[NDArray[np.float32]] = []
        self._filled = 0  # samples, silence included
        self._heard = 0  # samples, silence that was put in not included
        self._at = 0  # where the next sample of the run belongs
        self._offset: float | None = None
        self._gaps = 0.0

    @property
    def full(self) -> bool:
        """Whether there may be more than was taken."""
        return self._filled >= self._room

    def cut(self, length: float) -> float:
        """Return the seconds that were left out of a track of so many, within the picture."""
        begin, end = self._part or (0.0, self._duration)
        there = min(length + (self._offset or 0.0), end) - begin
        lost = there - self._room / RATE
        return lost if lost > SHORTEST else 0.0

    def before(self) -> float | None:
        """Return from when on blocks are to be decoded, on the file's clock; None for all."""
        if self._part is None or self._part[0] <= _LEAD:
            return None
        return self._start + self._part[0] - _LEAD

    def take(
        self, blocks: Iterator[AudioFrame], tick: Fraction, skipped: _Skipped | None = None
    ) -> None:
        """Take a track's blocks, to its end or to where no more are wanted."""
        run: Run | None = None
        for block in blocks:
            at = None if block.pts is None else float(block.pts * tick) - self._start
            extra = 0
            if run is None and skipped is not None:
                run, extra = self._begin_later(block, skipped.before(block, tick), skipped)
            elif run is None:
                self._offset = at if at is not None and abs(at) > _ROUNDING else 0.0
                run = self._begin(block.sample_rate, self._offset)
            else:
                run = self._go_on(run, block.sample_rate, at)
            if run is None:
                return
            self._put(run.push(mono(block)[extra:]))
            if self.full:
                return
        if run is not None:
            self._put(run.finish())
        elif skipped is not None:
            self._offset = float(skipped.start) - self._start

    def sound(self, damage: Damage) -> Sound:
        """Return what was taken, or why there is nothing to use."""
        if self._offset is None:
            missing = f"audio undecodable: {damage.first}" if damage.count else _TOO_SHORT
            return Sound(None, missing)
        if not self._heard:
            return Sound(None, "the audio track lies outside the time of the picture")
        if self._heard < SHORTEST * RATE:
            return Sound(None, _TOO_SHORT)
        samples = np.concatenate(self._pieces)
        if too_loud(samples):
            return Sound(None, TOO_LOUD)
        return Sound(samples, None, self._offset, self._gaps)

    def _begin(self, rate: int, at: float) -> Run | None:
        if self._align and at > self._duration + _SLACK:
            return None
        self._at = round(at * RATE) - self._first if self._align else self._filled
        return Run(rate, at)

    def _begin_later(
        self, block: AudioFrame, passed: int, skipped: _Skipped
    ) -> tuple[Run | None, int]:
        """Begin in the middle of a track; return, too, how many samples of the block are left out.

        16 kHz falls on the same instants only from every so many-th sample of the track on.
        """
        rate = block.sample_rate
        begin = float(skipped.start) - self._start
        self._offset = begin = 0.0 if abs(begin) <= _ROUNDING else begin
        run = self._begin(rate, begin)
        if run is None:
            return None, 0
        extra = min(-passed % (rate // math.gcd(rate, RATE)), block.samples)
        at = (passed + extra) / rate
        self._at += round(at * RATE)
        run.start += at
        return run, extra

    def _go_on(self, run: Run, rate: int, at: float | None) -> Run | None:
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


class Run:
    """Samples at one rate that follow each other, to 16 kHz, as many as librosa makes of them.

    ``start`` is in seconds. Raises ``MediaError`` for a rate that nobody records at.
    """

    def __init__(self, rate: int, start: float) -> None:
        if rate not in RATES:
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


def too_loud(samples: NDArray[np.float32]) -> bool:
    """Whether samples, or their spectrogram, are not finite: vLLM mixes that into other answers."""
    return not np.abs(samples).max(initial=0.0) <= _LOUDEST


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
