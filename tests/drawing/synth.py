"""Sounds made of arithmetic: notes, drums, noise, and a track to lay them on.

Waves are one-dimensional float64 at RATE samples a second, nominally within -1 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 44_100
Wave = NDArray[np.float64]


def hertz(note: str) -> float:
    """The pitch of a note such as `A4` (440), `C#5`, `Bb3`, in equal temperament."""
    semitones = {"C": -9, "D": -7, "E": -5, "F": -4, "G": -2, "A": 0, "B": 2}[note[0]]
    semitones += note.count("#") - note[1:].count("b")
    return float(440.0 * 2.0 ** ((semitones + 12 * (int(note[-1]) - 4)) / 12))


def melody(notes: str) -> list[float]:
    """The pitches of notes separated by spaces."""
    return [hertz(note) for note in notes.split()]


def clock(seconds: float) -> Wave:
    """The time of every sample of a wave that long."""
    return np.arange(round(seconds * RATE)) / RATE


def tone(frequency: float, seconds: float, harmonics: Sequence[float] = (1.0,)) -> Wave:
    """A steady tone with soft ends; `harmonics` are the strengths of 1, 2, 3… times its pitch."""
    times = clock(seconds)
    wave = np.zeros(times.size)
    for k, strength in enumerate(harmonics, start=1):
        wave += strength / sum(harmonics) * np.sin(2 * np.pi * frequency * k * times)
    return fade(wave, 0.01, 0.03)


def pluck(frequency: float, seconds: float, decay: float = 4.0) -> Wave:
    """A struck string: high harmonics die first. `decay` is how fast, per second."""
    times = clock(seconds)
    wave = np.zeros(times.size)
    for k in range(1, 6):
        wave += 0.6 / k * np.exp(-decay * k * times) * np.sin(2 * np.pi * frequency * k * times)
    return fade(wave, 0.004, 0.03)


def noise(seconds: float, low: float, high: float, seed: int) -> Wave:
    """White noise between two frequencies in hertz, with unit standard deviation."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    wave: Wave = np.fft.irfft(spectrum, count)
    wave /= wave.std()
    return wave


def kick() -> Wave:
    """A bass drum: a sine that falls from 120 to 45 Hz."""
    times = clock(0.25)
    phase = 2 * np.pi * (45 * times + 75 * (1 - np.exp(-20 * times)) / 20)
    wave: Wave = np.sin(phase) * np.exp(-12 * times)
    return wave


def snare(seed: int = 1) -> Wave:
    times = clock(0.18)
    wave: Wave = noise(0.18, 800, 9_000, seed) * 0.3 * np.exp(-22 * times)
    wave += np.sin(2 * np.pi * 190 * times) * 0.4 * np.exp(-30 * times)
    return wave


def hat(seed: int = 2) -> Wave:
    wave = noise(0.06, 6_000, 15_000, seed)
    wave *= 0.25 * np.exp(-70 * clock(0.06))
    return wave


def fade(wave: Wave, rise: float, fall: float) -> Wave:
    """The wave with linear slopes of so many seconds at its start and end."""
    times = np.arange(wave.size) / RATE
    faded: Wave = wave * np.minimum(1.0, np.minimum(times / rise, times[::-1] / fall))
    return faded


class Track:
    """Two channels of a fixed length, on which waves are laid over each other."""

    def __init__(self, seconds: float) -> None:
        self._sum: Wave = np.zeros((2, round(seconds * RATE)))

    def add(self, start: float, wave: Wave, gain: float = 1.0, pan: float = 0.0) -> None:
        """Lay `wave` at `start` seconds; `pan` runs from -1 (left) to 1 (right).

        What reaches beyond the end of the track is cut there.
        """
        first = round(start * RATE)
        piece = wave[: max(0, self._sum.shape[1] - first)] * gain
        self._sum[0, first : first + piece.size] += piece * np.sqrt((1 - pan) / 2)
        self._sum[1, first : first + piece.size] += piece * np.sqrt((1 + pan) / 2)

    def samples(self, stereo: bool) -> NDArray[np.float32]:
        """(channels, samples), with a peak of 0.8 and ends that do not click."""
        sound = self._sum if stereo else self._sum.mean(axis=0, keepdims=True)
        sound = np.stack([fade(channel, 0.01, 0.1) for channel in sound])
        peak = float(np.abs(sound).max())
        if peak == 0.0:
            raise ValueError("the track is silent: nothing was laid on it")
        return (sound * (0.8 / peak)).astype(np.float32)
