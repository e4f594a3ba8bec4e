"""A portrait drawing surface of 360 x 640 units, drawn at twice the clip's size and shrunk.

Colours are `#rrggbb` or `#rrggbbaa`; what is translucent is blended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDTH, HEIGHT = 360, 640
_OVERSAMPLING = 2  # Pillow draws hard edges: shrinking smooths them

Point = tuple[float, float]


class Canvas:
    """One frame. Coordinates and sizes are in units, from the top left corner."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._scale = _OVERSAMPLING * size[0] / WIDTH
        self._image = Image.new("RGB", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def pixels(self) -> NDArray[np.uint8]:
        """The frame as (height, width, 3) RGB."""
        import numpy as np

        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX))

    def gradient(self, top: str, bottom: str, start: float = 0, end: float = HEIGHT) -> None:
        """A vertical gradient over the whole width, from height `start` to `end`."""
        box = (0, round(start * self._scale), self._image.width, round(end * self._scale))
        size = (box[2], box[3] - box[1])
        self._image.paste(
            Image.composite(
                Image.new("RGB", size, bottom),
                Image.new("RGB", size, top),
                Image.linear_gradient("L").resize(size),
            ),
            box,
        )

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: str,
        *,
        radius: float = 0,
    ) -> None:
        self._draw.rounded_rectangle(
            self._all(left, top, right, bottom), radius * self._scale, fill
        )

    def ellipse(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """Around the centre (x, y), with these diameters."""
        self._draw.ellipse(
            self._all(x - width / 2, y - height / 2, x + width / 2, y + height / 2), fill
        )

    def circle(self, x: float, y: float, radius: float, fill: str) -> None:
        self.ellipse(x, y, 2 * radius, 2 * radius, fill)

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float = 1.0) -> None:
        """Light that fades outwards: eight translucent discs over each other."""
        red, green, blue = ImageColor.getrgb(colour)[:3]
        alpha = round(min(max(strength, 0.0), 1.0) * 30)
        for step in range(8, 0, -1):
            self.circle(x, y, radius * step / 8, f"#{red:02x}{green:02x}{blue:02x}{alpha:02x}")

    def polygon(self, points: Iterable[Point], fill: str) -> None:
        self._draw.polygon(self._all(*(c for point in points for c in point)), fill)

    def line(self, points: Iterable[Point], fill: str, width: float) -> None:
        """A line with round joints and ends."""
        corners = list(points)
        self._draw.line(
            self._all(*(c for point in corners for c in point)),
            fill,
            max(1, round(width * self._scale)),
            joint="curve",
        )
        if len(fill) == 7:  # opaque: round ends would show as darker spots on a translucent line
            for x, y in (corners[0], corners[-1]):
                self.circle(x, y, width / 2, fill)

    def arc(
        self,
        x: float,
        y: float,
        radius: float,
        angles: tuple[float, float],
        fill: str,
        *,
        width: float,
    ) -> None:
        """Clockwise between two angles in degrees; 0 points right, -90 up."""
        self._draw.arc(
            self._all(x - radius, y - radius, x + radius, y + radius),
            *angles,
            fill,
            max(1, round(width * self._scale)),
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        fill: str = "#ffffff",
        *,
        outline: str | None = None,
        anchor: str = "mm",
    ) -> None:
        """One line in Pillow's bundled font; `anchor` is Pillow's, by default the middle."""
        self._draw.text(
            (x * self._scale, y * self._scale),
            words,
            fill,
            _font(round(size * self._scale)),
            anchor,
            stroke_width=0 if outline is None else max(1, round(size * self._scale / 12)),
            stroke_fill=outline,
        )

    def _all(self, *numbers: float) -> Sequence[float]:
        return [number * self._scale for number in numbers]


def blend(start: str, end: str, share: float) -> str:
    """The colour `share` of the way (0 to 1) from one opaque colour to another."""
    mixed = (
        round(a + (b - a) * share)
        for a, b in zip(ImageColor.getrgb(start)[:3], ImageColor.getrgb(end)[:3], strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
