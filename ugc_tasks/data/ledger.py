"""What is known of clips from earlier runs, so that nothing is looked at or asked for twice.

One SQLite file: which files were checked and what came of it, and which links are dead. It holds
nothing that could not be found out again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ugc_tasks.common.database import Database, without_locks
from ugc_tasks.common.display import logger
from ugc_tasks.common.files import DataError

LEDGER = "downloads.sqlite3"

_OWNER = 0x55474C44  # "UGLD"
_TABLES = (
    "CREATE TABLE checked (path TEXT PRIMARY KEY, size INTEGER NOT NULL, "
    "mtime_ns INTEGER NOT NULL, fault TEXT) WITHOUT ROWID",
    "CREATE TABLE dead (video_id TEXT PRIMARY KEY, link TEXT NOT NULL, kind TEXT NOT NULL "
    "CHECK (kind IN ('gone', 'broken')), reason TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID",
)

_log = logger(__name__)


@dataclass(frozen=True)
class Dead:
    """A link that leads to no clip: gone, or to something else; ``reason`` is a clause."""

    link: str
    kind: Literal["gone", "broken"]
    reason: str


class Ledger(Database):
    """The ledger at ``path``, made if absent; None keeps it in memory for the length of a run."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and (reason := without_locks(path.parent)) is not None:
            _log.warning(
                "%s is not kept, because %s: what is tried now will be tried again", path, reason
            )
            path = None
        super().__init__(path and path.absolute(), owner=_OWNER, version=0, tables=_TABLES)

    def unusable(self, reason: str, *, movable: bool = True) -> DataError:
        return DataError(
            f"{self.path} cannot be used ({reason}): it only remembers what was tried, and may "
            "be moved away"
        )

    full = held = unusable

    def checked(self, path: Path) -> tuple[bool, str | None]:
        """Return whether the file as it is now was checked before, and what was wrong with it."""
        info = path.stat()
        query = "SELECT fault FROM checked WHERE path = ? AND size = ? AND mtime_ns = ?"
        row = self._one(query, str(path), info.st_size, info.st_mtime_ns)
        known = row is not None and isinstance(row[0], str | None)
        return known, row[0] if row and known else None

    def note_checked(self, path: Path, fault: str | None) -> None:
        info = path.stat()
        values = (str(path), info.st_size, info.st_mtime_ns, fault)
        self._one("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?)", *values)

    def dead(self, video_id: str) -> Dead | None:
        row = self._one("SELECT link, kind, reason FROM dead WHERE video_id = ?", video_id)
        return Dead(*row) if row and all(isinstance(each, str) for each in row) else None

    def note_dead(self, video_id: str, dead: Dead) -> None:
        values = (video_id, dead.link, dead.kind, dead.reason, time.time())
        self._one("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?)", *values)

    def forget_dead(self, video_id: str) -> None:
        self._one("DELETE FROM dead WHERE video_id = ?", video_id)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _one(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        # A file's name may hold bytes that are no text, which SQLite does not take.
        texts = (
            value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
            for value in values
        )
        with self.reading() as db:
            row: tuple[Any, ...] | None = db.execute(statement, tuple(texts)).fetchone()
        return row
