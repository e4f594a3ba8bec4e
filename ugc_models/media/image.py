"""Images: RGB at their own size, as transformers' processors make it of the same content.

A file or its bytes is turned as its EXIF data says, then converted by Pillow
(``transformers.image_utils.load_image``); a picture that is in memory already is converted alone
(``transformers.image_transforms.convert_to_rgb``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.frame import VideoFrame

from ugc_models.media.clip import Clip
from ugc_models.media.container import regular_file
from ugc_models.media.limits import Deadline, Limits, MediaError, OutOfMemoryError
from ugc_models.media.sampling import Sampling, select, target_size
from ugc_models.media.scale import Scaler
from ugc_models.media.source import Image, VideoFrames

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RATE = 2.0  # frames per second, where nobody says
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "TGA"),
    *("TIFF", "WEBP"),
)
"""Pillow's names of formats that are pictures in themselves: none runs a program (as EPS does) or
opens a second file."""


def read_image(content: Path | bytes, deadline: Deadline) -> Image:
    """Read an image file, the first picture of several.

    Raises ``MediaError`` for what is no image, over the limit, cut off or damaged.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    Pillow.init()
    file = io.BytesIO(content) if isinstance(content, bytes) else regular_file(content, "an image")
    known = [name for name in FORMATS if name in Pillow.OPEN]
    with _in_a_sentence(), Pillow.open(file, formats=known) as picture:
        _check_size(picture.size, deadline.limits.image_pixels)
        return Image(_rgb(ImageOps.exif_transpose(picture)))


def convert_picture(picture: Any, most: int) -> NDArray[np.uint8]:
    """Return a Pillow image or an array (H, W, 3) of uint8 as RGB, (H, W, 3), C-contiguous.

    Raises ``MediaError`` for anything else, and for a picture of more than ``most`` pixels.
    """
    if not hasattr(picture, "getbands"):
        try:
            pixels = np.asarray(picture)
        except (TypeError, ValueError):
            raise MediaError(f"a {type(picture).__name__} is no picture") from None
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise MediaError(f"an array {pixels.shape} of {pixels.dtype} is no (H, W, 3) of uint8")
        _check_size(pixels.shape[1::-1], most)
        return np.ascontiguousarray(pixels)
    _check_size(picture.size, most)
    with _in_a_sentence():  # a file may be decoded only now
        return _rgb(picture)


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """Raise what Pillow raises as ``MediaError``."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        yield
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise MediaError("not an image of a kind that is read here") from None
    except MemoryError:
        raise OutOfMemoryError("too large: there is not enough memory to read it") from None
    except PermissionError:
        raise MediaError("the file may not be read by this user") from None
    except Pillow.DecompressionBombError:
        raise MediaError("too large: it has far more pixels than any image should") from None
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them raise
        raise MediaError(f"truncated or damaged: {error}") from None


def clip_of(source: VideoFrames, sampling: Sampling, limits: Limits) -> Clip:
    """Make a silent clip of pictures, as many as ``sampling`` allows, spread evenly over time.

    All are brought to the size of the first one, and scaled as it is. Without a rate it is two
    frames a second, as ``qwen_omni_utils`` has it. Raises ``MediaError`` as
    :func:`convert_picture`.
    """
    from PIL import Image as Pillow

    rate = source.fps or _RATE
    count = len(source.pictures)
    times = np.arange(count) / rate
    choice = select(times, count / rate, Sampling(frames=max(sampling.most_frames, 2)))
    scale = Scaler(sampling.of_frames(len(choice.indices)), None)
    frames: list[NDArray[np.uint8]] = []
    shape: tuple[int, ...] = ()
    for place in choice.indices:
        pixels = convert_picture(source.pictures[place], limits.source_pixels)
        shape = shape or pixels.shape[1::-1]
        if pixels.shape[1::-1] != shape:
            # Not by libswscale: where one side shrinks a lot and the other does not, it crashes.
            pixels = np.asarray(
                Pillow.fromarray(pixels).resize(list(shape), Pillow.Resampling.BICUBIC)
            )
        frames.append(scale(VideoFrame.from_ndarray(pixels, format="rgb24")))
    return Clip(
        frames=np.stack(frames),
        times=times[list(choice.indices)],
        fps=choice.fps,
        sound=None,
        sound_missing="frames without sound",
        duration=count / rate,
        decode_errors=0,
        lost_seconds=0.0,
    )


def _check_size(size: tuple[int, ...], most: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise MediaError("no picture: it has no size")
    if width * height > most:
        raise MediaError(f"too large: {width}x{height} is over the limit of {most} pixels")
    target_size(width, height, Sampling())  # raises where the model's processor would


def _rgb(picture: Any) -> NDArray[np.uint8]:
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"), np.uint8)
