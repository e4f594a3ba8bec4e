"""The batches that were handed to an endpoint, on disk before and after each step.

A batch is entered before anything of it leaves this machine, under a tag of ours that goes with it
as metadata. So whatever moment a run is killed at, the next one knows what to look for.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ugc_tasks.common.display import logger
from ugc_tasks.judge.batch_api import is_id
from ugc_tasks.judge.store import JudgmentStore

_TAG = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_log = logger(__name__)


@dataclass(frozen=True)
class Entry:
    """A batch: our tag, the digest of its file, the keys of its judgments, the endpoint's ids.

    ``created_at`` is when it was entered, in seconds of the system's clock.
    """

    tag: str
    sha256: str
    keys: tuple[str, ...]
    created_at: float
    file: str | None = None
    batch: str | None = None


class BatchLedger:
    """The batches in ``store`` that were handed, or were to be, to ``endpoint``."""

    def __init__(self, store: JudgmentStore, endpoint: str) -> None:
        self._store = store
        self._endpoint = endpoint
        self._said = False

    def enter(self, sha256: str, keys: Sequence[str]) -> Entry:
        """Commit a new batch to disk and return it."""
        entry = Entry(uuid.uuid4().hex, sha256, tuple(keys), time.time())
        with self._store.writing() as db:
            db.execute(
                "INSERT INTO batch (tag, endpoint, sha256, keys, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.tag, self._endpoint, sha256, json.dumps(entry.keys), entry.created_at),
            )
        return entry

    def note(self, tag: str, *, file: str | None = None, batch: str | None = None) -> None:
        """Commit what the endpoint calls the batch ``tag`` and its file."""
        with self._store.writing() as db:
            db.execute(
                "UPDATE batch SET file = COALESCE(?, file), batch = COALESCE(?, batch)"
                " WHERE tag = ?",
                (file, batch, tag),
            )

    def close(self, tag: str, how: str) -> None:
        """Commit that nothing more will come of the batch ``tag``, and why."""
        with self._store.writing() as db:
            db.execute("UPDATE batch SET closed = ? WHERE tag = ?", (how, tag))

    def closed_tags(self) -> set[str]:
        """Return the tags of the batches that nothing more will come of."""
        with self._store.reading() as db:
            query = "SELECT tag FROM batch WHERE endpoint = ? AND closed IS NOT NULL"
            return {tag for (tag,) in db.execute(query, (self._endpoint,))}

    def open(self) -> list[Entry]:
        """Return the batches that something may still come of, the oldest first.

        Rows that are none, in a file that somebody has changed, are ignored; that is said once.
        """
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT tag, sha256, keys, created_at, file, batch FROM batch"
                " WHERE endpoint = ? AND closed IS NULL ORDER BY created_at, tag",
                (self._endpoint,),
            ).fetchall()
        entries = [entry for row in rows if (entry := _entry(row)) is not None]
        if len(entries) < len(rows) and not self._said:
            self._said = True
            _log.warning(
                "%d rows of batches in the judgment store %s cannot be read and are ignored",
                len(rows) - len(entries),
                self._store.path,
            )
        return entries


def _entry(row: tuple[Any, ...]) -> Entry | None:
    """Return the batch in a row of the store, None where there is none in it."""
    tag, sha256, stated, created_at, file, batch = row
    try:
        keys = json.loads(stated)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = (
        _matches(_TAG, tag)
        and _matches(_DIGEST, sha256)
        and isinstance(keys, list)
        and all(_matches(_DIGEST, key) for key in keys)
        and isinstance(created_at, float)
        and all(each is None or is_id(each) for each in (file, batch))
    )
    return Entry(tag, sha256, tuple(keys), created_at, file, batch) if sound else None


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))
