"""What a request has a model look at or listen to, before anything of it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A file with picture, and with sound if it has a track of it; or a stretch of it."""

    path: Path
    start: float = 0.0  # seconds from the first displayed frame
    end: float | None = None  # likewise; None for the end of the picture


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """A silent video that is there as pictures already."""

    pictures: Sequence[Any]  # PIL images, or arrays (H, W, 3) of uint8
    fps: float | None = None  # frames per second, None where nobody says


@dataclass(frozen=True, eq=False)
class ImageSource:
    content: Any  # a path, the bytes of a file, or a PIL image


@dataclass(frozen=True, eq=False)
class AudioSource:
    content: Any  # a path, or the bytes of a file; None where there are ``samples``
    samples: NDArray[np.float32] | None = None  # (N,) or (channels, N)
    rate: int = 0  # of ``samples``, in Hz


Source = VideoFile | VideoFrames | ImageSource | AudioSource


@dataclass(frozen=True, eq=False)
class Image:
    """An image that was read."""

    pixels: NDArray[np.uint8]  # (H, W, 3), RGB, at its own size, C-contiguous


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording that was read."""

    samples: NDArray[np.float32]  # (N,), 16 kHz, mono
    seconds: float  # of the whole recording, also of what was left out


def digest(source: Source, of_file: Callable[[Path], str]) -> str:
    """Return what tells a source's content from every other; for the key of a stored answer.

    ``of_file`` returns the SHA-256 of a file. A whole video file is just that.
    """
    if isinstance(source, VideoFile):
        whole = (source.start, source.end) == (0.0, None)
        return of_file(source.path) + ("" if whole else f" {source.start!r}-{source.end!r} s")
    if isinstance(content := getattr(source, "content", None), Path):
        return f"{type(source).__name__} {of_file(content)}"
    told = hashlib.sha256(type(source).__name__.encode())
    if isinstance(source, VideoFrames):
        told.update(repr(source.fps).encode())
        for picture in source.pictures:
            _add(told, _pixels(picture))
    elif isinstance(content, bytes):
        told.update(content)
    elif isinstance(source, AudioSource) and source.samples is not None:
        told.update(repr(source.rate).encode())
        _add(told, source.samples)
    else:
        _add(told, _pixels(content))
    return told.hexdigest()


def _pixels(picture: Any) -> NDArray[Any]:
    import numpy as np

    rgb = hasattr(picture, "getbands")  # a palette is no part of a picture's own bytes
    return np.asarray(picture.convert("RGB") if rgb else picture)


def _add(told: Any, array: NDArray[Any]) -> None:
    told.update(f"{array.dtype} {array.shape}".encode())
    told.update(array.tobytes())
