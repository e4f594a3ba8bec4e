"""One decoded frame to a small upright RGB array."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling, target_size

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

# libswscale's flags of the same names: without them it takes short cuts that cost up to three
# levels of 255 in flat areas, and it computes chroma at half the width.
_ACCURATE_RND = 0x40000
_FULL_CHR_H_INT = 0x2000
_QUALITY = int(Interpolation.BICUBIC) | _ACCURATE_RND | _FULL_CHR_H_INT

# ITU-T H.273 codes for matrix coefficients, as AVFrame.colorspace has them. Those up to 10 are
# also libswscale's own; 0 is RGB, 2 is "unspecified", 3 is reserved.
_KNOWN_MATRICES = frozenset({1, 4, 5, 6, 7, 9, 10})


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned for display: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the frame's display matrix, rounded to the nearest quarter turn, mirrored or not.

        The matrix is ISO/IEC 14496-12's {a b u, c d v, x y w}: a point (p, q) is shown at
        (ap + cq + x, bp + dq + y).
        """
        data = cast("Buffer | None", frame.side_data.get("DISPLAYMATRIX"))
        if data is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, mirror_x=a < 0, mirror_y=d < 0)
        return cls(True, mirror_x=c < 0, mirror_y=b < 0)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) after turning; it is its own inverse."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn (H, W, 3) into the displayed (H', W', 3), C-contiguous."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.mirror_x:
            picture = picture[:, ::-1]
        if self.mirror_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


class Scaler:
    """Scales a clip's frames to the one size that its first frame decides."""

    def __init__(self, sampling: Sampling, pixel_aspect: Fraction | None) -> None:
        self._sampling = sampling
        self._pixel_aspect = pixel_aspect if pixel_aspect else Fraction(1)
        self._reformatter = VideoReformatter()
        self._target: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame as uint8 (H, W, 3), RGB, upright, C-contiguous."""
        turn = Orientation.of(frame)
        if self._target is None:
            width, height, aspect = frame.width, frame.height, self._pixel_aspect
            if width < 1 or height < 1:
                raise MediaError("no picture: its frames have no size")
            # In square pixels: one side is widened, so that no pixel is thrown away.
            if aspect >= 1:
                width = round(width * aspect)
            else:
                height = round(height / aspect)
            self._target = target_size(*turn.size(width, height), self._sampling)
        width, height = turn.size(*self._target)
        if self._sampling.scaling == "opencv":
            import cv2  # only here: it takes as long to import as all else

            whole = self._rgb(frame, frame.width, frame.height, int(Interpolation.BICUBIC))
            return turn.apply(np.asarray(cv2.resize(whole, (width, height)), dtype=np.uint8))
        return turn.apply(self._rgb(frame, width, height, _QUALITY))

    def _rgb(self, frame: VideoFrame, width: int, height: int, quality: int) -> NDArray[np.uint8]:
        # libav takes an unspecified matrix for BT.601, whatever the size.
        matrix = frame.colorspace if frame.colorspace in _KNOWN_MATRICES else Colorspace.ITU601
        # PyAV sets matrix and range of the source only where they differ from the target's, which
        # are not used for YUV. Left alone, it would convert BT.709 as if it were BT.601.
        target = Colorspace.ITU601 if matrix == Colorspace.ITU709 else Colorspace.ITU709
        kind = frame.format
        full = _is_full_range(kind, frame.color_range)
        if kind.is_rgb or kind.has_palette or kind.name.startswith("xyz"):  # no YUV, no gray
            # libswscale scales RGB as luma and chroma: there by the target's matrix, back by the
            # source's. Colours are kept only where nothing is set.
            matrix, full = target, False
        small = self._reformatter.reformat(
            frame,
            width,
            height,
            "rgb24",
            src_colorspace=int(matrix),
            dst_colorspace=int(target),
            interpolation=quality,
            src_color_range=int(ColorRange.JPEG if full else ColorRange.MPEG),
            dst_color_range=int(ColorRange.MPEG),
        )
        return np.asarray(small.to_ndarray(), dtype=np.uint8)


def _is_full_range(kind: VideoFormat, stated: int) -> bool:
    """Whether levels reach from 0 to the highest, as libav assumes where nothing is stated."""
    if kind.name.startswith("yuvj"):
        return True
    gray = len(kind.components) < 3  # with or without alpha
    return stated != ColorRange.MPEG if gray else stated == ColorRange.JPEG
