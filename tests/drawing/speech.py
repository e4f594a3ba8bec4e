"""Spoken sentences, by espeak-ng (a program of its own, needed for rendering only)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from tests.drawing.synth import RATE, Wave

_PROGRAM = "espeak-ng"


class SpeechUnavailable(RuntimeError):
    """espeak-ng is not installed or failed."""


def can_speak() -> bool:
    return shutil.which(_PROGRAM) is not None


def say(text: str, *, voice: str = "en-us", speed: int = 160, pitch: int = 50) -> Wave:
    """`text` spoken aloud, with a peak of 1.

    voice: espeak-ng's name, a variant after a plus (`en-us+f3` is a woman).
    speed: words a minute. pitch: 0 to 99.

    Raises:
        SpeechUnavailable: with what to install.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise SpeechUnavailable(
            f"{_PROGRAM} is not installed, and this clip has speech: install Debian's package "
            f"{_PROGRAM}. It is needed to render the sample clips, not to use them."
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "speech.wav"
        command = [program, "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path), text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0 or not path.is_file():
            raise SpeechUnavailable(f"{_PROGRAM} could not speak {text!r}: {done.stderr.strip()}")
        with wave.open(str(path)) as recording:
            rate = recording.getframerate()
            samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
    return _at_our_rate(samples / 32768.0, rate)


def _at_our_rate(samples: Wave, rate: int) -> Wave:
    import soxr

    spoken: Wave = np.asarray(soxr.resample(samples, rate, RATE), dtype=np.float64)
    spoken /= np.abs(spoken).max()
    return spoken
