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
    """Return what a source is, by content; ``of_file`` returns the SHA-256 of a file."""
    # A shim until branch omniA has its own.
    if isinstance(source, VideoFile):
        whole = (source.start, source.end) == (0.0, None)
        return of_file(source.path) + ("" if whole else f" {source.start}-{source.end}")
    if isinstance(content := getattr(source, "content", None), Path):
        return of_file(content)
    told = hashlib.sha256(type(source).__name__.encode())
    for each in getattr(source, "pictures", [content]):
        told.update(repr((getattr(each, "mode", None), getattr(each, "size", None))).encode())
        if each is not None:
            told.update(each if isinstance(each, bytes) else each.tobytes())
    if isinstance(source, AudioSource) and source.samples is not None:
        told.update(repr((source.samples.shape, source.rate)).encode() + source.samples.tobytes())
    return told.hexdigest() + f" {getattr(source, 'fps', None)}"
