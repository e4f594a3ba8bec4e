"""A question with three answers and a clock that ticks; still for long, so frames come rarely."""

from __future__ import annotations

from tests.drawing.canvas import Canvas
from tests.drawing.scene import Scene, progress
from tests.drawing.speech import say
from tests.drawing.synth import RATE, Track, hertz, melody, noise, pluck, tone

_SECONDS = 8.0
_REVEAL = 6.0
_ANSWERS = ("A  Mars", "B  Jupiter", "C  Venus")
_RIGHT = 1
_VOICE = "en-gb+f2"


def _draw(canvas: Canvas, time: float) -> None:
    canvas.gradient("#10123a", "#3a1c71")
    canvas.rectangle(24, 34, 336, 84, "#ffd166", radius=25)
    canvas.text(180, 59, "SPACE QUIZ", 32, "#2b1a55")
    canvas.text(180, 128, "Which planet", 36)
    canvas.text(180, 170, "is the largest?", 36)
    for i, words in enumerate(_ANSWERS):
        arrived = progress(time, 0.5 + 0.5 * i, 0.9 + 0.5 * i)
        if arrived > 0:
            _answer(canvas, 225 + 78 * i, words, arrived, time >= _REVEAL and i == _RIGHT)
    left = 1 - progress(time, 3.0, _REVEAL)
    canvas.rectangle(40, 470, 320, 486, "#ffffff33", radius=8)
    if left > 0.03:
        canvas.rectangle(40, 470, 40 + 280 * left, 486, "#ef476f", radius=8)
    if time >= _REVEAL:
        _jupiter(canvas, progress(time, _REVEAL, _REVEAL + 0.5))
    else:
        canvas.text(180, 560, "?", 110, "#ffffff66")


def _answer(canvas: Canvas, top: float, words: str, arrived: float, right: bool) -> None:
    slide = 360 * (1 - arrived)
    canvas.rectangle(
        40 + slide, top, 320 + slide, top + 62, "#06a77d" if right else "#ffffff", radius=14
    )
    colour = "#ffffff" if right else "#2b1a55"
    canvas.text(60 + slide, top + 31, words, 32, colour, anchor="lm")
    if right:
        canvas.line([(270, top + 32), (282, top + 44), (304, top + 18)], "#ffffff", 7)


def _jupiter(canvas: Canvas, size: float) -> None:
    if size <= 0:
        return
    canvas.circle(180, 565, 62 * size, "#d8a06a")
    for offset, height, colour in ((-24, 9, "#b9774a"), (-4, 13, "#efd0a5"), (20, 10, "#a9653b")):
        half = (62**2 - offset**2) ** 0.5
        canvas.rectangle(
            180 - half * size,
            565 + (offset - height / 2) * size,
            180 + half * size,
            565 + (offset + height / 2) * size,
            colour,
        )
    canvas.ellipse(204, 565 + 22 * size, 24 * size, 13 * size, "#8f3f2b")


def _sound() -> Track:
    track = Track(_SECONDS)
    question = say("Which planet is the largest? Mars, Jupiter, or Venus?", voice=_VOICE, speed=160)
    if question.size / RATE > _REVEAL:
        raise ValueError("the question is not over when the answer comes")
    track.add(0.2, question, 0.9)
    for tick in range(4, 12):
        track.add(tick * 0.5, noise(0.03, 2_000, 6_000, seed=tick), 0.06)
    for i, pitch in enumerate(melody("C5 E5 G5 C6")):
        track.add(_REVEAL + 0.1 * i, pluck(pitch, 0.9), 0.4)
    track.add(_REVEAL, tone(hertz("C4"), 0.5, (1.0, 0.5)), 0.2)
    track.add(_REVEAL + 0.6, say("It is Jupiter!", voice=_VOICE, speed=160), 0.9)
    return track


def _frame_times() -> tuple[float, ...]:
    """As a phone records its screen: 30 frames a second while something moves, else 5."""
    moving = ((0.5, 2.0), (_REVEAL, _REVEAL + 0.6))
    ticks = (tick / 30 for tick in range(round(_SECONDS * 30)))
    return tuple(
        time
        for tick, time in enumerate(ticks)
        if tick % 6 == 0 or any(start <= time <= end for start, end in moving)
    )


SCENE = Scene("quiz", _SECONDS, _draw, _sound, frame_rate=30, frame_times=_frame_times())
