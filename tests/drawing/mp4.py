"""Frames and samples into an MP4 file of H.264 and AAC."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    import numpy as np
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from numpy.typing import NDArray

_TICKS = 90_000  # a second, the customary clock of video: every frame rate used here fits it
_AAC_FRAME = 1024
# What makes the same pictures the same file: one thread, since the output depends on their number;
# no macroblock tree, whose vector code reads memory that nobody has set (seen with
# MALLOC_PERTURB_); and "bitexact", which leaves version stamps out.
_H264 = {"crf": "30", "preset": "veryslow", "threads": "1", "x264-params": "mbtree=0"}
_CONTAINER = {"fflags": "+bitexact", "movflags": "+faststart"}


def write_mp4(
    path: Path,
    pictures: Iterable[tuple[float, NDArray[np.uint8]]],
    *,
    size: tuple[int, int],
    frame_rate: int,
    sound: NDArray[np.float32] | None,
    sample_rate: int,
) -> None:
    """Encode to `path`.

    pictures: (seconds, RGB of shape (height, width, 3)), in rising order of time.
    size: width and height of the pictures. sound: (1 or 2 channels, samples), or None.
    """
    with av.open(str(path), "w", format="mp4", options=_CONTAINER) as container:
        video = container.add_stream("libx264", rate=frame_rate, options=_H264)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, _TICKS)
        video.codec_context.flags |= av.codec.context.Flags.bitexact
        audio = None if sound is None else _aac_stream(container, len(sound), sample_rate)
        for seconds, pixels in pictures:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round(seconds * _TICKS)
            frame.time_base = Fraction(1, _TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            _write_sound(container, audio, sound, sample_rate)


def _aac_stream(container: OutputContainer, channels: int, sample_rate: int) -> AudioStream:
    layout = {1: "mono", 2: "stereo"}[channels]
    stream = container.add_stream("aac", rate=sample_rate, layout=layout)
    stream.bit_rate = 40_000 * channels
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _write_sound(
    container: OutputContainer,
    stream: AudioStream,
    sound: NDArray[np.float32],
    sample_rate: int,
) -> None:
    for start in range(0, sound.shape[1], _AAC_FRAME):
        block = sound[:, start : start + _AAC_FRAME].copy()  # PyAV wants it contiguous
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=stream.layout.name)
        frame.sample_rate = sample_rate
        frame.pts = start
        frame.time_base = Fraction(1, sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
