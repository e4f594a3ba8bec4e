"""A small picture of each clip, as an address that the page carries in itself.

Short: which picture, and how a hostile file is opened, is ``data/check.py``'s.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ugc_tasks.data.check import ClipFault, a_picture

HEIGHT = 160  # pixels
_QUALITY = 45  # of WebP: about 4 KB each


def take_posters(clips: Mapping[str, Path], *, workers: int = 4) -> dict[str, str]:
    """Return a ``data:`` address by ``video_id``, of the clips that can be decoded."""
    from tqdm import tqdm

    with ThreadPoolExecutor(workers) as pool:
        taken = pool.map(_poster, clips.values())
        shown = tqdm(taken, "posters", total=len(clips), disable=None, leave=False)
        return {i: poster for i, poster in zip(clips, shown, strict=True) if poster}


def _poster(path: Path) -> str | None:
    import cv2
    import numpy as np

    try:
        frame: Any = a_picture(path)
        # Phones store clips lying down, and say by how much they are to be turned.
        quarters = round(frame.rotation / 90) % 4
        scale = HEIGHT / (frame.width if quarters % 2 else frame.height)
        size = [max(2, round(side * scale)) for side in (frame.width, frame.height)]
        lying = frame.reformat(*size, "bgr24").to_ndarray()
        small = np.ascontiguousarray(np.rot90(lying, quarters))
    except (ClipFault, ValueError, OSError, MemoryError):
        return None  # the page says that there is none
    done, content = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return (
        f"data:image/webp;base64,{base64.b64encode(content.tobytes()).decode()}" if done else None
    )
