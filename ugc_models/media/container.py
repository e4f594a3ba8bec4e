"""Opening a media file that may be hostile, and reading its packets and frames.

What is opened is a regular file on this machine and nothing else: libav would also take URLs,
devices, pipes and scripts that name other files (``concat:``, HLS and DASH playlists, image
sequences). Every error of libav leaves this package as a ``MediaError``, or is counted as damage.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import av
import av.error
from av.container import Flags
from av.stream import Disposition

from ugc_models.media.limits import Deadline, MediaError, OutOfMemoryError
from ugc_models.media.sparse import Step

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    Stream = VideoStream | AudioStream
Track = TypeVar("Track", "VideoStream", "AudioStream")

DEMUXERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg")
"""Self-contained media files: none of these formats makes libav open a second file."""

AUDIO_DEMUXERS = (
    *(*DEMUXERS, "wav", "w64", "aiff", "au", "caf", "mp3", "aac", "flac", "ac3", "eac3", "amr"),
    *("wv", "tta", "ape"),
)
"""Likewise, where sound is enough."""

_CONTAINER_OPTIONS = {
    "protocol_whitelist": "file",
    # An MP4 can say that its samples lie in another file. Off is libav's default; say so.
    "enable_drefs": "0",
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_SIGNATURES = (b"\x1aE\xdf\xa3", b"FLV", b"OggS")


@dataclass
class Damage:
    """What was wrong in a file that could be read all the same: packets and frames."""

    count: int = 0
    first: str = ""  # libav's words for the first of them

    def note(self, error: av.error.FFmpegError | None = None) -> None:
        self.count += 1
        if not self.first:
            words = str(error.strerror or "")[:80] if error is not None else ""
            # Where libav has no words for an error, PyAV gives its number.
            self.first = words if words and not words.startswith("Error number") else "damaged data"


class MediaFile:
    """An open file, with what was found damaged in it so far."""

    def __init__(self, container: InputContainer, deadline: Deadline) -> None:
        self.container = container
        self.damage = Damage()
        self._deadline = deadline

    def packets(self, stream: Stream | None = None) -> Iterator[Packet]:
        """Yield packets of a stream, or of all, up to where the file can be read no further."""
        demuxed = self.container.demux() if stream is None else self.container.demux(stream)
        most, count = self._deadline.limits.packets, 0
        while True:
            self._deadline.check_time()
            try:
                packet = next(demuxed, None)
            except (av.error.ExitError, MemoryError):
                raise
            except av.error.FFmpegError as error:
                self.damage.note(error)
                return
            if packet is None:
                return
            if packet.size == 0:
                continue  # the empty packet with which PyAV asks for a flush
            count += 1
            if count > most:
                raise MediaError(f"too large: a track has more than {most} packets")
            yield packet

    def decode(
        self,
        stream: Stream,
        steps: bytes | None = None,
        *,
        told: bool = True,
        packets: Iterator[Packet] | None = None,
        flush: bool = True,
    ) -> Iterator[Any]:
        """Yield the stream's ``VideoFrame`` or ``AudioFrame`` in the order of the decoder.

        What the decoder refuses is left out. ``steps`` has a ``sparse.Step`` for each packet, of
        which the decoder is ``told``, or which it does not get where it is to be left out.
        ``packets`` are those of the stream, where not from its beginning or (no ``flush``) not to
        its end.
        """
        # The last "packet" makes the decoder give out what it still holds.
        fed = chain(self.packets(stream) if packets is None else packets, [None] if flush else [])
        for packet, step in zip(fed, chain(steps or b"", repeat(Step.DECODE)), strict=False):
            if steps is not None and not told:
                if step == Step.LEAVE:
                    continue
            elif steps is not None:
                stream.codec_context.skip_frame = ("ALL", "NONREF", "DEFAULT")[step]
            try:
                frames = stream.decode(packet)
            except av.error.EOFError:
                continue  # a decoder that took this packet for the end
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                self.damage.note(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damage.note()
                yield frame


@contextmanager
def open_media(
    path: Path | bytes, deadline: Deadline, demuxers: Sequence[str] = DEMUXERS
) -> Iterator[MediaFile]:
    """Open a media file, or the content of one, for reading; close it in the end.

    Raises ``MediaError`` if it is not an existing regular file, or not a media file of a kind in
    ``demuxers``, or if anything in it makes libav give up later, inside the ``with``.
    """
    located = path if isinstance(path, bytes) else regular_file(path)
    try:
        # Options go to the container alone. PyAV reads past the end of its array of per-stream
        # ones when a damaged MPEG-TS grows streams while it is probed.
        with av.open(
            io.BytesIO(located) if isinstance(located, bytes) else str(located),
            "r",
            container_options={**_CONTAINER_OPTIONS, "format_whitelist": ",".join(demuxers)},
            metadata_errors="replace",
            timeout=deadline.left(),
        ) as container:
            # PyAV asks libav to make up missing times from the order of the packets, which is not
            # the order of the pictures (H.264 with B-frames in AVI). A missing time is missing.
            container.flags &= ~cast("int", Flags.gen_pts.value)
            yield MediaFile(container, deadline)
    except av.error.ExitError:
        deadline.check_time()
        raise MediaError("timed out: a read from the file did not come back") from None
    except MemoryError:  # libav's own, too, which is an FFmpegError
        raise OutOfMemoryError("too large: there is not enough memory to read it") from None
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(located, bytes) or demuxers != DEMUXERS:
            raise MediaError(
                f"not a recording that is read here, or damaged ({_words(error)})"
            ) from None
        raise MediaError(_unreadable(located, error)) from None


def decodable(tracks: Sequence[Track], best: object) -> Iterator[Track]:
    """Yield the tracks that have a decoder which opens, the best first; each is open afterwards.

    ``best`` is libav's choice, which is made without asking for a decoder. Then come tracks marked
    as default, those of more bits a second, those that the file names first.
    """

    def rank(track: Track) -> tuple[bool, bool, int, int]:
        default = bool(track.disposition & Disposition.default)
        bits = getattr(track.codec_context, "bit_rate", None) or 0
        return track is not best, not default, -bits, track.index

    return filter(_opens, sorted(tracks, key=rank))


def _opens(track: Stream) -> bool:
    # PyAV's stubs leave out that a stream of an unknown codec has no context.
    if track.codec_context is None:
        return False
    try:
        track.codec_context.open(strict=False)
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _words(error: OSError | av.error.FFmpegError) -> str:
    return str(error.strerror or type(error).__name__)[:80]


def regular_file(path: Path, what: str = "a video") -> Path:
    """Return the absolute path of a regular file; raise ``MediaError`` where there is none."""
    try:
        # Absolute, so that no part of the name reads as a protocol ("concat:", "http:", "-").
        located = path.absolute()
        status = located.stat()
    except FileNotFoundError:
        raise MediaError("the file does not exist") from None
    except (OSError, ValueError):
        raise MediaError("the file cannot be opened") from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"it is a directory, not {what} file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("it is not a regular file")
    if status.st_size == 0:
        raise MediaError("the file is empty")
    return located


def _unreadable(path: Path, error: OSError | av.error.FFmpegError) -> str:
    if isinstance(error, PermissionError):
        return "the file may not be read by this user"
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return "the file cannot be opened"
    known = head[4:8] in _BOXES or head.startswith(_SIGNATURES) or head[8:12] == b"AVI "
    if known:
        return "truncated or damaged: its headers cannot be read"
    return "not a video: no video container that is read here"
