"""A cat that dances to a cheerful tune under coloured lights."""

from __future__ import annotations

import math

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene
from tests.drawing.synth import Track, hat, kick, melody, pluck, snare

_BEAT = 0.48  # seconds: 125 a minute
_BEATS = 13
_SECONDS = 6.0
_TUNE = melody("C5 E5 G5 E5 A5 G5 E5 D5 F5 A5 C6 A5 G5 E5 D5 B4 C5 E5 G5 C6 B5 G5 E5 D5 C5")
_BASS = melody("C3 C3 F3 G3 C3 F3 G3")


def _draw(canvas: Canvas, time: float) -> None:
    beat = time / _BEAT
    canvas.gradient("#2b0f54", "#7a1e6c")
    for i, colour in enumerate(("#ff4d9d", "#4de1ff", "#ffe14d")):  # spotlights swing
        foot = 180 + 150 * math.sin(beat * math.pi / 4 + i * 2.1)
        canvas.polygon([(60 + 120 * i, 0), (foot - 60, 560), (foot + 60, 560)], f"{colour}3a")
    canvas.ellipse(180, 575, 460, 110, "#1a0833")
    canvas.text(180, 62, "Friday mood", 44, "#ffffff", outline="#d6297b")
    _cat(canvas, beat)
    for i in range(4):  # notes float up
        age = (time * 0.4 + i * 0.25) % 1.0
        _note(canvas, 50 + 85 * i + 12 * math.sin(6 * age + i), 470 - 330 * age, 1 - age)


def _cat(canvas: Canvas, beat: float) -> None:
    sway = 34 * math.sin(beat * math.pi)
    jump = 24 * abs(math.sin(beat * math.pi))
    x, y = 180 + sway * 0.7, 430 - jump
    fur, dark = "#f4a340", "#b8691b"
    tail = [(x + 50 + 9 * k, y + 60 - 13 * k + 12 * math.sin(beat * 3 + k)) for k in range(8)]
    canvas.line(tail, dark, 13)
    for side in (-1, 1):
        canvas.line([(x + side * 26, y + 70), (180 + side * 40, 556)], fur, 26)  # legs
        canvas.ellipse(180 + side * 46, 560, 44, 18, dark)
        lift = 70 * math.sin(beat * math.pi + (math.pi / 2) * side)
        canvas.line([(x + side * 42, y - 8), (x + side * 88, y - 30 - lift)], fur, 22)  # arms
        canvas.circle(x + side * 88, y - 30 - lift, 14, dark)
    canvas.ellipse(x, y + 28, 116, 136, fur)
    canvas.ellipse(x, y + 38, 70, 92, "#fde3bd")
    head_x, head_y = x + sway * 0.4, y - 86
    for side in (-1, 1):
        ear = [(-54, -28), (-46, -82), (-12, -50)]
        canvas.polygon([(head_x - side * a, head_y + b) for a, b in ear], fur)
        inner = [(-47, -38), (-43, -68), (-23, -48)]
        canvas.polygon([(head_x - side * a, head_y + b) for a, b in inner], "#ff9aa2")
    canvas.ellipse(head_x, head_y, 124, 108, fur)
    for side in (-1, 1):
        lens = head_x + side * 29
        canvas.rectangle(lens - 22, head_y - 20, lens + 22, head_y + 8, "#111111", radius=9)
        for k in (-1, 1):
            canvas.line(
                [(head_x + side * 34, head_y + 24), (head_x + side * 72, head_y + 24 + 8 * k)],
                dark,
                2.5,
            )
    canvas.line([(head_x - 28, head_y - 14), (head_x + 28, head_y - 14)], "#111111", 5)  # glasses
    nose = [(head_x - 7, head_y + 16), (head_x + 7, head_y + 16), (head_x, head_y + 25)]
    canvas.polygon(nose, "#d6455d")
    canvas.arc(head_x, head_y + 26, 15, (20, 160), "#6b3410", width=4)


def _note(canvas: Canvas, x: float, y: float, strength: float) -> None:
    colour = f"#ffffff{round(230 * strength):02x}"
    canvas.ellipse(x, y, 18, 14, colour)
    canvas.rectangle(x + 6, y - 36, x + 9, y, colour)
    canvas.polygon([(x + 9, y - 36), (x + 22, y - 26), (x + 9, y - 24)], colour)


def _sound() -> Track:
    track = Track(_SECONDS)
    for i, pitch in enumerate(_TUNE):
        track.add(i * _BEAT / 2, pluck(pitch, 0.6), 0.7, pan=0.4 * (-1) ** i)
    for i, pitch in enumerate(_BASS):
        track.add(2 * i * _BEAT, pluck(pitch, 0.9, decay=3.0), 0.8)
    for beat in range(_BEATS):
        track.add(beat * _BEAT, kick() if beat % 2 == 0 else snare(), 0.9)
        track.add((beat + 0.5) * _BEAT, hat(), 0.9, pan=0.5)
    return track


SCENE = Scene("dance", _SECONDS, _draw, _sound, stereo=True)
