"""The eight scenes, one module each. The captions in final_caption_qa.json describe them."""

from __future__ import annotations

from ugc_tasks.sample.scene import Scene
from ugc_tasks.sample.scenes import (
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
