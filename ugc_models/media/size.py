"""How large a frame becomes: pure arithmetic on sides."""

from __future__ import annotations

import math

from ugc_models.media.errors import MediaError
from ugc_models.media.sampling import Sampling

WIDEST = 200
"""The longest side over the shortest. Qwen's image processor refuses what is beyond it."""


def target_size(width: int, height: int, sampling: Sampling) -> tuple[int, int]:
    """Return the (width, height) that a picture of this displayed size is scaled to.

    The rule is the ``smart_resize`` of Qwen2-VL (``qwen_vl_utils.vision_process`` and transformers'
    ``models/qwen2_vl/video_processing_qwen2_vl.py``): each side to the nearest multiple of
    ``factor``; where that has too many pixels, both sides shrunk by one ratio and rounded down;
    where it has too few, grown and rounded up. Following it to the letter makes a second
    application, by the model's own processor under the same budget, change nothing (save for a
    picture so narrow that ``factor`` alone puts it over the budget).
    """
    if max(width, height) > WIDEST * min(width, height):
        raise MediaError(f"its picture of {width}x{height} is too narrow to be used")
    factor = sampling.factor
    sides = (width, height)
    new_width, new_height = (max(factor, round(side / factor) * factor) for side in sides)
    if new_width * new_height > sampling.max_pixels:
        ratio = math.sqrt(width * height / sampling.max_pixels)
        new_width, new_height = (
            max(factor, math.floor(side / ratio / factor) * factor) for side in sides
        )
    elif new_width * new_height < sampling.min_pixels:
        ratio = math.sqrt(sampling.min_pixels / (width * height))
        new_width, new_height = (math.ceil(side * ratio / factor) * factor for side in sides)
    return new_width, new_height
