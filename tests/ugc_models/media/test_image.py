"""Images come out as the reference makes them; what is none, or hostile, is one sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from transformers.image_transforms import convert_to_rgb
from transformers.image_utils import load_image

from tests.support.clips import write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.image import clip_of, convert_picture, read_image
from ugc_models.media.limits import Deadline, Limits, MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import VideoFrames

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")
MOST = 1_000_000


def picture(mode: str = "RGB", size: tuple[int, int] = (37, 23)) -> PIL.Image.Image:
    """Return a picture in which every pixel is another one."""
    width, height = size
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 0] = np.arange(width) * 255 // width
    pixels[..., 1] = (np.arange(height) * 255 // height)[:, np.newaxis]
    pixels[..., 2] = 255 - pixels[..., 0]
    pixels[..., 3] = pixels[..., 1]
    whole = PIL.Image.fromarray(pixels)
    if mode == "I;16":
        return PIL.Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    return whole if mode == "RGBA" else whole.convert("RGB").convert(mode)


def stored(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content: Path | bytes, **limits: Any) -> Any:
    return read_image(content, Deadline(Limits(**limits))).pixels


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_what_transformers_makes_of_it(mode: str) -> None:
    image = picture(mode)
    pixels = convert_picture(image, MOST)
    assert np.array_equal(pixels, np.asarray(convert_to_rgb(image)))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        ("WEBP", "RGBA"),
        ("GIF", "P"),
        ("TIFF", "RGB"),
        ("BMP", "RGB"),
    ],
)
def test_a_file_and_its_bytes_are_what_transformers_loads(
    kind: str, mode: str, tmp_path: Path
) -> None:
    content = stored(picture(mode), kind)
    path = tmp_path / "image"
    path.write_bytes(content)
    expected = np.asarray(load_image(str(path)))
    assert np.array_equal(read(path), expected)
    assert np.array_equal(read(content), expected)


def test_a_photograph_is_turned_upright() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert read(stored(picture(), "JPEG", exif=exif)).shape == (37, 23, 3)


def test_of_an_animation_it_is_the_first_picture() -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an image of a kind that is read here"),
        (b"GIF89a", "not an image|truncated or damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a kind"),
        (stored(picture(), "PNG")[:-60], "truncated or damaged"),
        (stored(picture(), "JPEG")[:300], "not an image|truncated or damaged"),
    ],
)
def test_what_is_no_image_is_said(
    content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some packages have Pillow show half of a picture; a worker imports none of them.
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    with pytest.raises(MediaError, match=said):
        read(content)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    flat = PIL.Image.new("1", (20_000, 20_000))
    content = stored(flat, "PNG", optimize=True)
    assert len(content) < 1_000_000
    with pytest.raises(MediaError, match="too large"):
        read(content)
    with pytest.raises(MediaError, match="too large: 37x23 is over the limit of 100 pixels"):
        read(stored(picture(), "PNG"), image_pixels=100)
    with pytest.raises(MediaError, match="too large"):
        convert_picture(flat, MOST)


@pytest.mark.parametrize("size", [(1, 201), (30_000, 1)])
def test_one_that_the_model_s_processor_refuses_is_refused_here(size: tuple[int, int]) -> None:
    image = picture(size=size)
    with pytest.raises(MediaError, match=f"its picture of {size[0]}x{size[1]} is too narrow"):
        read(stored(image, "PNG"))
    with pytest.raises(MediaError, match="too narrow"):
        convert_picture(image, MOST)
    assert read(stored(picture(size=(1, 200)), "PNG")).shape == (200, 1, 3)


def test_files_that_are_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="the file does not exist"):
        read(tmp_path / "none.png")
    with pytest.raises(MediaError, match="it is a directory, not an image file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (np.zeros((4, 4), np.uint8), r"an array \(4, 4\) of uint8 is no \(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "of float32 is no"),
        (object(), "an array .* of object is no"),
        ("text", "is no"),
    ],
)
def test_what_is_no_picture_is_said(what: Any, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        convert_picture(what, MOST)


# ---- frames that are there as pictures ----


def test_frames_become_a_silent_clip_of_one_size() -> None:
    frames = [picture(size=(64, 48)), np.asarray(picture(size=(128, 96))), picture("L", (64, 48))]
    clip = clip_of(VideoFrames(frames), Sampling(min_pixels=256, factor=16), Limits())
    assert clip.frames.shape == (3, 48, 64, 3)
    assert (clip.fps, clip.duration, clip.times.tolist()) == (2.0, 1.5, [0.0, 0.5, 1.0])
    assert (clip.sound, clip.sound_missing) == (None, "frames without sound")
    assert np.array_equal(clip.frames[0], np.asarray(frames[0]))


@pytest.mark.parametrize("other", [(1, 1), (65, 48), (640, 480), (100, 2000)])
def test_frames_of_other_sizes_become_as_large_as_the_first(other: tuple[int, int]) -> None:
    """Also where one side grows and the other shrinks a lot, of which libswscale crashes."""
    frames = [picture(size=(2000, 20)), picture(size=other), picture(size=(2000, 20))]
    clip = clip_of(VideoFrames(frames), Sampling(), Limits())
    assert clip.frames.shape == (3, 28, 1988, 3)
    assert np.array_equal(clip.frames[2], clip.frames[0])


def test_of_too_many_frames_some_are_taken_evenly() -> None:
    frames = [PIL.Image.new("RGB", (32, 32), (n, n, n)) for n in range(100)]
    clip = clip_of(VideoFrames(frames, fps=10.0), Sampling(frames=4, factor=16), Limits())
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 33, 66, 99]
    assert clip.times == pytest.approx([0.0, 3.3, 6.6, 9.9])
    assert clip.fps == pytest.approx(1 / 3.3)
    assert clip.duration == 10.0


@pytest.mark.parametrize("count", [12, 5, 2])
def test_frames_of_a_file_are_those_of_the_file(count: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=0.48, audio=None)
    own = {"min_pixels": 160 * 120, "max_pixels": 10**6, "factor": 1}
    sampling, pictures = Sampling(frames=count, **own), read_clip(path, Sampling(**own)).frames
    expected, clip = (
        read_clip(path, sampling),
        clip_of(VideoFrames(pictures, 25), sampling, Limits()),
    )
    assert np.array_equal(clip.frames, expected.frames)
    assert clip.times == pytest.approx(expected.times)
    assert (clip.fps, clip.duration) == pytest.approx((expected.fps, expected.duration))
