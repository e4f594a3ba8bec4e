"""A city from late afternoon to night in six seconds, without any sound."""

from __future__ import annotations

import random

from tests.drawing.canvas import Canvas, blend
from tests.drawing.scene import Scene, progress

_SECONDS = 6.0
#: left edge, width and height of the top
_TOWERS = (
    (0, 70, 330),
    (58, 60, 400),
    (112, 74, 270),
    (180, 58, 370),
    (232, 70, 300),
    (296, 64, 420),
)


def _draw(canvas: Canvas, time: float) -> None:
    dusk, night = progress(time, 0.5, 3.0), progress(time, 2.5, 5.0)
    top = blend(blend("#5aa9e6", "#7b4b94", dusk), "#060b26", night)
    bottom = blend(blend("#cdeafe", "#ff9f5a", dusk), "#1b2450", night)
    canvas.gradient(top, bottom)
    _stars(canvas, night)
    sun = progress(time, 0.0, 3.4)
    canvas.glow(250, 190 + 330 * sun, 90, "#fff2b0", 1 - night)
    canvas.circle(250, 190 + 330 * sun, 34, blend("#fff4c2", "#ff6b3d", sun))
    moon = progress(time, 3.4, 5.6)
    if moon > 0:
        canvas.glow(95, 345 - 130 * moon, 60, "#dfe7ff", 0.5 * moon)
        canvas.circle(95, 345 - 130 * moon, 24, "#f3f5ff")
        canvas.circle(104, 339 - 130 * moon, 20, blend(top, bottom, 0.2))
    _city(canvas, time, night)
    _captions(canvas, time)


def _stars(canvas: Canvas, night: float) -> None:
    places = random.Random(11)
    alpha = round(255 * night)
    for _ in range(60):
        x, y, radius = places.uniform(0, 360), places.uniform(0, 380), places.uniform(0.6, 1.8)
        canvas.circle(x, y, radius, f"#ffffff{alpha:02x}")


def _city(canvas: Canvas, time: float, night: float) -> None:
    lamps = random.Random(5)
    for left, width, top in _TOWERS:
        canvas.rectangle(left, top, left + width, 600, blend("#4d5b78", "#11162e", night))
        for y in range(top + 14, 570, 24):
            for x in range(left + 9, left + width - 14, 17):
                switched_on = time > lamps.uniform(2.4, 6.5)  # one window after the other
                canvas.rectangle(x, y, x + 9, y + 13, "#ffd873" if switched_on else "#8191ad40")
    canvas.rectangle(0, 590, 360, 640, blend("#39425c", "#0a0d1d", night))
    for i in range(3):  # cars; their lights are what one sees of them at night
        rear = (time * 90 + i * 150) % 480 - 60
        canvas.rectangle(rear, 604, rear + 46, 620, "#b23a48", radius=6)
        canvas.circle(rear + 46, 612, 4, "#fff6c9")


def _captions(canvas: Canvas, time: float) -> None:
    minutes = 18 * 60 + round(progress(time, 0.3, 5.4) * 5 * 60)
    canvas.rectangle(112, 34, 248, 92, "#00000077", radius=12)
    canvas.text(180, 63, f"{minutes // 60:02d}:{minutes % 60:02d}", 42)
    if time > 4.2:
        canvas.text(180, 125, "the city never sleeps", 27, "#ffffff", outline="#10183a")


SCENE = Scene("skyline", _SECONDS, _draw, None, frame_rate=24)
