"""A picture of each clip: small, upright, and none where a file cannot be decoded."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.drawing.scenes import SCENES
from ugc_tasks.report.posters import HEIGHT, take_posters
from ugc_tasks.sample import sample_home

BY_NAME = {scene.name: scene.video_id for scene in SCENES}


def picture(address: str) -> Image.Image:
    kind, _, content = address.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")


def clip(name: str) -> Path:
    return sample_home() / "videos" / f"{BY_NAME[name]}.mp4"


def test_every_bundled_clip_has_a_small_upright_picture() -> None:
    posters = take_posters({name: clip(name) for name in BY_NAME})
    assert list(posters) == list(BY_NAME)
    assert max(map(len, posters.values())) < 12_000
    for address in posters.values():
        image = picture(address)
        assert image.height == HEIGHT > image.width


def test_a_clip_that_is_stored_lying_down_is_turned() -> None:
    """The floor of the gym is light wood, its wall dark green: the floor must be below."""
    pixels = np.asarray(picture(take_posters({"workout": clip("workout")})["workout"]))
    height = len(pixels)
    wall, floor = pixels[height // 3, :4].mean(0), pixels[-4:, :4].mean((0, 1))
    assert floor[0] > 150 > wall[0], "red: strong in wood, weak in green"


def test_what_is_no_clip_has_no_picture(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    gone = tmp_path / "gone.mp4"
    assert list(take_posters({"a": broken, "b": gone, "c": clip("dance")})) == ["c"]
