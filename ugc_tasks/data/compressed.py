"""The bytes of an archive, unpacked under limits: what comes out counts, whatever is claimed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

MAX_RATIO = 20
"""Video hardly shrinks: an archive of clips unpacks to about its own size."""

SLACK = 32 << 20
"""What may come out before the ratio is looked at; headers and padding do shrink."""

_XZ_MEMORY = 256 << 20
_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes | None: ...


class BadArchive(ValueError):
    """An archive, or a member of one, cannot be read on; the message is a clause."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn whatever a reader raises into ``BadArchive``.

    On damaged input the standard library's readers raise nearly anything: their own errors, and
    ``ValueError``, ``OverflowError``, ``struct.error``, ``NotImplementedError`` and others.
    """
    try:
        yield
    except BadArchive:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__)[:200]
        raise BadArchive(f"it is damaged or cut short ({said})") from None


class Unpacked:
    """The uncompressed bytes of a file, which may be gzip, bzip2, xz, Zstandard or plain."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Open; raises ``OSError``; ``BadArchive`` where this Python cannot unpack the kind."""
        self._file = path.open("rb")
        self._most, self._out, self._compressed = most_bytes, 0, True
        self._plain: _Readable
        start = self._file.peek(8)
        kind = next((k for m, k in _MAGIC.items() if start.startswith(m)), None)
        if kind == "gz":
            self._plain = gzip.GzipFile(fileobj=self._file)
        elif kind == "bz2":
            self._plain = bz2.BZ2File(self._file)
        elif kind == "xz":
            self._plain = _Xz(self._file)
        elif kind == "zst":
            self._plain = _zstandard(self._file)
        else:
            self._plain, self._compressed = self._file, False

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end; raises ``BadArchive``."""
        found = bytearray()
        while len(found) < size:
            with reading():
                block = self._plain.read(size - len(found)) or b""
            self._out += len(block)
            if self._out > self._most:
                raise BadArchive(f"more than {self._most} bytes come out of it")
            if self._compressed and self._out > SLACK + MAX_RATIO * self._file.tell():
                raise BadArchive(f"it unpacks to more than {MAX_RATIO} times its size")
            if not block:
                break
            found += block
        return bytes(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Xz(io.RawIOBase):
    """xz with a limit to the dictionary, which ``lzma.LZMAFile`` cannot be given."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; raises ``EOFError`` or ``LZMAError``."""
        while True:
            raw = b""
            if self._decoder.eof:  # another stream may follow, after padding
                raw = (self._decoder.unused_data or self._file.read(1 << 16)).lstrip(b"\0")
                if not raw:
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._decoder.needs_input and not (raw := self._file.read(1 << 16)):
                raise EOFError("the file ends in the middle")
            if block := self._decoder.decompress(raw, max_length=size):
                return block


def _zstandard(file: IO[bytes]) -> IO[bytes]:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise BadArchive(
            "Python before 3.14 cannot unpack Zstandard: unpack it first, with `unzstd`"
        ) from None
    opened: IO[bytes] = zstd.ZstdFile(file)
    return opened
