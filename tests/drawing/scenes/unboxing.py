"""A lamp rises from its box, lights up and gets cheaper, while a voice advertises it."""

from __future__ import annotations

import math

from tests.drawing.canvas import Canvas, blend
from tests.drawing.scene import Scene, progress
from tests.drawing.speech import say
from tests.drawing.synth import RATE, Track, hertz, melody, pluck

_SECONDS = 8.0
_PRICE_FALLS = 4.3


def _draw(canvas: Canvas, time: float) -> None:
    lit = progress(time, 2.3, 2.7)
    canvas.gradient(blend("#3d4a5c", "#f2d9a0", lit * 0.8), blend("#2b3442", "#e8c07d", lit * 0.8))
    canvas.rectangle(0, 520, 360, 640, "#8a5a3b")
    canvas.rectangle(0, 520, 360, 530, "#a9744f")
    opened, risen = progress(time, 0.4, 1.0), progress(time, 1.0, 2.1)
    if risen > 0:
        _lamp(canvas, 450 - 130 * risen, lit)
    _box(canvas, opened)
    canvas.text(180, 60, "MY NEW LAMP", 40, "#ffffff", outline="#333333")
    if time > 2.8:
        _price(canvas, time)
    if time > 6.0:
        canvas.rectangle(70, 548, 290, 604, "#ffffff", radius=28)
        canvas.text(180, 576, "link in bio", 28, "#c2255c")


def _lamp(canvas: Canvas, top: float, lit: float) -> None:
    if lit > 0:
        canvas.glow(180, top + 10, 165, "#fff3b0", lit)
    canvas.line([(180, top + 30), (180, top + 190)], "#39424e", 10)
    canvas.polygon(
        [(145, top - 50), (215, top - 50), (250, top + 40), (110, top + 40)],
        blend("#8fa3b8", "#ffe9a8", lit),
    )
    canvas.ellipse(180, top + 40, 140, 20, blend("#70839a", "#fffbe6", lit))


def _box(canvas: Canvas, opened: float) -> None:
    canvas.rectangle(90, 420, 270, 540, "#c99a63")
    canvas.rectangle(90, 420, 270, 428, "#a97c48")
    canvas.rectangle(168, 428, 192, 540, "#dfb98a")
    canvas.text(230, 500, "luma", 22, "#6b4a24")
    for side in (-1, 1):  # the flaps fold up and out
        angle = math.pi * 0.62 * opened
        hinge = 180 + side * 90
        tip = (hinge - side * 90 * math.cos(angle), 420 - 90 * math.sin(angle))
        canvas.line([(hinge, 422), tip], "#b98a54", 9)


def _price(canvas: Canvas, time: float) -> None:
    swing = 8 * math.exp(-2 * (time - 2.8)) * math.sin(12 * (time - 2.8))
    x = 285 + swing
    cheap = time >= _PRICE_FALLS
    pop = 1 + 0.35 * math.exp(-6 * (time - _PRICE_FALLS)) if cheap else 1.0
    canvas.line([(x, 120), (x, 165)], "#222222", 3)
    canvas.rectangle(x - 58, 160, x + 58, 262 if cheap else 222, "#fff8e1", radius=12)
    canvas.text(x, 192, "$49", 38, "#555555")
    if cheap:
        canvas.line([(x - 40, 200), (x + 40, 184)], "#d00000", 5)
        canvas.text(x, 234, "$29", 40 * pop, "#d00000")


def _sound() -> Track:
    track = Track(_SECONDS)
    first = say("Look what came today: the Luma lamp!", voice="en-us+m3", speed=165, pitch=60)
    second = say(
        "It was forty-nine dollars, now it is only twenty-nine!",
        voice="en-us+m3",
        speed=170,
        pitch=62,
    )
    if 0.3 + first.size / RATE > 3.2 or 3.3 + second.size / RATE > _SECONDS:
        raise ValueError("the sentences take longer to say than the clip leaves them")
    track.add(0.3, first, 0.8)
    track.add(3.3, second, 0.8)
    for i, pitch in enumerate(melody("C6 E6 G6")):  # a chime when the lamp lights up
        track.add(2.3 + 0.08 * i, pluck(pitch, 0.9), 0.22)
    track.add(_PRICE_FALLS, pluck(hertz("C7"), 0.8), 0.25)
    return track


SCENE = Scene("unboxing", _SECONDS, _draw, _sound)
