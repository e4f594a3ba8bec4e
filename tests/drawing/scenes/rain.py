"""A lane at night in heavy rain: lightning, thunder, a quiet piano, nobody speaks."""

from __future__ import annotations

import math
import random

import numpy as np

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene
from tests.drawing.synth import Track, clock, melody, noise, pluck

_SECONDS = 7.0
_FLASHES = (2.0, 2.25)


def _draw(canvas: Canvas, time: float) -> None:
    flash = max(math.exp(-9 * (time - start)) if time >= start else 0.0 for start in _FLASHES)
    canvas.gradient("#0b1026", "#27345a")
    if flash > 0.05:
        _lightning(canvas)
    _houses(canvas)
    _lantern(canvas, time)
    _walker(canvas, -30 + 60 * time)
    _rain(canvas, time)
    if flash > 0.02:
        canvas.rectangle(0, 0, 360, 640, f"#e8ecff{round(150 * flash):02x}")
    canvas.text(180, 60, "when the rain won't stop", 25, "#dbe6ff", outline="#0b1026")
    if time > 3.6:
        canvas.text(180, 100, "listen...", 30, "#ffd98a", outline="#0b1026")


def _lightning(canvas: Canvas) -> None:
    canvas.line([(250, 0), (228, 70), (256, 82), (215, 170), (240, 178), (205, 262)], "#f4f6ff", 5)


def _houses(canvas: Canvas) -> None:
    for left, width, top, colour in (
        (-10, 130, 300, "#161b33"),
        (110, 110, 350, "#1b2140"),
        (212, 160, 280, "#12172c"),
    ):
        canvas.rectangle(left, top, left + width, 520, colour)
        gable = [(left - 10, top), (left + width / 2, top - 70), (left + width + 10, top)]
        canvas.polygon(gable, "#0c1022")
        x = left + width * 0.4
        canvas.rectangle(x - 16, top + 50, x + 16, top + 90, "#f5c55e")
        canvas.line([(x, top + 50), (x, top + 90)], "#12172c", 3)
    canvas.rectangle(0, 520, 360, 640, "#1d2438")
    canvas.ellipse(120, 590, 190, 26, "#33406b")
    canvas.ellipse(290, 560, 120, 16, "#33406b")


def _lantern(canvas: Canvas, time: float) -> None:
    canvas.line([(338, 540), (338, 370)], "#05070f", 7)
    canvas.glow(338, 360, 80, "#ffcf70", 0.9 + 0.1 * math.sin(time * 20))
    canvas.rectangle(326, 340, 350, 374, "#ffe3a3", radius=5)


def _walker(canvas: Canvas, x: float) -> None:
    """A person with a red umbrella who walks to the right."""
    stride = 16 * math.sin(x / 9)
    canvas.line([(x, 500), (x + stride, 556)], "#0a0d18", 10)
    canvas.line([(x, 500), (x - stride, 556)], "#0a0d18", 10)
    canvas.rectangle(x - 18, 428, x + 18, 512, "#2f5d50", radius=14)
    canvas.circle(x, 410, 17, "#d8a47f")
    canvas.line([(x + 10, 450), (x + 24, 430), (x + 24, 350)], "#0a0d18", 5)
    dome = [
        (x + 24 + 74 * math.cos(math.pi * k / 16), 386 - 58 * math.sin(math.pi * k / 16))
        for k in range(17)
    ]
    canvas.polygon(dome, "#c1121f")


def _rain(canvas: Canvas, time: float) -> None:
    drops = random.Random(3)
    for _ in range(90):
        x, start, speed = drops.uniform(0, 400), drops.uniform(0, 700), drops.uniform(520, 760)
        y = (start + speed * time) % 700 - 40
        canvas.line([(x - y * 0.12, y), (x - y * 0.12 - 3, y + 22)], "#b9c9ff80", 1.6)
    for i in range(8):  # rings in the puddles
        age = (time * 1.6 + i * 0.31) % 1.0
        x, y = (60 + 20 * i, 588) if i < 6 else (240 + 12 * i, 560)
        canvas.ellipse(x, y, 6 + 26 * age, 2 + 7 * age, f"#9fb4ff{round(110 * (1 - age)):02x}")


def _sound() -> Track:
    track = Track(_SECONDS)
    track.add(0, noise(_SECONDS, 900, 9_000, seed=8), 0.045, pan=-0.3)
    track.add(0, noise(_SECONDS, 900, 9_000, seed=9), 0.045, pan=0.3)
    rumble = noise(3.2, 25, 160, seed=10)
    age = clock(3.2)
    track.add(2.7, rumble * np.minimum(age / 0.15, 1.0) * np.exp(-1.5 * age), 0.5)
    for i, pitch in enumerate(melody("A3 C4 E4 A4 F3 A3 C4 F4 D3 A3 D4 F4 E3 B3")):
        track.add(0.5 * i, pluck(pitch, 1.6, decay=2.2), 0.3)
    return track


SCENE = Scene("rain", _SECONDS, _draw, _sound, size=(288, 512), frame_rate=24, stereo=True)
