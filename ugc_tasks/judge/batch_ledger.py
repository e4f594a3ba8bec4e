"""The batches that were handed to an endpoint, on disk before and after each step.

A batch is entered before anything of it leaves this machine, under a tag of ours that goes with it
as metadata. So whatever moment a run is killed at, the next one knows what to look for.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore


@dataclass(frozen=True)
class Entry:
    """A batch: our tag, the digest of its file, the keys of its judgments, the endpoint's ids."""

    tag: str
    sha256: str
    keys: tuple[str, ...]
    file: str | None = None
    batch: str | None = None


class BatchLedger:
    """The batches in ``store`` that were handed, or were to be, to ``endpoint``."""

    def __init__(self, store: JudgmentStore, endpoint: str) -> None:
        self._store = store
        self._endpoint = endpoint

    def enter(self, sha256: str, keys: Sequence[str]) -> Entry:
        """Commit a new batch to disk and return it."""
        entry = Entry(uuid.uuid4().hex, sha256, tuple(keys))
        with self._store.writing() as db:
            db.execute(
                "INSERT INTO batch (tag, endpoint, sha256, keys, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.tag, self._endpoint, sha256, json.dumps(entry.keys), time.time()),
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

    def open(self) -> list[Entry]:
        """Return the batches that something may still come of, the oldest first."""
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT tag, sha256, keys, file, batch FROM batch"
                " WHERE endpoint = ? AND closed IS NULL ORDER BY created_at, tag",
                (self._endpoint,),
            ).fetchall()
        return [Entry(tag, sha256, self._keys(keys), f, b) for tag, sha256, keys, f, b in rows]

    def _keys(self, stated: str) -> tuple[str, ...]:
        try:
            return tuple(map(str, json.loads(stated)))
        except (ValueError, TypeError):
            raise JudgeStoreError(
                f"the judgment store {self._store.path} cannot be used: it has a batch in it that "
                "is none; move it away or set UGC_JUDGE_STORE to another file"
            ) from None
