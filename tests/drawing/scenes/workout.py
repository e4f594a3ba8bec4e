"""A figure does jumping jacks against the clock. Stored lying down, as phones do."""

from __future__ import annotations

import math

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene
from tests.drawing.speech import say
from tests.drawing.synth import Track, hat, kick, melody, pluck, snare

_SECONDS = 7.0
_JUMP = 1.0  # seconds for one jumping jack
_DONE_BEFORE = 12
_BASS = melody("A2 A2 C3 D3")


def _draw(canvas: Canvas, time: float) -> None:
    canvas.rectangle(0, 0, 360, 640, "#123c3a")
    for i in range(7):  # the wall bars of a gym
        canvas.rectangle(0, 150 + 56 * i, 360, 157 + 56 * i, "#1b514d")
    canvas.rectangle(0, 545, 360, 640, "#c58b4e")
    canvas.line([(0, 590), (360, 590)], "#b37a3f", 3)
    canvas.text(20, 40, "SET 2 OF 3", 28, "#9ff5d2", anchor="lm")
    canvas.text(20, 78, "Jumping jacks", 34, anchor="lm")
    _clock(canvas, time)
    _figure(canvas, math.sin(math.pi * (time % _JUMP) / _JUMP))
    canvas.text(180, 612, f"{_DONE_BEFORE + int(time / _JUMP)} reps", 34, "#2a1a08")


def _clock(canvas: Canvas, time: float) -> None:
    left = 20 - int(time)
    canvas.circle(302, 62, 44, "#0b2524")
    canvas.arc(302, 62, 44, (-90, -90 + 360 * (20 - time) / 20), "#ffd166", width=8)
    canvas.text(302, 62, str(left), 34)


def _figure(canvas: Canvas, spread: float) -> None:
    """Arms and legs from closed (0) to wide (1); in between the figure is in the air."""
    x, ground = 180, 562
    lift = 26 * math.sin(math.pi * spread)
    hip, shoulder = ground - 130 - lift, ground - 240 - lift
    canvas.ellipse(x, ground + 8, 150 - lift, 16, "#7a522b")
    for side in (-1, 1):
        foot = x + side * (16 + 72 * spread)
        knee = ((x + side * 12 + foot) / 2 + side * 6, hip + 66)
        canvas.line([(x + side * 12, hip), knee, (foot, ground - lift)], "#26547c", 24)
        canvas.line([(foot - 4, ground - lift), (foot + side * 16, ground - lift)], "#ffffff", 14)
        angle = math.radians(80 - 150 * spread)  # from hanging down to above the head
        elbow = (x + side * (30 + 46 * math.cos(angle)), shoulder + 12 + 46 * math.sin(angle))
        hand = (elbow[0] + side * 44 * math.cos(angle), elbow[1] + 44 * math.sin(angle))
        canvas.line([(x + side * 26, shoulder + 10), elbow, hand], "#e0ac7e", 17)
    canvas.rectangle(x - 36, shoulder - 6, x + 36, hip + 12, "#ef476f", radius=20)
    canvas.rectangle(x - 9, shoulder - 24, x + 9, shoulder, "#e0ac7e")
    canvas.circle(x, shoulder - 46, 32, "#e0ac7e")
    canvas.ellipse(x, shoulder - 66, 58, 30, "#4a2c17")
    canvas.rectangle(x - 32, shoulder - 62, x + 32, shoulder - 52, "#ffd166")
    for side in (-1, 1):
        canvas.circle(x + side * 11, shoulder - 42, 3.5, "#222222")
    canvas.arc(x, shoulder - 36, 12, (25, 155), "#7a2e1d", width=4)


def _sound() -> Track:
    track = Track(_SECONDS)
    for step in range(14):
        track.add(step * 0.5, kick(), 0.4)
        track.add(step * 0.5 + 0.25, hat(), 0.5)
        if step % 2:
            track.add(step * 0.5, snare(), 0.3)
        track.add(step * 0.5, pluck(_BASS[step // 2 % 4], 0.45), 0.25)
    track.add(0.8, say("Keep going! Arms all the way up!", voice="en-us+m7", speed=170), 1.1)
    track.add(4.3, say("Great job, don't stop now!", voice="en-us+m7", speed=170), 1.1)
    return track


SCENE = Scene("workout", _SECONDS, _draw, _sound, quarter_turns=1)
