"""Clips out of a zip or tar archive that may be hostile.

Nothing is unpacked to a path that the archive names. A member called ``<video_id>.mp4`` of a wanted
clip, in whatever folder and case, is copied to a file of our own, checked, and moved to its place.
Headers and lists of members have a limit, and contents are read in pieces: nothing is read into
memory because an archive says so.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from ugc_tasks.common.files import DataError, open_file
from ugc_tasks.data.check import MAX_CLIP_BYTES, ClipFault, NotChecked, admit
from ugc_tasks.data.clips import staging
from ugc_tasks.data.home import video_path
from ugc_tasks.data.ledger import Ledger

MAX_TOTAL_BYTES = 64 << 30
MAX_RATIO = 20  # video hardly shrinks: an archive of clips unpacks to about its own size
SLACK = 32 << 20  # bytes that may come out whatever the ratio: headers and padding do shrink
_MAX_MEMBERS = 200_000
_MAX_DIRECTORY = 8 << 20  # bytes of a zip's list of members: 50,000 of them and more
_MAX_HEADER = 64 << 10  # bytes of a tar's header, with all that extends it
_PIECE = 1 << 18
_NO_END = "it is damaged or cut short (it ends without an end mark)"
_T = TypeVar("_T")
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


@dataclass
class Taken:
    """What came of an archive."""

    done: list[str] = field(default_factory=list)  # ids
    there: list[str] = field(default_factory=list)  # ids of clips that were there before
    refused: list[tuple[str, str]] = field(default_factory=list)  # members' names and reasons
    unknown: int = 0  # files that are no wanted clips
    example: str = ""  # the name of one of those
    cut: str | None = None  # why it was not read to its end


class BadArchive(ValueError):
    """An archive, or a member of one, cannot be read on; the message is a clause."""


class _Refused(ClipFault):
    """A member must not be taken."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int  # as the archive claims
    fault: str | None  # why it must not be taken
    alone: bool  # whether damage in it leaves the others whole
    open: Callable[[], IO[bytes]]


def take_from_archive(
    path: Path, wanted: Collection[str], folder: Path, ledger: Ledger, *, present: Collection[str]
) -> Taken:
    """Put the wanted clips of an archive into ``folder``, but those that are ``present``.

    It is a zip, or a tar, plain or compressed by gzip, bzip2 or xz, whatever its name. Raises
    ``DataError`` where it cannot be read or is no archive, or ``folder`` cannot be written to.
    """
    from tqdm import tqdm

    taken, seen, count = Taken(), set[str](), 0
    by_name = {f"{video_id}.mp4".casefold(): video_id for video_id in wanted}
    with open_file(path) as file, staging(folder) as scratch:
        left = most = min(MAX_TOTAL_BYTES, SLACK + MAX_RATIO * os.fstat(file.fileno()).st_size)
        members = _zip_members(file) if file.peek(2)[:2] == b"PK" else _tar_members(file, most)
        try:
            for member in tqdm(_guarded(members), desc="archive", unit="", disable=None):
                if (count := count + 1) > _MAX_MEMBERS:
                    raise BadArchive(f"it has more than {_MAX_MEMBERS} members")
                name = ascii(member.name)[1:-1][:200]
                try:
                    video_id = _clip_in(member, by_name, seen)
                    if video_id is None:
                        taken.unknown += 1
                        taken.example = taken.example or name.rpartition("/")[2]
                    elif video_id in present:
                        taken.there.append(video_id)
                    else:
                        with tempfile.TemporaryDirectory(dir=scratch) as own:
                            clip = Path(own, "clip.mp4")
                            with clip.open("wb") as written:
                                for block in _blocks(member, min(left, MAX_CLIP_BYTES)):
                                    left -= len(block)
                                    written.write(block)
                            admit(clip, video_path(folder, video_id), ledger)
                        taken.done.append(video_id)
                except ClipFault as fault:
                    of_clip = not isinstance(fault, _Refused | NotChecked)
                    taken.refused.append((name, f"{'it is no clip: ' if of_clip else ''}{fault}"))
                if left <= 0:
                    raise BadArchive(f"more than {most} bytes come out of it")
        except BadArchive as error:
            if not count:
                sentence = f"{path}: not a zip or tar archive that can be read: {error}"
                raise DataError(sentence) from None
            taken.cut = str(error)
        except OSError as error:
            raise DataError(f"{folder}: a clip cannot be written ({error.strerror})") from None
    return taken


def _clip_in(member: _Member, wanted: Mapping[str, str], seen: set[str]) -> str | None:
    """Return the id whose clip a member is, None for another file; raises ``_Refused``."""
    parts = member.name.replace("\\", "/").split("/")
    if not member.name.isprintable():
        raise _Refused("its name has control characters")
    if ".." in parts:
        raise _Refused("its path leads out of the archive (`..`)")
    if member.fault is not None:
        raise _Refused(member.fault)
    video_id = wanted.get(parts[-1].casefold())
    if video_id in seen:
        raise _Refused(f"the archive has {video_id} already: a duplicate")
    if video_id is not None:
        seen.add(video_id)
    return video_id


def _blocks(member: _Member, most: int) -> Iterator[bytes]:
    """Yield the content in pieces; raises ``_Refused``, or ``BadArchive`` where nothing follows."""
    if member.size > most:
        raise _Refused(f"it says that it has {member.size} bytes, more than {most}")
    left = most
    try:
        for block in _guarded(_content(member)):
            yield block
            if (left := left - len(block)) < 0:
                raise BadArchive(f"more than {most} bytes come out of it, whatever it says")
    except BadArchive as error:
        if not member.alone:
            raise
        raise _Refused(f"it cannot be unpacked: {error}") from None


def _content(member: _Member) -> Iterator[bytes]:
    with member.open() as content:
        yield from iter(lambda: content.read(_PIECE), b"")


def _guarded(items: Iterator[_T]) -> Iterator[_T]:
    """Turn whatever a reader raises into ``BadArchive``.

    On damaged input the standard library's readers raise nearly anything: ``MemoryError``,
    ``RecursionError``, ``struct.error``, ``NotImplementedError`` and others.
    """
    try:
        yield from items
    except BadArchive:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__)[:200]
        raise BadArchive(f"it is damaged or cut short ({said})") from None


def _zip_members(file: io.BufferedReader) -> Iterator[_Member]:
    with _ZipFile(file.fileno(), closefd=False) as plain, zipfile.ZipFile(plain) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                name = info.orig_filename  # not ``filename``, which ends at a NUL
                content = partial(archive.open, info)
                yield _Member(name, info.file_size, _zip_fault(info), True, content)


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "it is a link" if kind == stat.S_IFLNK else "it is a device or a pipe"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks these in one go, whatever comes out.
        return "it is packed by another method than deflate: pack the archive anew"
    return None


class _ZipFile(io.FileIO):
    """A file read in pieces; ``zipfile`` reads the list of members, and that alone, whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY:
            raise BadArchive(f"its list of members is larger than {_MAX_DIRECTORY >> 20} MiB")
        return super().read(-1 if size is None else size)


def _tar_members(file: io.BufferedReader, most_total: int) -> Iterator[_Member]:
    """Yield the files of a tar archive; a member can be opened until the next is asked for."""
    stream = _Unpacked(file, most_total)
    archive: Any = tarfile.TarFile(fileobj=cast("IO[bytes]", stream))
    info = archive.firstmember  # None where the archive is empty
    while info is not None:
        if not info.isdir():
            content = partial(archive.extractfile, info)
            yield _Member(info.name, info.size, _tar_fault(info), False, content)
        stream.seek(archive.offset)
        stream.expect_header()
        try:
            # Not TarFile.next, which takes a damaged header for the archive's end.
            info = tarfile.TarInfo.fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined,unused-ignore]
            return  # a block of zeros
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined,unused-ignore]
            raise BadArchive(_NO_END) from None


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "it is a link"
    if info.isdev():
        return "it is a device or a pipe"
    return None if info.isreg() and not info.issparse() else "it is no ordinary file"


class _Unpacked:
    """The uncompressed bytes of a tar archive, read forwards, under limits.

    ``tarfile`` reads as much as a header claims, recurses with each header that extends the next,
    and goes on reading blocks far beyond the file's end; the limits here end that soon.
    """

    def __init__(self, file: io.BufferedReader, most: int) -> None:
        start = file.peek(8)
        pack = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
        self._plain: IO[bytes] = pack(file) if pack else file
        self._most, self._position = most, 0
        self.expect_header()

    def expect_header(self) -> None:
        """Limit what is read from here on to what a header may have, until ``seek``."""
        self._header_ends = self._position + _MAX_HEADER

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Read on to a position; raises ``BadArchive`` where it is behind, or beyond the end."""
        if position < self._position:
            raise BadArchive("it is damaged or cut short (a size in it is no number)")
        self._header_ends = self._most + _PIECE  # no header here
        while self._position < position:
            if not self.read(min(_PIECE, position - self._position)):
                raise BadArchive(_NO_END)

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end; raises ``BadArchive``."""
        if self._position + size > self._header_ends:
            raise BadArchive(f"a header in it is larger than {_MAX_HEADER >> 10} KiB")
        found = bytearray()
        while len(found) < size and (block := self._plain.read(size - len(found))):
            found += block
        self._position += len(found)
        if self._position > self._most:
            raise BadArchive(f"more than {self._most} bytes come out of it")
        return bytes(found)
