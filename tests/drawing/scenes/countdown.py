"""A ball that bounces once for each number of a countdown, and confetti at the end."""

from __future__ import annotations

import math
import random

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene, progress
from tests.drawing.synth import Track, kick, melody, noise, pluck, tone

_SECONDS = 6.0
_COLOURS = ("#5b2a86", "#1f6feb", "#0f8b6d", "#d97706", "#c2255c", "#111827")
_LABELS = ("5", "4", "3", "2", "1", "GO!")


def _draw(canvas: Canvas, time: float) -> None:
    second = min(int(time), 5)
    canvas.rectangle(0, 0, 360, 640, _COLOURS[second])
    canvas.rectangle(0, 540, 360, 640, "#00000055")
    canvas.text(180, 60, "Wait for it...", 30)
    phase = time - int(time)
    size = 150 + 60 * max(0.0, 1 - 4 * phase)  # each number lands with a jump
    canvas.text(180, 210, _LABELS[second], size * (0.62 if second == 5 else 1))
    height = 4 * phase * (1 - phase)  # thrown up at the full second, back at the next
    if second == 5:
        height = 0.0
    squash = max(0.0, 1 - 14 * min(phase, 1 - phase))
    x, y = 180 + 60 * math.sin(time * math.pi / 2), 502 - 190 * height
    canvas.ellipse(x, 548, 96 - 40 * height, 16, "#00000066")
    canvas.ellipse(x, y + 12 * squash, 84 + 20 * squash, 84 - 24 * squash, "#ff6b35")
    canvas.ellipse(x - 14, y - 14 + 12 * squash, 22, 16, "#ffd0b8")
    if second == 5:
        _confetti(canvas, progress(time, 5.0, 5.2), time - 5.0)


def _confetti(canvas: Canvas, burst: float, age: float) -> None:
    pieces = random.Random(7)
    for _ in range(70):
        angle, speed = pieces.uniform(0, 2 * math.pi), pieces.uniform(80, 420)
        colour = pieces.choice(("#ffd166", "#06d6a0", "#ef476f", "#4cc9f0", "#ffffff"))
        x = 180 + math.cos(angle) * speed * age * burst
        y = 320 + math.sin(angle) * speed * age * burst + 140 * age * age
        canvas.rectangle(x - 5, y - 3, x + 5, y + 3, colour)


def _sound() -> Track:
    track = Track(_SECONDS)
    for second in range(5):
        track.add(second, tone(660, 0.18, (1.0, 0.3)), 0.5)
        track.add(second, kick(), 0.7)
    track.add(5, tone(1320, 0.7, (1.0, 0.3)), 0.5)
    track.add(5, noise(0.9, 300, 6_000, seed=3) * 0.1)
    for i, pitch in enumerate(melody("C5 E5 G5 C6")):
        track.add(5.1 + 0.09 * i, pluck(pitch, 0.7), 0.5)
    return track


SCENE = Scene("countdown", _SECONDS, _draw, _sound, frame_rate=30)
