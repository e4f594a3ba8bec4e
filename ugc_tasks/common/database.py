"""Where an SQLite file can be kept, found out before SQLite opens it.

SQLite itself takes ``:memory:`` and ``file:`` addresses for what keeps nothing, writes into a
file of one byte, and calls a file system without locks "locked" after as long as it waits.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

_HEADER = 100  # bytes: no SQLite file is shorter, but an empty one
_TAKEN = {errno.EACCES, errno.EAGAIN}


def why_no_place(path: Path) -> str | None:
    """Make the folder of an SQLite file; return why it cannot be kept at ``path``.

    None where nothing speaks against it, else a clause that follows "cannot be used:".
    """
    if str(path) == ":memory:" or str(path).lower().startswith("file:"):
        return "it names no file, and what is kept in memory is lost"
    try:
        status = path.stat()
    except FileNotFoundError:
        return _without_folder(path.parent) or without_locks(path.parent)
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return _no_database(status) or without_locks(path.parent)


def _no_database(status: os.stat_result) -> str | None:
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder, not a file"
    if not stat.S_ISREG(status.st_mode):
        return "it is a device or a pipe, not a file"
    # By its size: to open it here and close it again would drop the locks of this process on it.
    if 0 < status.st_size < _HEADER:
        return "file is not a database"
    return None


def without_locks(folder: Path) -> str | None:
    """Return that the file system of ``folder`` has no locks, None where it has.

    Tried on a file that is nobody else's and is gone afterwards.
    """
    import fcntl

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN:
                    return None
                return (
                    f"its file system has no locks ({error.strerror}), without which two programs "
                    "can spoil it"
                )
    except OSError:  # nothing can be written there: SQLite says what it makes of that
        return None
    return None


def _without_folder(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return str(error.strerror)
    return None
