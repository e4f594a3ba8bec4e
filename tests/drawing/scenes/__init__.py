"""The eight scenes, one module each. The captions in final_caption_qa.json describe them."""

from __future__ import annotations

from tests.drawing.scene import Scene
from tests.drawing.scenes import (
    cooking,
    countdown,
    dance,
    quiz,
    rain,
    skyline,
    unboxing,
    workout,
)

SCENES: tuple[Scene, ...] = (
    cooking.SCENE,
    countdown.SCENE,
    skyline.SCENE,
    dance.SCENE,
    unboxing.SCENE,
    workout.SCENE,
    rain.SCENE,
    quiz.SCENE,
)

__all__ = ["SCENES"]
