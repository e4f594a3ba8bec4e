"""Recordings without a picture: 16 kHz, mono, as ``librosa.load`` gives them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ugc_models.media.container import AUDIO_DEMUXERS
from ugc_models.media.limits import Deadline, Limits, MediaError
from ugc_models.media.sound import RATE, SHORTEST, TOO_LOUD, Run, read_sound, too_loud
from ugc_models.media.source import Audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_CHANNELS = 64


def read_audio(content: Path | bytes, deadline: Deadline) -> Audio:
    """Read the best track of a file, up to the limit; ``seconds`` are those of the whole.

    Raises ``MediaError`` for what has no sound, is damaged, or too short.
    """
    sound = read_sound(content, deadline, 0.0, math.inf, align=False, demuxers=AUDIO_DEMUXERS)
    if sound.samples is None:
        raise MediaError(str(sound.missing).removeprefix("audio undecodable: "))
    return Audio(sound.samples, len(sound.samples) / RATE + sound.cut)


def convert_samples(samples: NDArray[Any], rate: int, limits: Limits) -> Audio:
    """Make a recording of samples (N,) or (channels, N), floats, at ``rate`` Hz.

    Raises ``MediaError`` for what is no such array, too short, too loud, or at no usual rate.
    """
    if samples.ndim == 1:
        samples = samples[np.newaxis]
    channels = len(samples) if samples.ndim == 2 and samples.dtype.kind == "f" else 0
    if not 0 < channels <= _MOST_CHANNELS:
        kind = f"an array {samples.shape} of {samples.dtype}"
        raise MediaError(f"{kind} is no (samples) or (channels, samples)")
    run = Run(rate, 0.0)
    whole = samples.shape[1] / rate
    kept = samples[:, : math.ceil(limits.sound_seconds * rate)]
    mixed = np.ascontiguousarray(kept.astype(np.float32).mean(axis=0, dtype=np.float32))
    if too_loud(mixed):
        raise MediaError(TOO_LOUD)
    if whole < SHORTEST:
        raise MediaError(f"audio shorter than {SHORTEST} s")
    resampled = np.concatenate([run.push(mixed), run.finish()])
    return Audio(resampled[: math.floor(limits.sound_seconds * RATE)], whole)
