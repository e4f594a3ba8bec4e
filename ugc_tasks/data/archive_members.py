"""The members of a zip or tar archive, one after the other, with what is wrong with each.

Nothing is read into memory because an archive says so: headers and directories have a limit, and
contents are read in pieces.
"""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ugc_tasks.data.compressed import BadArchive, Unpacked

_MAX_DIRECTORY = 8 << 20
"""Bytes of a zip's list of members: 50,000 of them and more."""

_MAX_HEADER = 64 << 10
"""Bytes of a tar's long name or extended header."""

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 18
_MAX_DIGITS = 20
_UNIX_KINDS = {
    stat.S_IFLNK: "it is a link",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
}
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_PASSED_OVER = (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
)


class Content(Protocol):
    """What a member holds."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: as the archive has it.
        size: bytes, as the archive claims.
        packed: bytes that it takes in the archive, as claimed; ``size`` where that is not known.
        fault: why it must not be taken whatever its name, None if it may.
        alone: whether damage in it leaves the other members readable.
        open: gives its content.
    """

    name: str
    size: int
    packed: int
    fault: str | None
    alone: bool
    open: Callable[[], AbstractContextManager[Content]]


def wrong_name(name: str) -> str | None:
    """Say what is wrong with a member's name, whether or not a clip is behind it."""
    if not name.isprintable():
        return "its name has control characters"
    if ".." in name.replace("\\", "/").split("/"):
        return "its path leads out of the archive (`..`)"
    return None


def zip_members(path: Path) -> Iterator[Member]:
    """Yield the files of a zip archive; raises whatever ``zipfile`` raises."""
    with _ZipBytes(path) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() and kind in (0, stat.S_IFDIR):
                continue
            fault = _UNIX_KINDS.get(kind)
            if fault is None and info.flag_bits & 0x1:
                fault = "it is encrypted"
            if fault is None and info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                # zipfile unpacks these in one go, whatever comes out.
                fault = "it is packed by another method than deflate: pack the archive anew"
            yield Member(
                # Not ``filename``, which ends at a NUL.
                name=info.orig_filename,
                size=info.file_size,
                packed=info.compress_size,
                fault=fault,
                alone=True,
                open=partial(archive.open, info),
            )


class _ZipBytes(io.FileIO):
    """A file read in pieces; ``zipfile`` reads the list of members, and that alone, whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY:
            raise BadArchive(f"its list of members is larger than {_MAX_DIRECTORY >> 20} MiB")
        return super().read(-1 if size is None else size)


def tar_members(path: Path, most_bytes: int) -> Iterator[Member]:
    """Yield the files of a tar archive; raises ``BadArchive``, ``TarError`` or ``OSError``.

    The archive is read once from its beginning to its end, as far as ``most_bytes`` unpacked ones,
    so a member can be opened only before the next is asked for.

    Not by ``tarfile.TarFile``, which goes through as many blocks as a header claims, takes the
    maps of sparse files into memory, and recurses with each header that extends the next.
    """
    stream = Unpacked(path, most_bytes)
    try:
        name, records = "", dict[bytes, bytes]()
        while any(block := _exactly(stream, _BLOCK)):  # a block of zeros is the end
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            content = TarContent(stream, _size(info, records))
            if info.type == tarfile.GNUTYPE_LONGNAME:
                name = _text(content.header())
            elif info.type in _EXTENDED:
                records = _records(content.header())
            elif info.type not in _PASSED_OVER:
                more = info.type == tarfile.GNUTYPE_SPARSE and block[482]
                while more:
                    more = _exactly(stream, _BLOCK)[504]
                if not info.isdir():
                    yield Member(
                        name=_text(records.get(b"path", b"")) or name or info.name,
                        size=content.left,
                        packed=content.left,
                        fault=_tar_fault(info, records),
                        alone=False,
                        open=partial(_opened, content),
                    )
                name, records = "", {}
            content.skip()
    finally:
        stream.close()


class TarContent:
    """The content of a tar's member, read from where the archive stands."""

    def __init__(self, stream: Unpacked, size: int) -> None:
        self.left = size
        self._stream, self._padding = stream, -size % _BLOCK

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end; raises ``BadArchive``."""
        block = _exactly(self._stream, min(size, self.left))
        self.left -= len(block)
        return block

    def header(self) -> bytes:
        """Return the whole of a header; raises ``BadArchive`` where it is too large."""
        if self.left > _MAX_HEADER:
            raise BadArchive(f"a header in it is larger than {_MAX_HEADER >> 10} KiB")
        return self.read(self.left)

    def skip(self) -> None:
        """Go on to the next member."""
        while self.read(_PIECE):
            pass
        _exactly(self._stream, self._padding)


def _opened(content: Content) -> AbstractContextManager[Content]:
    return nullcontext(content)


def _exactly(stream: Unpacked, size: int) -> bytes:
    block = stream.read(size)
    if len(block) < size:
        raise BadArchive("it is damaged or cut short (it ends without an end mark)")
    return block


def _size(info: tarfile.TarInfo, records: dict[bytes, bytes]) -> int:
    if info.type in _WITHOUT_CONTENT:
        return 0
    told = records.get(b"size")
    if told is None or info.type not in tarfile.REGULAR_TYPES:
        size = info.size
    else:
        size = int(told) if told.isdigit() and len(told) < _MAX_DIGITS else -1
    if size < 0:
        raise BadArchive("it is damaged or cut short (a size in it is no number)")
    return size


def _records(header: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header, each ``length keyword=value`` and a line end."""
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(header):
        length, blank, _ = header[start : start + _MAX_DIGITS].partition(b" ")
        end = start + int(length) if blank and length.isdigit() else start
        record = header[start + len(length) + 1 : end]
        keyword, equals, value = record.partition(b"=")
        if end > len(header) or not equals or not value.endswith(b"\n"):
            raise BadArchive("it is damaged or cut short (an extended header is malformed)")
        found[keyword] = value[:-1]
        start = end
    return found


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _tar_fault(info: tarfile.TarInfo, records: dict[bytes, bytes]) -> str | None:
    if info.issym() or info.islnk():
        return "it is a link"
    if info.isdev():
        return "it is a pipe" if info.isfifo() else "it is a device"
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(
        keyword.startswith(b"GNU.sparse") for keyword in records
    )
    return "it is no ordinary file" if sparse or not info.isreg() else None
