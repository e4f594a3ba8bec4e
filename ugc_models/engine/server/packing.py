"""A clip as one file for the way to a server: the engine's own frames and sound, nothing lost.

``vllm serve`` interleaves sound with a video only where both come out of one file. So frames that
were chosen and scaled already go into a small one: lossless H.264 in RGB and the samples as 32-bit
floats, in QuickTime. OpenCV (the server's default decoder) and PyAV both give back every bit.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

MEDIA_TYPE = "video/quicktime"

_SOUND_RATE = 16_000
_FRAME_RATE = 1
"""Frames per second that the file claims; the true rate is sent beside it. At two or less, vLLM's
loaders that sample by time keep every frame; a higher one would lose some."""


def pack(frames: npt.NDArray[Any], sound: npt.NDArray[Any] | None) -> bytes:
    """Return a file of frames, (T, H, W, 3) uint8, and sound, (N,) float32 at 16 kHz.

    An odd last frame is doubled, which is what the model's processor does with it: loaders that
    count in pairs would drop it instead. Raises ``ValueError`` where PyAV cannot write it.
    """
    import av

    if len(frames) % 2:
        frames = np.concatenate([frames, frames[-1:]])
    buffer = BytesIO()
    try:
        with av.open(buffer, "w", format="mov") as container:
            _write(container, frames, sound)
    except av.error.FFmpegError as error:
        raise ValueError(f"PyAV does not write it ({error})") from None
    return buffer.getvalue()


def _write(container: Any, frames: npt.NDArray[Any], sound: npt.NDArray[Any] | None) -> None:
    import av

    _, height, width, _ = frames.shape
    # A quantizer of 0 is lossless; the preset only trades time for size.
    options = {"qp": "0", "preset": "ultrafast"}
    picture = container.add_stream("libx264rgb", rate=_FRAME_RATE, options=options)
    picture.width, picture.height, picture.pix_fmt = width, height, "bgr24"
    picture.codec_context.thread_count = 1  # the cores decode clips already
    if sound is not None:  # all streams before the first packet
        track = container.add_stream("pcm_f32le", rate=_SOUND_RATE, layout="mono")
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts = number
        container.mux(picture.encode(frame))
    container.mux(picture.encode(None))
    if sound is not None:
        samples = np.ascontiguousarray(sound)[np.newaxis]
        block = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        block.sample_rate, block.pts = _SOUND_RATE, 0
        container.mux(track.encode(block))
        container.mux(track.encode(None))
