"""Whether a file is a whole clip, found by decoding its beginning and its end.

What is looked at may be hostile: only self-contained media files on this machine are opened, in
bounded time and size. That their tracks decode without damage all along is for whoever reads them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SHORTEST_S, LONGEST_S = 1.0, 120.0
"""The benchmark's clips last 8 to 60 s; what is far from that is an error page or another video."""

MAX_CLIP_BYTES = 256 << 20
_MAX_SIDE = 8192
_TAIL_S = 0.5
_BUDGET_S = 60.0
_OPTIONS = {
    "format_whitelist": "mov,matroska",
    "protocol_whitelist": "file",
    # An MP4 may say that its samples lie in another file. Off is libav's default; say so.
    "enable_drefs": "0",
}


class ClipFault(ValueError):
    """A file is no usable clip; the message is a clause that says why."""


def admit(temporary: Path, target: Path) -> float:
    """Check a clip, then move it to its place in one step; return its length in seconds.

    Raises:
        ClipFault: it is no usable clip. The file at ``target``, if any, is as it was.
        OSError: it could not be moved.
    """
    seconds = check_clip(temporary)
    with temporary.open("rb") as written:
        os.fsync(written.fileno())  # a machine that stops must not leave a name without content
    temporary.replace(target)
    return seconds


def check_clip(path: Path) -> float:
    """Return a clip's length in seconds, as its container says.

    Raises:
        ClipFault: it is no video file, has no picture that decodes at its beginning or in its last
            seconds, or has no plausible length.
    """
    import av.error

    # libav would also read pipes and devices.
    try:
        info = path.stat()
    except OSError as error:
        raise ClipFault(f"it cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(info.st_mode):
        raise ClipFault("it is not a regular file")
    if info.st_size > MAX_CLIP_BYTES:
        raise ClipFault(f"it is larger than {MAX_CLIP_BYTES >> 20} MiB")
    give_up = time.monotonic() + _BUDGET_S
    try:
        # The absolute path: a relative one may look like an address ("http:x.mp4").
        with av.open(
            str(path.absolute()),
            "r",
            container_options=_OPTIONS,
            metadata_errors="replace",
            timeout=_BUDGET_S,
        ) as container:
            seconds = _check(container, give_up)
    except (av.error.FFmpegError, OSError) as error:
        said = (str(error.strerror or "") or type(error).__name__)[:100]
        raise ClipFault(f"it is not a readable video file ({said})") from None
    except MemoryError:
        raise ClipFault("there is not enough memory to read it") from None
    return seconds


def _check(container: InputContainer, give_up: float) -> float:
    import av

    pictures = [s for s in container.streams.video if not _is_cover(s)]
    if not pictures:
        raise ClipFault("it has no picture")
    picture = pictures[0]
    if max(picture.codec_context.width, picture.codec_context.height) > _MAX_SIDE:
        raise ClipFault(f"its picture is larger than {_MAX_SIDE} pixels a side")
    picture.thread_count = 1  # clips are checked side by side
    seconds = _length(container, picture)
    if next(_frames(container, picture, give_up), None) is None:
        raise ClipFault("its picture does not decode")
    start = container.start_time or 0
    # Where only the whole file's length is known, its sound may last longer than its picture.
    tail = min(_TAIL_S if picture.duration is not None else 4 * _TAIL_S, seconds / 4)
    container.seek(start + int((seconds - tail) * av.time_base), backward=True)
    last = max((_end(frame) for frame in _frames(container, picture, give_up)), default=0.0)
    if last - start / av.time_base < seconds - tail:
        raise ClipFault(f"it is cut short: its picture ends before {seconds:.1f} s, as it says")
    return seconds


def _end(frame: VideoFrame) -> float:
    """Return when a picture gives way, in seconds; the last may be shown for long."""
    shown = frame.duration * frame.time_base if frame.duration and frame.time_base else 0
    return (frame.time or 0.0) + float(shown)


def _is_cover(stream: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _length(container: InputContainer, picture: VideoStream) -> float:
    import av

    if picture.duration is not None and picture.time_base is not None:
        seconds = float(picture.duration * picture.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    else:
        raise ClipFault("it does not say how long it is")
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ClipFault(f"it lasts {seconds:.1f} s, which is not {SHORTEST_S:g} to {LONGEST_S:g} s")
    return seconds


def _frames(
    container: InputContainer, picture: VideoStream, give_up: float
) -> Iterator[VideoFrame]:
    """Yield decoded pictures; damage in one of them is for the reader, the next may be whole."""
    import av.error

    for packet in container.demux(picture):
        if time.monotonic() > give_up:
            raise ClipFault(f"it takes more than {_BUDGET_S:g} s to look at")
        try:
            yield from picture.decode(packet)
        except av.error.InvalidDataError:
            continue
