"""Captions on disk: each the moment it is made, under the digest of everything that made it.

One SQLite file, shared by the ranks of a run and by runs. A caption is found again for the same
clip (its bytes, not its name), prompt, checkpoint and settings, whatever the temperature; anything
else is another key. lmms-eval's ``--use_cache`` writes when *all* requests are answered, never at
a temperature above 0, and knows a document by its number.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ugc_models.captions import Generation, plain
from ugc_models.engine.base import logger, shown

_SCHEMA = 1
_APPLICATION_ID = 0x55474350  # "UGCP": tells this file from another program's database
_BUSY_S = 60.0
"""Seconds to wait for another process that is writing."""
_TABLES = {
    "captions": """
CREATE TABLE captions (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, generation TEXT NOT NULL, made_of TEXT NOT NULL,
    made_at REAL NOT NULL
)""",
    "files": """
CREATE TABLE files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL
)""",
}
_HEADER = 100  # bytes: no SQLite file is shorter, but an empty one
_MOST = 1 << 53  # of any number in the facts of a caption

_log = logger(__name__)


class CaptionStoreError(RuntimeError):
    """The store cannot be opened, read or written; the message says which file and what to do."""


def caption_key(made_of: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what determines a caption, as canonical JSON."""
    canonical = json.dumps(made_of, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def default_path() -> Path:
    """Return where captions are kept where ``store=`` names no place."""
    from platformdirs import user_cache_path

    cache = os.environ.get("UGC_VIDEOCAP_CACHE", "").strip()
    folder = Path(cache).expanduser() if cache else user_cache_path("ugc-videocap", appauthor=False)
    return folder / "captions.sqlite3"


def open_store(place: str | None) -> CaptionStore | None:
    """Open the store that ``store=`` names; raises ``CaptionStoreError`` where that cannot be.

    ``place`` is a file; a folder, for ``captions.sqlite3`` in it; ``none`` for no store at all;
    None for :func:`default_path`.
    """
    if place is not None and place.lower() == "none":
        return None
    try:
        path = Path(place).expanduser() if place else default_path()
        folder = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, too long, a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise CaptionStoreError(f"store={place!r:.200} cannot be used: {reason}") from None
    return CaptionStore(path / "captions.sqlite3" if folder else path)


class CaptionStore:
    """The store in the file ``path``, made if absent; safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._said = False
        self._refuse(_why_no_place(path))
        with self._reporting("cannot be opened"):
            self._file = sqlite3.connect(
                path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
            )
            try:
                # SQLite's own journal, not the faster write-ahead log: that one does not work where
                # the ranks of several machines share a folder. "Extra": a caption is on the disk
                # when it was put, and stays there when the power fails the moment after.
                self._file.execute("PRAGMA synchronous=EXTRA")
                self._take_over()
            except BaseException:
                self._file.close()
                raise

    def _take_over(self) -> None:
        """Make the tables in a new file; leave one of another program alone."""
        with self._writing():
            owner, layout = (
                self._file.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version")
            )
            found = self._file.execute("SELECT type, name FROM sqlite_master").fetchall()
            if not (owner or layout or found):
                for table in _TABLES.values():
                    self._file.execute(table)
                self._file.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                self._file.execute(f"PRAGMA user_version={_SCHEMA}")
                return
        if owner == _APPLICATION_ID and layout != _SCHEMA:
            self._refuse(
                f"it was written by another version (layout {layout}, this one knows {_SCHEMA})"
            )
        kinds = {kind for kind, _ in found}
        tables = {name for kind, name in found if kind == "table"}
        if owner != _APPLICATION_ID or kinds & {"trigger", "view"} or not tables >= _TABLES.keys():
            self._refuse("it is another program's database")

    def _refuse(self, reason: str | None) -> None:
        if reason is not None:
            raise CaptionStoreError(
                f"the answer store {shown(self.path)} cannot be used: {reason}; name another file "
                "with store="
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def get(self, key: str) -> tuple[str, Generation] | None:
        """Return a stored caption and how it came about, None where there is none.

        One that this program cannot have written (somebody changed the file) is ignored.
        """
        with self._reporting("cannot be read"), self._lock:
            return self._caption(key)

    def _caption(self, key: str) -> tuple[str, Generation] | None:
        row = self._file.execute(
            "SELECT text, generation FROM captions WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        try:
            return _read(*row)
        except (ValueError, TypeError, RecursionError):
            if not self._said:
                self._said = True
                _log.warning(
                    "answers in %s that are not as this program writes them are made anew",
                    shown(self.path),
                )
            return None

    def put(self, key: str, made_of: Mapping[str, Any], text: str, generation: Generation) -> None:
        """Keep a caption; it is on disk when this returns. Of two, the first stays."""
        facts = json.dumps(asdict(generation)), json.dumps(made_of, sort_keys=True, default=str)
        with self._reporting("cannot be written"), self._lock, self._writing():
            if self._caption(key) is None:
                self._file.execute(
                    "INSERT OR REPLACE INTO captions VALUES (?, ?, ?, ?, ?)",
                    (key, plain(text), *facts, time.time()),
                )

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file, computed once as long as it keeps its size and times."""
        status = path.stat()
        # A name that is not Unicode, which SQLite does not take, is written with its escapes.
        place = str(path.resolve()).encode("utf-8", "backslashreplace").decode()
        # Of a file just written, a second change may leave the same time of change.
        settled = time.time_ns() - status.st_mtime_ns > 2_000_000_000
        with self._reporting("cannot be read"), self._lock:
            row = self._file.execute(
                "SELECT size, modified, digest FROM files WHERE path = ?", (place,)
            ).fetchone()
        if settled and row is not None and row[:2] == (status.st_size, status.st_mtime_ns):
            return str(row[2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._reporting("cannot be written"), self._lock:
            self._file.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (place, status.st_size, status.st_mtime_ns, digest),
            )
        return digest

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Do all of it or nothing; other writers are kept out from the start."""
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            advice = "check that it can be written and is not another program's file"
            if "full" in str(error):
                advice = (
                    "make room on its disk and run the same command again: it goes on from there"
                )
            elif "locked" in str(error):
                advice = "another process holds it; run the same command again when that has ended"
            raise CaptionStoreError(
                f"the answer store {shown(self.path)} {what} ({shown(error)}): {advice}"
            ) from None


def _why_no_place(path: Path) -> str | None:
    """Make the folder of an SQLite file; return why it cannot be kept at ``path``, in a clause.

    Checked before SQLite opens it: SQLite takes ``:memory:`` and ``file:`` addresses, writes into a
    file of one byte, and calls a file system without locks "locked" after a minute.
    """
    if str(path) == ":memory:" or str(path).lower().startswith("file:"):
        return "it names no file, and what is kept in memory is lost"
    try:
        with suppress(FileNotFoundError):
            # Not opened: to close it again would drop the locks of this process on it.
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return "it is a folder, a device or a pipe and not a file"
            if 0 < status.st_size < _HEADER:
                return "file is not a database"
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    # If nothing can be written there, SQLite has the words for it.
    with suppress(OSError), tempfile.TemporaryFile(dir=path.parent) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return (
                f"its file system has no locks ({error.strerror}), without which two programs "
                "can spoil it"
            )
    return None


def _read(text: Any, generation: Any) -> tuple[str, Generation]:
    """Return the caption in a row; ``ValueError`` or ``TypeError`` if we cannot have written it."""
    values = json.loads(generation)
    facts = Generation.from_dict(values)
    numbers = (facts.sound_seconds, facts.frames_dropped, *(facts.size or (0, 0)))
    counts = (facts.prompt_tokens, facts.output_tokens, facts.frames, facts.fps, facts.seconds)
    words = (facts.finish_reason, facts.sound_missing, facts.decoding)
    if not (
        isinstance(text, str)
        and isinstance(values, dict)
        and facts.error is None
        and isinstance(facts.stored, bool)
        and len(numbers) == 4
        and all(_is_amount(number) for number in numbers)
        and all(number is None or _is_amount(number) for number in counts)
        and all(isinstance(flag, str) for flag in facts.flags)
        and all(isinstance(word, str | None) for word in words)
        and all(isinstance(medium, dict) for medium in facts.media or ())
        and isinstance(facts.api, dict | None)
    ):
        raise ValueError
    return text, facts


def _is_amount(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < _MOST
