"""An SQLite file that holds what must not be lost.

Whether it can be kept somewhere is found out before SQLite opens it. SQLite itself takes
``:memory:`` and ``file:`` addresses for what keeps nothing, writes into a file of one byte, and
calls a file system without locks "locked" after as long as it waits.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUSY_S = 30.0  # for which another program may hold a file
_HEADER = 100  # bytes: no SQLite file is shorter, but an empty one
# The write lock is held from the first read on, so that two processes cannot both decide.
_BEGIN = "BEGIN IMMEDIATE"


def why_no_place(path: Path) -> str | None:
    """Make the folder of an SQLite file; return why it cannot be kept at ``path``, if so."""
    if str(path) == ":memory:" or str(path).lower().startswith("file:"):
        return "it names no file, and what is kept in memory is lost"
    try:
        status: os.stat_result | None = path.stat()
    except FileNotFoundError:
        status = None
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    if status is not None:
        if not stat.S_ISREG(status.st_mode):
            folder = stat.S_ISDIR(status.st_mode)
            return f"it is a {'folder' if folder else 'device or a pipe'}, not a file"
        # By its size: to open and close it here would drop the locks of this process on it.
        if 0 < status.st_size < _HEADER:
            return "file is not a database"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return str(error.strerror)
    return without_locks(path.parent)


def without_locks(folder: Path) -> str | None:
    """Return that the file system of ``folder`` has no locks, None where it has.

    Where nothing can be written there, SQLite says what it makes of that.
    """
    import fcntl

    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EAGAIN}:  # which say that it is taken
                return (
                    f"its file system has no locks ({error.strerror}), without which two programs "
                    "can spoil it"
                )
    return None


class Database:
    """The SQLite file at ``path``, made if absent. Safe for several threads and processes.

    A commit returns when the data is on the disk. What goes wrong is raised as what methods of a
    subclass return: ``unusable`` (``movable``: moving the file away helps), ``full`` for a disk
    without room, ``held`` for a file that another program has held for too long.
    """

    unusable: Callable[..., Exception]
    full: Callable[[str], Exception]
    held: Callable[[str], Exception]

    def __init__(
        self, path: Path | None, *, owner: int, version: int, tables: tuple[str, ...]
    ) -> None:
        """Open the file; without a path, all is kept in memory.

        ``owner`` is its application id, which tells it from another program's database. A file of
        another ``version`` is refused. ``tables`` are the statements that make a new file's tables.
        """
        self.path = path or Path(":memory:")
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        if path is not None and (reason := why_no_place(path)) is not None:
            raise self.unusable(reason, movable=False)
        try:
            with self._failing_clearly():
                self._db = sqlite3.connect(
                    self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
                )
                self._db.text_factory = _decoded
                self._prepare(self._db, owner, version, tables)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._failing_clearly():
            if self._db is None:
                raise self.unusable("it is closed")
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the open file in a write transaction, committed to the disk at the end."""
        with self.reading() as db, db:
            db.execute(_BEGIN)
            yield db

    def require_room(self, size: int) -> None:
        try:
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise self.unusable(str(error.strerror)) from None
        if free < size:
            raise self.full(f"its disk has {free >> 20} MB left")

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _prepare(
        self, db: sqlite3.Connection, owner: int, version: int, tables: tuple[str, ...]
    ) -> None:
        with db:
            db.execute(_BEGIN)  # also finds out now whether the file can be written
            found_owner = _one(db, "PRAGMA application_id")
            found_version = _one(db, "PRAGMA user_version")
            if not (found_owner or found_version or _one(db, "SELECT COUNT(*) FROM sqlite_master")):
                for statement in tables:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {owner}")
                db.execute(f"PRAGMA user_version = {version}")
            elif found_owner != owner:
                raise self.unusable("it is another program's database")
            elif found_version > version:
                raise self.unusable(
                    "it was written by a newer version of ugc-videocap (schema "
                    f"{found_version}, known is {version}): upgrade"
                )
            elif found_version != version:
                raise self.unusable(f"its schema {found_version} is not known")
            elif _one(db, "SELECT COUNT(*) FROM sqlite_master WHERE type IN ('trigger', 'view')"):
                raise self.unusable("it has triggers or views in it, which can change what is kept")
        # Two processes that open a new file at once collide here; the timeout does not help.
        give_up = time.monotonic() + BUSY_S
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
        db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # Extended codes have the kind in their last eight bits.
            kind = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if kind == sqlite3.SQLITE_FULL:
                raise self.full(str(error)) from None
            busy = kind in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            raise (self.held if busy else self.unusable)(str(error)) from None


def _one(db: sqlite3.Connection, query: str) -> int:
    (value,) = db.execute(query).fetchone()
    return int(value)


def _decoded(stored: bytes) -> str | bytes:
    """Return a text from the file; the bytes where somebody has put something else there."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored
