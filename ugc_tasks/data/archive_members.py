"""The members of a zip or tar archive, one after the other, with what is wrong with each."""

from __future__ import annotations

import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from ugc_tasks.data.compressed import Unpacked

_MAX_HEADER = 1 << 20
_UNIX_KINDS = {
    stat.S_IFLNK: "it is a link",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
}


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
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def wrong_name(name: str) -> str | None:
    """Say what is wrong with a member's name, whether or not a clip is behind it."""
    if not name.isprintable():
        return "its name has control characters"
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match("[A-Za-z]:", plain):
        return "its path is absolute"
    if ".." in plain.split("/"):
        return "its path leads out of the archive (`..`)"
    return None


def zip_members(path: Path) -> Iterator[Member]:
    """Return the files of a zip archive; raises ``BadZipFile`` or ``OSError`` if it is none."""
    archive = zipfile.ZipFile(path)

    def walk() -> Iterator[Member]:
        with archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() and kind in (0, stat.S_IFDIR):
                    continue
                fault = _UNIX_KINDS.get(kind)
                if fault is None and info.flag_bits & 0x1:
                    fault = "it is encrypted"
                yield Member(
                    # Not ``filename``, which ends at a NUL.
                    name=info.orig_filename,
                    size=info.file_size,
                    packed=info.compress_size,
                    fault=fault,
                    alone=True,
                    open=partial(archive.open, info),
                )

    return walk()


def tar_members(path: Path, most_bytes: int) -> Iterator[Member]:
    """Return the files of a tar archive; raises ``TarError`` or ``OSError`` at once if it is none.

    The archive is read once from its beginning to its end, as far as ``most_bytes`` unpacked ones,
    so a member can be opened only before the next is asked for.
    """
    stream = Unpacked(path, most_bytes)
    try:
        archive = tarfile.open(fileobj=stream, mode="r|", tarinfo=_Info)  # noqa: SIM115
    except BaseException:
        stream.close()
        raise

    def walk() -> Iterator[Member]:
        with stream, archive:
            # Not the archive's own iterator, which keeps every member that it has seen.
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]
                if info.isdir():
                    continue
                yield Member(
                    name=info.name,
                    size=info.size,
                    packed=info.size,
                    fault=_tar_fault(info),
                    alone=False,
                    open=partial(_content, archive, info),
                )

    return walk()


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "it is a link"
    if info.isdev():
        return "it is a pipe" if info.isfifo() else "it is a device"
    if not info.isreg() or info.issparse():
        return "it is no ordinary file"
    return None


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    if content is None:
        raise tarfile.ReadError(f"{info.name!r} has no content")
    return content


class _Info(tarfile.TarInfo):
    """A member's header; long names and attributes, which are read into memory, are bounded."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Info:
        """Read a header; raises ``ReadError`` where what follows it is too large to be read."""
        info = super().frombuf(buf, encoding, errors)
        long = info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        extended = info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if (long or extended) and info.size > _MAX_HEADER:
            raise tarfile.ReadError("a header is too large")
        return info
