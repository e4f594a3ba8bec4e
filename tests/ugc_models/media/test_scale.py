"""Colour and sharpness of the small frames."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.clips import CORNERS, read_corners, write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.sampling import Sampling
from ugc_models.media.scale import Orientation, Scaler

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

STORED: dict[str, dict[str, Any]] = {
    "BT.601": {},
    "BT.709": {"bt709": True},
    "BT.709, full range": {"bt709": True, "full_range": True},
    "BT.601, full range": {"full_range": True},
    "10 bits, BT.709": {"pix_fmt": "yuv420p10le", "bt709": True},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "HEVC, BT.709": {"codec": "libx265", "bt709": True},
    "HEVC, 10 bits, full range": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "full_range": True,
    },
}


@pytest.mark.parametrize("name", STORED)
def test_colours_are_those_that_were_filmed(name: str, tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", seconds=0.2, audio=None, **STORED[name]))
    for corner, colour in read_corners(clip.frames[-1]).items():
        assert colour == pytest.approx(CORNERS[corner], abs=4), corner


@pytest.mark.parametrize(
    ("code", "red", "blue"),
    [
        *((1, 0.2126, 0.0722), (2, 0.299, 0.114), (4, 0.3, 0.11), (5, 0.299, 0.114)),
        *((6, 0.299, 0.114), (7, 0.212, 0.087), (9, 0.2627, 0.0593), (10, 0.2627, 0.0593)),
    ],
)
def test_colours_are_undone_by_the_matrix_that_they_were_stored_by(
    code: int, red: float, blue: float
) -> None:
    """ITU-T H.273's codes, 2 for none stated, with the shares of red and blue in the luma."""
    colour = np.array([200, 60, 20])
    luma = colour @ [red, 1 - red - blue, blue]
    chroma = [112 / 255 * (colour[at] - luma) / (1 - share) for at, share in ((2, blue), (0, red))]
    levels = (16 + 219 / 255 * luma, 128 + chroma[0], 128 + chroma[1])
    shown = flat([round(level) for level in levels], code)
    assert np.abs(shown - colour).max() <= 2


def flat(levels: Sequence[int], code: int) -> NDArray[np.uint8]:
    """Return the small frame, (N, 3), of a picture of one colour, stored by a matrix."""
    frame = av.VideoFrame(320, 240, "yuv420p")
    for plane, level in zip(frame.planes, levels, strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    frame.colorspace = code
    return Scaler(Sampling(), None)(frame).reshape(-1, 3)


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj444p", "xyz12le"])
def test_formats_that_say_by_themselves_what_levels_mean_are_understood(pix_fmt: str) -> None:
    """Motion JPEG's full range, whatever is stated beside, and what digital cinema has."""
    colour = np.array([200, 60, 20], np.uint8)
    frame = av.VideoFrame.from_ndarray(np.broadcast_to(colour, (64, 64, 3)).copy(), format="rgb24")
    stored = frame.reformat(format=pix_fmt, dst_colorspace="ITU601", dst_color_range="JPEG")
    stored.colorspace, stored.color_range = 2, 0  # nothing is stated
    shown = Scaler(Sampling(), None)(stored).astype(int)
    assert np.abs(shown - colour).max() <= 3


def test_colours_of_flat_areas_are_right_to_the_level() -> None:
    """By libswscale's short cuts they would be off by up to three."""
    for luma, blue, red in [(60, 120, 170), (96, 90, 150), (123, 140, 101), (180, 131, 119)]:
        y, cb, cr = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
        r, b = y + 1.402 * cr, y + 1.772 * cb
        exact = 255 * np.array([r, (y - 0.299 * r - 0.114 * b) / 0.587, b])
        assert np.abs(flat((luma, blue, red), 6) - exact).max() <= 1


QUARTERS = ((200, 60, 20), (0, 0, 0), (255, 255, 255), (20, 30, 240))
"""The colours of a picture's quarters, row by row."""
WIDTH, HEIGHT = 320, 240
LOSSLESS = {"qp": "0"}

NOT_YUV: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "H.264 of a screen recorder": ("a.mp4", "libx264rgb", "rgb24", LOSSLESS),
    "H.264 from BGR": ("a.mkv", "libx264rgb", "bgr24", LOSSLESS),
    "HEVC": ("a.mp4", "libx265", "gbrp", {"x265-params": "lossless=1:log-level=none:pools=1"}),
    "VP9": ("a.webm", "libvpx-vp9", "gbrp", {"lossless": "1"}),
    "QuickTime Animation": ("a.mov", "qtrle", "rgb24", {}),
    "QuickTime Animation with alpha": ("a.mov", "qtrle", "argb", {}),
    "packed with padding": ("a.mkv", "ffv1", "bgr0", {}),
    "planar, 10 bits": ("a.mkv", "ffv1", "gbrp10le", {}),
    "planar, 10 bits, alpha": ("a.mkv", "ffv1", "gbrap10le", {}),
    "16 bits": ("a.mkv", "ffv1", "rgb48le", {}),
    "PNG": ("a.mov", "png", "rgb24", {}),
    "PNG with alpha": ("a.mov", "png", "rgba", {}),
    "PNG with a palette": ("a.mov", "png", "pal8", {}),
    "PNG, 16 bits": ("a.mov", "png", "rgb48be", {}),
    "raw BGR": ("a.avi", "rawvideo", "bgr24", {}),
    "raw, with a palette": ("a.avi", "rawvideo", "pal8", {}),
    "raw RGB, 16 bits": ("a.mov", "rawvideo", "rgb48be", {}),
    "HuffYUV": ("a.avi", "huffyuv", "rgb24", {}),
    "Ut Video": ("a.avi", "utvideo", "gbrp", {}),
    "Flash screen": ("a.flv", "flashsv", "bgr24", {}),
    "TIFF": ("a.mov", "tiff", "rgb24", {}),
}
"""Container, encoder, pixel format, the encoder's options."""


@pytest.mark.parametrize("scaling", ["smooth", "opencv"])
@pytest.mark.parametrize("name", NOT_YUV)
def test_colours_of_a_clip_that_is_stored_as_rgb_are_those_that_were_filmed(
    name: str, scaling: Any, tmp_path: Path
) -> None:
    file, codec, pix_fmt, options = NOT_YUV[name]
    write_quarters(tmp_path / file, codec, pix_fmt, options)
    clip = read_clip(tmp_path / file, Sampling(scaling=scaling))
    for colour, expected in zip(quarters(clip.frames[-1]), QUARTERS, strict=True):
        assert colour == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("pix_fmt", ["rgb555le", "rgb565be"])
def test_few_bits_a_colour_are_not_a_matrix_away(pix_fmt: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.avi" if pix_fmt.endswith("le") else "a.mov")
    write_quarters(path, "rawvideo", pix_fmt, {})
    for colour, expected in zip(quarters(read_clip(path).frames[0]), QUARTERS, strict=True):
        assert colour == pytest.approx(expected, abs=8)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (("a.mkv", "ffv1", "gray", None), 100),
        (("a.mkv", "ffv1", "gray", "JPEG"), 100),
        (("a.mkv", "ffv1", "gray", "MPEG"), 98),
        (("a.mkv", "ffv1", "gray10le", None), 100),
        (("a.mkv", "ffv1", "gray10le", "MPEG"), 98),
        (("a.mkv", "ffv1", "ya8", None), 100),
        (("a.mov", "png", "gray", None), 100),
        (("a.mov", "png", "ya8", None), 100),
        (("a.mov", "png", "gray16be", None), 100),
        (("a.avi", "rawvideo", "gray", None), 100),
    ],
)
def test_gray_is_full_range_unless_the_file_says_otherwise(
    how: tuple[str, str, str, str | None], expected: int, tmp_path: Path
) -> None:
    """A stored level of 100 of 255: (100 - 16) * 255 / 219 = 98 in limited range."""
    file, codec, pix_fmt, stated = how
    deep = pix_fmt not in ("gray", "ya8")
    level = 100 * 257 if "16" in pix_fmt else 100 * 1023 // 255 if deep else 100
    picture = np.full((HEIGHT, WIDTH), level, np.uint16 if deep else np.uint8)
    if pix_fmt == "ya8":
        frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="ya8")
    else:
        big = pix_fmt.endswith("be")
        frame = av.VideoFrame.from_ndarray(picture.byteswap() if big else picture, format=pix_fmt)
    write_frames(tmp_path / file, codec, frame, {}, stated)
    small = read_clip(tmp_path / file).frames[0]
    assert np.abs(small.astype(int) - expected).max() <= 1


def write_quarters(path: Path, codec: str, pix_fmt: str, options: dict[str, str]) -> None:
    """Write a clip of three frames in four colours."""
    numbers = np.arange(4, dtype=np.uint8).reshape(2, 2)
    numbers = numbers.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)
    if pix_fmt == "pal8":
        palette = np.full((256, 4), 255, np.uint8)
        palette[:4, 1:] = QUARTERS
        frame = av.VideoFrame.from_ndarray((numbers, palette), format="pal8")  # type: ignore[arg-type]
    else:
        picture = np.array(QUARTERS, np.uint8)[numbers]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
    write_frames(path, codec, frame, options, None)


def write_frames(
    path: Path, codec: str, frame: av.VideoFrame, options: dict[str, str], stated: str | None
) -> None:
    """Write one frame three times; ``stated`` is the range of levels that the file announces."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=10))
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        stream.codec_context.options = options
        code = {None: 0, "MPEG": 1, "JPEG": 2}[stated]
        stream.codec_context.color_range = frame.color_range = code
        for index in range(3):
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def quarters(picture: NDArray[np.uint8]) -> list[tuple[float, ...]]:
    """Return the mean colours of a picture's quarters, away from where they meet."""
    height, width = picture.shape[:2]
    middles = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [
        tuple(picture[y - 8 : y + 8, x - 8 : x + 8].mean(axis=(0, 1)).tolist()) for y, x in middles
    ]


def test_shrinking_is_as_smooth_as_pillows_bicubic(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", width=960, height=544, seconds=0.2, audio=None)
    small = read_clip(path).frames[0]
    with av.open(str(path)) as container:
        full = next(container.decode(video=0)).to_ndarray(format="rgb24")
    height, width = small.shape[:2]
    reference = np.asarray(
        Image.fromarray(full).resize((width, height), Image.Resampling.BICUBIC), dtype=int
    )
    assert np.abs(reference - small).mean() < 1.0
    assert np.percentile(np.abs(reference - small), 99) < 25


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (Orientation(), [[1, 2], [3, 4]]),
        (Orientation(mirror_x=True), [[2, 1], [4, 3]]),
        (Orientation(mirror_y=True), [[3, 4], [1, 2]]),
        (Orientation(transpose=True), [[1, 3], [2, 4]]),
        (Orientation(transpose=True, mirror_x=True), [[3, 1], [4, 2]]),
        (Orientation(transpose=True, mirror_y=True), [[2, 4], [1, 3]]),
    ],
)
def test_a_picture_is_transposed_then_mirrored(
    turn: Orientation, expected: list[list[int]]
) -> None:
    picture = np.repeat(np.array([[1, 2], [3, 4]], np.uint8)[..., None], 3, axis=2)
    assert turn.apply(picture)[..., 0].tolist() == expected


@pytest.mark.parametrize("bt709", [False, True])
def test_frames_of_a_clip_are_those_of_the_published_loader(tmp_path: Path, *, bt709: bool) -> None:
    """OpenCV's capture, frames by number, its default scaling, BGR."""
    import cv2

    path = write_clip(
        tmp_path / "a.mp4", width=540, height=960, seconds=1.4, audio=None, bt709=bt709
    )
    capture, raw = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            break
        raw.append(frame)
    numbers = np.linspace(0, len(raw) - 1, 32, dtype=int)
    theirs = np.stack([cv2.resize(raw[number], (236, 422)) for number in numbers])

    sampling = Sampling(
        spread="count", scaling="opencv", factor=2, min_pixels=1, max_pixels=100_176
    )
    ours = read_clip(path, sampling).frames[..., ::-1]

    assert ours.shape == theirs.shape
    off = np.abs(ours.astype(int) - theirs)
    assert off.mean() < 0.5
    assert np.quantile(off, 0.999) <= 3


def test_opencv_is_imported_only_to_scale_as_it_does(tmp_path: Path) -> None:
    """It takes as long to import as all else that a decode worker needs."""
    path = write_clip(tmp_path / "a.mp4", seconds=0.4)
    script = (
        "import sys\n"
        "from ugc_models.media.clip import read_clip\n"
        "read_clip(sys.argv[1])\n"
        "assert 'cv2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=120)
