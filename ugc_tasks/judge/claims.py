"""Who asks what, across processes: two runs on one store do not pay for one judgment twice.

A claim is a lock on one byte of a file beside the store, at an offset that the judgment's key
gives.
The system releases it when its process ends, however it ends: nothing is left behind by a kill.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OFFSET_HEX_DIGITS = 15  # 60 bits: file offsets are signed 64-bit numbers
_TAKEN = {errno.EACCES, errno.EAGAIN}

_log = logging.getLogger(__name__)


class Claims:
    """Claims on judgments of the store at ``store``, against other processes only.

    The locks are the process's own: a second ``Claims`` in the same process is not kept out.
    """

    def __init__(self, store: Path) -> None:
        """Open the lock file; where there can be none, claims are granted without one."""
        self._file: int | None = None
        path = store.with_name(f"{store.name}.lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._give_up(error)

    @contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Hold the judgment ``key`` (a hexadecimal digest); false where another process has it."""
        offset = int(key[:_OFFSET_HEX_DIGITS], 16)
        taken = self._lock(offset)
        try:
            yield taken
        finally:
            if taken:
                self._unlock(offset)

    def close(self) -> None:
        """Release every claim."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, offset: int) -> bool:
        if self._file is None:
            return True
        import fcntl

        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            self._give_up(error)
        return True

    def _unlock(self, offset: int) -> None:
        if self._file is not None:
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def _give_up(self, error: OSError) -> None:
        _log.warning(
            "judgments cannot be claimed beside the store (%s): two runs at once on this store may "
            "pay for the same judgment twice",
            error.strerror,
        )
        self.close()
