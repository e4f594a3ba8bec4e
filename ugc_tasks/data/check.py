"""Whether a file is a whole clip: its beginning and its end are decoded, or all of it.

The file may be hostile: only self-contained media files on this machine are opened, and their size
and the time are bounded. Damage in the middle is not looked for; the reader of the clip finds it.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from ugc_tasks.data.home import clip_file
from ugc_tasks.data.ledger import Ledger

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

T = TypeVar("T")

# The benchmark's clips last 8 to 60 s; what is far from that is an error page or another video.
SHORTEST_S, LONGEST_S = 1.0, 120.0
MAX_CLIP_BYTES = 256 << 20
_MAX_SIDE = 8192
_TAIL_S = 0.5
_BUDGET_S = 60.0  # of this thread's CPU time, as a busy machine is not the clip's fault
_OPTIONS = {
    "format_whitelist": "mov,matroska",
    "protocol_whitelist": "file",
    # An MP4 may say that its samples lie in another file: not here (libav's default).
    "enable_drefs": "0",
}


class ClipFault(ValueError):
    """A file is no usable clip; the message is a clause that says why."""


class NotChecked(ClipFault):
    """A file could not be looked at now; nothing is known of it."""


@dataclass(frozen=True)
class ClipState:
    """A clip's state, and a clause that says why where it is not present."""

    state: Literal["present", "gone", "broken", "missing"]
    reason: str = ""


def admit(temporary: Path, target: Path, ledger: Ledger) -> None:
    """Check a clip, move it to its place in one step, and note both.

    Raises ``ClipFault`` or ``OSError``; the file at ``target``, if any, is then as it was.
    """
    check_clip(temporary)
    with temporary.open("rb") as written:
        os.fsync(written.fileno())  # or a power failure could leave the name without the content
    temporary.replace(target)
    ledger.note_checked(target, None)
    ledger.forget_dead(target.stem)


def check_clip(path: Path) -> float:
    """Return a clip's length in seconds, as its container says, or else as its picture lasts.

    ``ClipFault``: it is no video file, has no picture that decodes at its beginning or in its last
    seconds, or has no plausible length. ``NotChecked``: there is not enough memory.
    """
    return _opened(path, _check)


def a_picture(path: Path) -> VideoFrame:
    """Return a picture from about a third of a clip; raises as ``check_clip`` does."""
    return _opened(path, _a_picture)


def _opened(path: Path, look: Callable[[InputContainer, float], T]) -> T:
    """Return what ``look`` finds in a file, given until when its thread may compute."""
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
    give_up = time.thread_time() + _BUDGET_S
    try:
        # The absolute path: a relative one may look like an address ("http:x.mp4").
        with av.open(
            str(path.absolute()),
            "r",
            container_options=_OPTIONS,
            metadata_errors="replace",
            timeout=_BUDGET_S,
        ) as container:
            found = look(container, give_up)
    except MemoryError:  # libav's own, too, which is an FFmpegError
        raise NotChecked("there is not enough memory to check it") from None
    except (av.error.FFmpegError, OSError) as error:
        said = (str(error.strerror or "") or type(error).__name__)[:100]
        raise ClipFault(f"it is not a readable video file ({said})") from None
    return found


def _a_picture(container: InputContainer, give_up: float) -> VideoFrame:
    import av

    picture = _picture(container)
    if max(picture.codec_context.width, picture.codec_context.height) > _MAX_SIDE:
        raise ClipFault(f"its picture is larger than {_MAX_SIDE} pixels a side")
    if container.duration:
        with suppress(av.error.FFmpegError):  # some cannot be sought: the first picture will do
            container.seek(container.duration // 3, backward=True)
    found = next(_frames(container, picture, give_up), None)
    if found is None:
        raise ClipFault("its picture does not decode")
    return found


def survey(
    video_ids: Sequence[str], folder: Path, ledger: Ledger, *, workers: int
) -> dict[str, ClipState]:
    """Return each clip's state; a file that was not checked before, as it is now, is checked."""
    from tqdm import tqdm

    def look(video_id: str) -> ClipState:
        return _state(video_id, clip_file(folder, video_id), ledger)

    with ThreadPoolExecutor(workers) as pool:
        states = pool.map(look, video_ids)
        shown = tqdm(states, desc="checks", total=len(video_ids), unit="", disable=None)
        return dict(zip(video_ids, shown, strict=True))


def _state(video_id: str, path: Path, ledger: Ledger) -> ClipState:
    try:
        known, fault = ledger.checked(path)
        if not known:
            try:
                check_clip(path)
            except NotChecked as error:
                return ClipState("missing", f"{path.name}: {error}")
            except ClipFault as error:
                fault = str(error)
            ledger.note_checked(path, fault)
    except OSError:  # there is no such file
        dead = ledger.dead(video_id)
        return ClipState(dead.kind, dead.reason) if dead else ClipState("missing")
    return ClipState("broken", f"{path.name}: {fault}") if fault else ClipState("present")


def _check(container: InputContainer, give_up: float) -> float:
    import av

    picture = _picture(container)
    if max(picture.codec_context.width, picture.codec_context.height) > _MAX_SIDE:
        raise ClipFault(f"its picture is larger than {_MAX_SIDE} pixels a side")
    # The picture's own length, or else the whole file's, if one is stated.
    own = picture.duration is not None and picture.time_base is not None
    seconds, start = None, (container.start_time or 0) / av.time_base
    if picture.duration is not None and picture.time_base is not None:
        seconds = _plausible(float(picture.duration * picture.time_base))
        if picture.start_time is not None:
            start = float(picture.start_time * picture.time_base)
    elif container.duration is not None:
        seconds = _plausible(container.duration / av.time_base)
    if next(_frames(container, picture, give_up), None) is None:
        raise ClipFault("its picture does not decode")
    if seconds is not None:
        # Where only the whole file's length is known, its sound may last longer than its picture.
        tail = min(_TAIL_S if own else 4 * _TAIL_S, seconds / 4)
        container.seek(int((start + seconds - tail) * av.time_base), backward=True)
        last = max((_end(frame) for frame in _frames(container, picture, give_up)), default=start)
        if last - start >= seconds - tail:
            return seconds
    # The last pictures may need data from long before them, and other tracks may end later.
    decoded, shown, ended = _read_all(container, picture, give_up)
    if seconds is None:
        seconds = _plausible(shown - start)
        tail = min(_TAIL_S, seconds / 4)
    if own:
        short = decoded - start < seconds - tail
    else:
        short = decoded < shown - tail or ended - start < seconds - tail
    if short:
        raise ClipFault(f"it is cut short: its picture ends before {seconds:.1f} s, as it says")
    return seconds


def _read_all(
    container: InputContainer, picture: VideoStream, give_up: float
) -> tuple[float, float, float]:
    """Return when these end: the last picture that decodes, the last picture, the last track."""
    decoded = shown = ended = -math.inf
    container.seek(0)
    picture.codec_context.flush_buffers()
    for packet in container.demux():
        end = -math.inf
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        ended = max(ended, end)
        if packet.stream.index == picture.index:
            shown = max(shown, end)
            decoded = max([decoded, *map(_end, _decoded(packet, picture, give_up))])
    return decoded, shown, ended


def _picture(container: InputContainer) -> VideoStream:
    """Return the track that is looked at: the best of those that can be decoded."""
    import av.error
    from av.stream import Disposition

    cover = Disposition.attached_pic
    tracks = [track for track in container.streams.video if not track.disposition & cover]
    if not tracks:
        raise ClipFault("it has no picture")
    best = container.streams.best("video")
    for track in sorted(tracks, key=lambda track: track is not best):
        context = track.codec_context
        if context is None:  # PyAV's stubs leave out that there may be no decoder
            continue
        context.thread_count = 1  # clips are checked side by side
        try:
            context.open(strict=False)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):
            continue
        return track
    raise ClipFault("its picture does not decode")


def _end(frame: VideoFrame) -> float:
    """Return when a picture is no longer shown, in seconds; the last may be shown for long."""
    return (frame.time or 0.0) + float((frame.duration or 0) * (frame.time_base or 0))


def _plausible(seconds: float) -> float:
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ClipFault(f"it lasts {seconds:.1f} s, which is not {SHORTEST_S:g} to {LONGEST_S:g} s")
    return seconds


def _frames(
    container: InputContainer, picture: VideoStream, give_up: float
) -> Iterator[VideoFrame]:
    for packet in container.demux(picture):
        yield from _decoded(packet, picture, give_up)


def _decoded(packet: Packet, picture: VideoStream, give_up: float) -> Iterator[VideoFrame]:
    """Decode a packet; one that is damaged gives nothing, and the next may be whole."""
    import av.error

    if time.thread_time() > give_up:
        raise ClipFault(f"it takes more than {_BUDGET_S:g} s of CPU to look at")
    with suppress(av.error.InvalidDataError, av.error.EOFError):
        yield from picture.decode(packet)
