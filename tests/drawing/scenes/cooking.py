"""A pot of tomato soup on the stove, with a recipe that is read out."""

from __future__ import annotations

import math

import numpy as np

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene, progress
from tests.drawing.speech import say
from tests.drawing.synth import RATE, Track, clock, noise

_SECONDS = 7.5
_STEPS = ((0.3, "1. Chop 4 tomatoes"), (2.4, "2. Simmer 20 min"), (4.9, "3. Add basil"))


def _draw(canvas: Canvas, time: float) -> None:
    _kitchen(canvas)
    _steam(canvas, time)
    _pot(canvas, time)
    canvas.rectangle(30, 40, 330, 112, "#ffffffee", radius=14)
    canvas.text(180, 76, "TOMATO SOUP", 36, "#b3261e")
    for start, words in _STEPS:
        shown = progress(time, start, start + 0.4)
        if shown > 0:
            y = 150 + 46 * _STEPS.index((start, words))
            canvas.text(
                40 - 60 * (1 - shown), y, words, 26, "#ffffff", outline="#5d2a1a", anchor="lm"
            )


def _kitchen(canvas: Canvas) -> None:
    canvas.rectangle(0, 0, 360, 640, "#e8b07a")
    for row in range(10):  # tiles
        for column in range(5):
            left = column * 80 - (40 if row % 2 else 0)
            canvas.rectangle(left + 2, row * 46 + 2, left + 78, row * 46 + 44, "#efc193", radius=3)
    canvas.rectangle(0, 500, 360, 640, "#3b3b40")
    canvas.rectangle(0, 500, 360, 510, "#55555c")
    for x in (70, 180, 290):
        canvas.circle(x, 585, 22, "#222226")
        canvas.line([(x, 585), (x, 568)], "#dddddd", 4)


def _pot(canvas: Canvas, time: float) -> None:
    for i in range(9):  # flames
        x = 100.0 + 20 * i
        height = 16 + 8 * math.sin(time * 17 + i * 2.1)
        canvas.polygon([(x - 8, 500), (x, 500 - height), (x + 8, 500)], "#3f8cff")
        canvas.polygon([(x - 4, 500), (x, 500 - height * 0.6), (x + 4, 500)], "#ffd166")
    canvas.rectangle(60, 395, 90, 412, "#2f2f35", radius=6)
    canvas.rectangle(270, 395, 300, 412, "#2f2f35", radius=6)
    canvas.rectangle(80, 365, 280, 486, "#8d99a6", radius=22)
    canvas.rectangle(96, 385, 108, 466, "#c3ccd5", radius=6)
    canvas.ellipse(180, 368, 200, 46, "#6c7783")
    canvas.ellipse(180, 370, 184, 36, "#d0342c")
    for i in range(7):  # bubbles
        age = (time * 1.3 + i * 0.37) % 1.0
        x, y = 180 + 75 * math.sin(i * 2.4), 370 + 9 * math.cos(i * 1.7)
        canvas.circle(x, y, 2 + 5 * age, "#ee6055")
    added = progress(time, 4.9, 5.6)
    for i in range(5 if added > 0 else 0):  # basil leaves fall in
        x = 120 + 30 * i
        canvas.ellipse(x, 300 + 68 * added + 4 * math.sin(i * 2 + time * 2), 20, 10, "#2e8b3d")
    sway = 42 * math.cos(time * 2.6)  # the spoon goes round
    dip = 370 + 8 * math.sin(time * 2.6)
    canvas.line([(180 + sway, dip), (235 + sway * 0.5, 245)], "#a5693a", 10)


def _steam(canvas: Canvas, time: float) -> None:
    for i in range(12):
        age = (time * 0.45 + i / 12) % 1.0
        x = 130 + 10 * i + 14 * math.sin(time * 1.5 + i)
        alpha = round(90 * (1 - age))
        canvas.circle(x, 350 - 90 * age, 12 + 18 * age, f"#ffffff{alpha:02x}")


def _sound() -> Track:
    track = Track(_SECONDS)
    bubbling = noise(_SECONDS, 80, 500, seed=4)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 5 * clock(_SECONDS)) ** 2
    track.add(0, bubbling * swell, 0.035)
    words = say(
        "Chop four ripe tomatoes. Simmer them for twenty minutes. Then add fresh basil, and enjoy.",
        voice="en-us+f3",
        speed=165,
    )
    if words.size / RATE > _SECONDS - 0.4:
        raise ValueError("the recipe takes longer to read than the clip lasts")
    track.add(0.4, words, 0.8)
    return track


SCENE = Scene("cooking", _SECONDS, _draw, _sound)
