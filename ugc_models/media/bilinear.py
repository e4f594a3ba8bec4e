"""OpenCV's default scaling: the average of two by two pixels, however many are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 11
_ONE = 1 << _BITS


def bilinear(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale (H, W, 3) to (height, width, 3) as ``cv2.resize(picture, (width, height))`` does.

    OpenCV's ``INTER_LINEAR``: pixel centres are mapped to the source, weights are rounded to 11
    bits, edges repeat. Levels are within one of OpenCV's, whose vector code cuts bits off earlier.
    A picture that becomes several times smaller gets rough by it; ``Sampling.scaling`` says why it
    is there.
    """
    top, bottom, down = _taps(picture.shape[0], height)
    left, right, across = _taps(picture.shape[1], width)
    across, down = across[None, :, None], down[:, None, None]

    def row(at: NDArray[np.intp]) -> NDArray[np.int32]:
        line = picture[at]
        mixed: NDArray[np.int32] = line[:, left] * (_ONE - across) + line[:, right] * across
        return mixed

    both = row(top) * (_ONE - down) + row(bottom) * down
    return ((both + (1 << 2 * _BITS - 1)) >> 2 * _BITS).astype(np.uint8)


def _taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """Return for each target pixel its two source pixels and the weight of the second."""
    at = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(at).astype(np.intp)
    weight = np.rint((at - first) * _ONE).astype(np.int32)
    inside = (first >= 0) & (first < source - 1)
    first = first.clip(0, source - 1)
    return first, np.minimum(first + 1, source - 1), np.where(inside, weight, 0).astype(np.int32)
