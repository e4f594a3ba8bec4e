"""Captions on disk: each the moment it is made, under the digest of everything that made it.

One SQLite file, shared by the ranks of a run and by runs. A caption is found again for the same
clip (its bytes, not its name), prompt, checkpoint and settings, whatever the temperature; anything
else is another key. lmms-eval's ``--use_cache`` writes when *all* requests are answered, never at
a temperature above 0, and knows a document by its number.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ugc_models.captions import Generation

_SCHEMA = 1
_BUSY_S = 60.0
"""Seconds to wait for another process that is writing."""
_TABLES = """
CREATE TABLE IF NOT EXISTS captions (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, generation TEXT NOT NULL, made_of TEXT NOT NULL,
    made_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL
);
"""


class CaptionStoreError(RuntimeError):
    """The store cannot be opened, read or written; the message says which file and what to do."""


def caption_key(made_of: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what determines a caption, as canonical JSON."""
    canonical = json.dumps(made_of, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def default_path() -> Path:
    """Return where captions are kept where ``store=`` names no place."""
    from platformdirs import user_cache_path

    cache = os.environ.get("UGC_VIDEOCAP_CACHE")
    folder = Path(cache) if cache else user_cache_path("ugc-videocap", appauthor=False)
    return folder / "captions.sqlite3"


def open_store(place: str | None) -> CaptionStore | None:
    """Open the store that ``store=`` names.

    Args:
        place: a file; a folder, for ``captions.sqlite3`` in it; ``none`` for no store at all; None
            for :func:`default_path`.

    Raises:
        CaptionStoreError: it cannot be opened.
    """
    if place is not None and place.lower() == "none":
        return None
    path = Path(place).expanduser() if place else default_path()
    return CaptionStore(path / "captions.sqlite3" if path.is_dir() else path)


class CaptionStore:
    """The store in the file ``path``, made if absent; safe for several threads and processes.

    Raises:
        CaptionStoreError: it is no such store, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(
                path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
            )
        except (OSError, sqlite3.Error) as error:
            raise CaptionStoreError(self._words("cannot be opened", error)) from None
        with self._reporting("cannot be opened"):
            # SQLite's own journal, not the faster write-ahead log: that one does not work where the
            # ranks of several machines share a folder.
            self._file.execute("PRAGMA synchronous=FULL")
            found = self._file.execute("PRAGMA user_version").fetchone()[0]
            if found not in {0, _SCHEMA}:
                raise CaptionStoreError(
                    f"the caption store {path} was written by another version (layout {found}, "
                    f"this one knows {_SCHEMA}): name another file with store="
                )
            self._file.executescript(_TABLES)
            self._file.execute(f"PRAGMA user_version={_SCHEMA}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def get(self, key: str) -> tuple[str, Generation] | None:
        """Return a stored caption and how it came about."""
        row = self._row("SELECT text, generation FROM captions WHERE key = ?", key)
        if row is None:
            return None
        return row[0], Generation.from_dict(json.loads(row[1]))

    def put(self, key: str, made_of: Mapping[str, Any], text: str, generation: Generation) -> None:
        """Keep a caption; on disk when this returns. The first one of two stays."""
        with self._reporting("cannot be written"), self._lock:
            self._file.execute(
                "INSERT INTO captions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(key, text, json.dumps(asdict(generation))),
                    *(json.dumps(made_of, sort_keys=True, default=str), time.time()),
                ),
            )

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file, computed once as long as it keeps its size and times.

        Raises:
            OSError: the file cannot be read.
        """
        status = path.stat()
        place = str(path.resolve())
        # Of a file just written, a second change may leave the same time of change.
        settled = time.time_ns() - status.st_mtime_ns > 2_000_000_000
        row = self._row("SELECT size, modified, digest FROM files WHERE path = ?", place)
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

    def _row(self, query: str, value: str) -> Any:
        with self._reporting("cannot be read"), self._lock:
            return self._file.execute(query, (value,)).fetchone()

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CaptionStoreError(self._words(what, error)) from None

    def _words(self, what: str, error: Exception) -> str:
        advice = "see that the place is writable and is no other file"
        if "full" in str(error):
            advice = "make room on its disk and run the same command again: it goes on from there"
        elif "locked" in str(error):
            advice = "another process holds it; run the same command again when that has ended"
        return f"the caption store {self.path} {what} ({error}): {advice}"
