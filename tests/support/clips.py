"""Real video files for tests, made on the spot by PyAV's encoders.

Every frame carries its number in black and white blocks (``read_index``) and has four corners of
different colours (``CORNERS``), so that a test can tell which frame it was given, and which way up,
after any scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import av
import numpy as np
from av.stream import Disposition

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

Layout = Literal["mono", "stereo", "5.1"]

CORNERS = {
    "top left": (200, 40, 40),
    "top right": (40, 180, 40),
    "bottom left": (40, 40, 200),
    "bottom right": (200, 200, 40),
}
_COLUMNS, _ROWS = 6, 2
_BITS = _COLUMNS * _ROWS
_TICKS = 60_000  # a second of variable frame rate; MPEG-4 allows no more than 65535
_BT709, _BT601 = 1, 6
_FULL, _LIMITED = 2, 1
_MARGIN = 96  # pixels by which a filmed picture's camera may stray


@dataclass(frozen=True)
class _Look:
    """How a frame is stored."""

    width: int
    height: int
    rotation: int
    pix_fmt: str
    full_range: bool
    bt709: bool
    seed: int
    filmed: bool = False


def write_clip(
    path: Path,
    *,
    width: int = 160,
    height: int = 120,
    fps: int | Fraction = 25,
    seconds: float = 4.0,
    times: Sequence[float] | None = None,
    audio: Layout | None = "stereo",
    audio_rate: int = 44_100,
    audio_seconds: float | None = None,
    audio_later: Callable[[float], float] = lambda _: 0.0,
    audio_codec: str = "aac",
    loudness: float = 0.4,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: Literal[0, 90, 180, 270] = 0,
    pixel_aspect: Fraction = Fraction(1),
    full_range: bool = False,
    bt709: bool = False,
    b_frames: int = 0,
    gop: int = 12,
    fragmented: bool = False,
    faststart: bool = False,
    seed: int = 0,
    filmed: bool = False,
) -> Path:
    """Write a video file and return its path; the container is that of the path's suffix.

    ``width`` and ``height`` are those of the upright picture, before ``pixel_aspect`` stretches it;
    ``rotation`` is the clockwise turn that a player gives the stored picture. ``times`` (seconds,
    ascending) replaces ``fps`` and ``seconds`` for a variable frame rate. The sound is a rising
    tone with peaks of about ``loudness``, a quarter as loud in each further channel, as long as the
    picture unless ``audio_seconds`` says otherwise; ``audio_later`` says by how many seconds its
    packets are later than they would be, given their time. ``seed`` varies background and tone.
    ``filmed`` pictures carry no number: they are textured, under an unsteady camera, and take as
    long to decode as what such services send, where flat ones take half of that.
    """
    shown = _times(fps, seconds, times)
    heard = audio_seconds if audio_seconds is not None else shown[-1] + 1 / float(fps)
    tick = Fraction(1, _TICKS) if times is not None else 1 / Fraction(fps)
    turned = rotation in (90, 270)
    look = _Look(width, height, rotation, pix_fmt, full_range, bt709, seed, filmed)
    flags = [name for name, on in (("faststart", faststart), ("frag_keyframe", fragmented)) if on]
    if fragmented:
        flags.append("empty_moov")
    options = {"movflags": "+".join(flags)} if flags else {}
    with av.open(str(path), "w", container_options=options) as container:
        video = cast("VideoStream", container.add_stream(codec, rate=Fraction(fps)))
        context = video.codec_context
        context.width, context.height = (height, width) if turned else (width, height)
        context.pix_fmt = pix_fmt
        context.time_base = tick
        context.gop_size = gop
        context.max_b_frames = b_frames
        context.sample_aspect_ratio = 1 / pixel_aspect if turned else pixel_aspect
        context.color_range = _FULL if full_range else _LIMITED
        context.colorspace = _BT709 if bt709 else _BT601
        if codec == "libx264":
            quick = (
                {"preset": "veryfast", "crf": "26"}
                if filmed
                else {"preset": "ultrafast", "crf": "18"}
            )
            context.options = {**quick, "bf": str(b_frames)}
        elif codec == "libx265":
            context.options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}
        sound, samples = None, np.zeros((1, 0), np.float32)
        if audio is not None:
            added = container.add_stream(audio_codec, rate=audio_rate, layout=audio)
            sound = cast("AudioStream", added)
            if audio_codec.startswith("wma"):  # its encoder has no rate of its own
                sound.bit_rate = 128_000
            samples = loudness * _tone(audio, audio_rate, heard, seed)
        # Both tracks are written in step, a second at a time, as recorders do.
        sent = 0
        for index, at in enumerate(shown):
            frame = _frame(index, look)
            frame.pts, frame.time_base = round(at / tick), tick
            container.mux(video.encode(frame))
            if sound is not None and at * audio_rate > sent + audio_rate:
                sent = _write_sound(
                    container, sound, samples, (sent, sent + audio_rate), audio_later
                )
        container.mux(video.encode(None))
        if sound is not None:
            _write_sound(container, sound, samples, (sent, samples.shape[1]), audio_later)
            container.mux(_moved(sound.encode(None), audio_later))
    if rotation:
        _set_rotation(path, rotation)
    return path


def write_song(path: Path) -> Path:
    """Write a second of sound with a cover picture, an .m4a or .mp3 file, and return its path."""
    codec, container_format = {".m4a": ("aac", "mp4"), ".mp3": ("libmp3lame", "mp3")}[path.suffix]
    with av.open(str(path), "w", format=container_format) as container:
        sound = cast("AudioStream", container.add_stream(codec, rate=44_100, layout="stereo"))
        cover = cast("VideoStream", container.add_stream("mjpeg", rate=1))
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        # The stubs want the flag; the setter takes only its number.
        cover.disposition = Disposition.attached_pic.value  # type: ignore[assignment]
        container.mux(cover.encode(_frame(0, _Look(64, 64, 0, "yuvj420p", True, False, 0))))
        container.mux(cover.encode(None))
        _write_sound(container, sound, 0.4 * _tone("stereo", 44_100, 1.0, 0), (0, 44_100))
        container.mux(sound.encode(None))
    return path


def read_index(frame: NDArray[np.uint8]) -> int:
    """Return the number that an upright frame, RGB (H, W, 3) of any size, carries in its middle."""
    height, width = frame.shape[:2]
    light = frame.mean(axis=2)
    index = 0
    for bit in range(_BITS):
        row, column = divmod(bit, _COLUMNS)
        y = (0.25 + 0.5 * (row + 0.5) / _ROWS) * height
        x = (column + 0.5) / _COLUMNS * width
        block = light[int(y - 1) : int(y + 2), int(x - 1) : int(x + 2)]
        index |= int(block.mean() > 128) << bit
    return index


def read_corners(frame: NDArray[np.uint8]) -> dict[str, tuple[int, ...]]:
    """Return the colours of a frame's four corners, to be compared with ``CORNERS``."""
    height, width = frame.shape[:2]
    tall, wide = max(1, height // 16), max(1, width // 16)
    rows = {"top": slice(tall, 2 * tall), "bottom": slice(height - 2 * tall, height - tall)}
    columns = {"left": slice(wide, 2 * wide), "right": slice(width - 2 * wide, width - wide)}
    return {
        f"{row} {column}": tuple(
            round(level) for level in frame[rows[row], columns[column]].mean(axis=(0, 1))
        )
        for row in rows
        for column in columns
    }


def _times(fps: int | Fraction, seconds: float, times: Sequence[float] | None) -> list[float]:
    if times is not None:
        return list(times)
    return [float(index / Fraction(fps)) for index in range(max(1, round(seconds * float(fps))))]


def _frame(index: int, look: _Look) -> av.VideoFrame:
    picture = np.ascontiguousarray(np.rot90(_draw(index, look), look.rotation // 90))
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    stored = frame.reformat(
        format=look.pix_fmt,
        dst_colorspace="ITU709" if look.bt709 else "ITU601",
        dst_color_range="JPEG" if look.full_range else "MPEG",
    )
    stored.colorspace = _BT709 if look.bt709 else _BT601
    stored.color_range = _FULL if look.full_range else _LIMITED
    return stored


def _draw(index: int, look: _Look) -> NDArray[np.uint8]:
    """Draw the upright picture: number in the middle half, corners and a moving block around it."""
    height, width = look.height, look.width
    if look.filmed:
        return _filmed(index / 30, width, height, look.seed)
    picture = np.full((height, width, 3), 96 + 16 * (look.seed % 4), np.uint8)
    top, bottom, side = height // 4, height - height // 4, width // 4
    block = max(2, side // 2)
    left = side + (index * 3) % max(1, width - 2 * side - block)
    picture[:top, left : left + block] = 255
    for name, colour in CORNERS.items():
        row, column = name.split()
        rows = slice(0, top) if row == "top" else slice(bottom, height)
        columns = slice(0, side) if column == "left" else slice(width - side, width)
        picture[rows, columns] = colour
    rows_at = np.linspace(height * 0.25, height * 0.75, _ROWS + 1).round().astype(int)
    columns_at = np.linspace(0, width, _COLUMNS + 1).round().astype(int)
    for bit in range(_BITS):
        row_at, column_at = divmod(bit, _COLUMNS)
        picture[
            rows_at[row_at] : rows_at[row_at + 1], columns_at[column_at] : columns_at[column_at + 1]
        ] = 255 * (index >> bit & 1)
    return picture


def _filmed(at: float, width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Draw a textured scene ``at`` seconds, a figure moving in it, with some grain."""
    scene = _texture(width + 2 * _MARGIN, height + 2 * _MARGIN, seed)
    x = round(_MARGIN * (1 + 0.9 * np.sin(0.7 * at)))
    y = round(_MARGIN * (1 + 0.9 * np.sin(1.1 * at + 1)))
    light = scene[y : y + height, x : x + width].copy()
    left = round(width / 4 * (1 + 0.9 * np.sin(2.3 * at)))
    top = round(height / 4 * (1 + 0.5 * np.sin(3.1 * at)))
    light[top : top + height // 2, left : left + width // 2] = (
        240 - scene[: height // 2, : width // 2]
    )
    light += _grain(width, height, round(30 * at) % 6)
    return np.repeat(light[..., None], 3, axis=2)


@cache
def _texture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Return smooth noise at several scales, as walls, skin and leaves are, uint8 (H, W)."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for step, weight in ((128, 4.0), (32, 2.0), (8, 1.0), (2, 0.4)):
        coarse = random.random((height // step + 2, width // step + 2), dtype=np.float32)
        total += weight * np.kron(coarse, np.ones((step, step), np.float32))[:height, :width]
    total = (total - total.min()) / (total.max() - total.min())
    return np.asarray(40 + 160 * total, dtype=np.uint8)


@cache
def _grain(width: int, height: int, number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 5, (height, width), dtype=np.uint8)


def _tone(layout: Layout, rate: int, seconds: float, seed: int) -> NDArray[np.float32]:
    """Return a rising tone with a little noise, float32 (channels, samples)."""
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(at.size)
    wave = np.sin(2 * np.pi * (300 + 40 * seed + 150 * at) * at) + 0.05 * noise
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    gains = np.array([0.25**channel for channel in range(channels)])
    return np.asarray(gains[:, None] * wave[None], dtype=np.float32)


def _write_sound(
    container: av.container.OutputContainer,
    stream: AudioStream,
    samples: NDArray[np.float32],
    span: tuple[int, int],
    later: Callable[[float], float] = lambda _: 0.0,
) -> int:
    """Encode the samples from the first of ``span`` to the second and return where they end."""
    rate = stream.codec_context.sample_rate
    layout = stream.codec_context.layout.name
    wanted = stream.codec_context.format.name
    start, end = span[0], min(span[1], samples.shape[1])
    for at in range(start, end, 1024):
        block = samples[:, at : min(at + 1024, end)]
        if wanted == "s16":
            levels = np.clip(np.round(block * 32768), -32768, 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(levels.T.reshape(1, -1), "s16", layout)
        elif wanted == "flt":
            frame = av.AudioFrame.from_ndarray(block.T.reshape(1, -1), "flt", layout)
        else:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        container.mux(_moved(stream.encode(frame), later))
    return end


def _moved(packets: list[av.Packet], later: Callable[[float], float]) -> list[av.Packet]:
    for packet in packets:
        at = packet.pts or 0
        packet.pts = packet.dts = at + round(later(float(at * packet.time_base)) / packet.time_base)
    return packets


def _set_rotation(path: Path, rotation: int) -> None:
    """Write the display matrix into the video track's header: PyAV has no call for it.

    ``tkhd`` (ISO/IEC 14496-12, 8.3.2) is patched in place: its matrix lies 36 bytes before the
    track's width and height, which end the box; a sound track's are 0.
    """
    quarter = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotation]
    a, b, c, d = (value << 16 for value in quarter)
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=">i4").tobytes()
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd")
    while at >= 0:
        end = at - 4 + int.from_bytes(data[at - 4 : at], "big")
        if any(data[end - 8 : end]):
            data[end - 44 : end - 8] = matrix
        at = data.find(b"tkhd", end)
    path.write_bytes(data)
