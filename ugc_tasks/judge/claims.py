"""Who asks what, across processes and judges: two runs on one store do not pay for one judgment
twice.

A claim is a lock on one byte of a file beside the store, at an offset that the judgment's key
gives. The system releases it when its process ends, however it ends: nothing is left behind by a
kill, and no clock is asked.

Such locks belong to the process, and closing *any* descriptor of the file drops them all (POSIX,
fcntl). So all claims of a process on one file share one descriptor, which stays open for as long as
one of them does, and know of each other here.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ugc_tasks.common.display import logger

_OFFSET_HEX_DIGITS = 15  # 60 bits: file offsets are signed 64-bit numbers
_TAKEN = {errno.EACCES, errno.EAGAIN}

_log = logger(__name__)


class Claims:
    """Claims on judgments of the store at ``store``, against all who have claims on it."""

    def __init__(self, store: Path) -> None:
        """Open the lock file; where there can be none, claims hold within the process only."""
        path = store.with_name(f"{store.name}.lock")
        self._mine: set[int] = set()
        self._file: _LockFile | None = None
        with _files() as files:
            try:
                self._file = _opened(path, files)
            except OSError as error:
                _give_up(error)
                self._file = files.setdefault((os.getpid(), str(path), 0), _LockFile(None))
            self._file.users += 1

    @contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Hold the judgment ``key`` (a hexadecimal digest); false where another has it."""
        offset = int(key[:_OFFSET_HEX_DIGITS], 16)
        taken = self._take(offset)
        try:
            yield taken
        finally:
            if taken:
                self._release(offset)

    def close(self) -> None:
        """Release every claim made here."""
        file, self._file = self._file, None
        if file is None:
            return
        with _files() as files:
            for offset in self._mine:
                file.release(offset)
            self._mine.clear()
            file.users -= 1
            if not file.users:
                for place in [place for place, known in files.items() if known is file]:
                    del files[place]
                if file.descriptor is not None:
                    os.close(file.descriptor)

    def _take(self, offset: int) -> bool:
        with _files():
            if self._file is None or not self._file.take(offset):
                return False
            self._mine.add(offset)
            return True

    def _release(self, offset: int) -> None:
        with _files():
            if self._file is not None:
                self._mine.discard(offset)
                self._file.release(offset)


@dataclass
class _LockFile:
    """One lock file in one process; to be used under the lock of ``_files``."""

    descriptor: int | None
    users: int = 0
    held: set[int] = field(default_factory=set)
    given_up: bool = False

    def take(self, offset: int) -> bool:
        if offset in self.held:
            return False
        if self.descriptor is not None:
            import fcntl

            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except OSError as error:
                if error.errno in _TAKEN:
                    return False
                if not self.given_up:  # not for each judgment
                    self.given_up = True
                    _give_up(error)
        self.held.add(offset)
        return True

    def release(self, offset: int) -> None:
        self.held.discard(offset)
        if self.descriptor is not None:
            import fcntl

            with suppress(OSError):  # a file system without locks gave none
                fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, offset)


# By process (a fork inherits this table, and none of the locks), device and inode.
_Place = tuple[int, int | str, int]
_open_files: dict[_Place, _LockFile] = {}
_lock = threading.Lock()


@contextmanager
def _files() -> Iterator[dict[_Place, _LockFile]]:
    """Hold the one table of lock files that this process has open."""
    with _lock:
        yield _open_files


def _opened(path: Path, files: dict[_Place, _LockFile]) -> _LockFile:
    """Return the process's lock file at ``path``, opened if it is not yet."""
    # Found by stat and not by opening it: closing that descriptor again would drop the locks.
    with suppress(FileNotFoundError):
        found = path.stat()
        known = files.get((os.getpid(), found.st_dev, found.st_ino))
        if known is not None:
            return known
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    made = os.fstat(descriptor)
    return files.setdefault((os.getpid(), made.st_dev, made.st_ino), _LockFile(descriptor))


def _give_up(error: OSError) -> None:
    _log.warning(
        "judgments cannot be claimed beside the store (%s): two runs at once on this store may "
        "pay for the same judgment twice",
        error.strerror,
    )
