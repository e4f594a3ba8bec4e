"""What was paid for, on disk: every reply of the judge, committed before anything is done with it.

One SQLite file. A reply is kept under the digest of everything that determines it (endpoint and
whole request) and of what it is read as, so that a rerun finds it and another model, prompt, answer
or question does not. Replies that did not parse are kept too: they cost the same. The request
itself and the key are not stored. What the file looks like is in ``schema.py``.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.judge import schema
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.scores import Scores

_BUSY_S = 30.0
_ROOM = 32 << 20  # bytes: what some hundred requests under way can bring, a thousand times over


class JudgeStoreError(RuntimeError):
    """The store cannot be opened, read or written; the message says which file and what to do."""


@dataclass(frozen=True)
class StoredReply:
    """A reply on disk: the how-manieth for its request, and its scores or why it has none."""

    reply: ChatReply
    attempt: int
    scores: Scores | None
    failure: str | None
    usd: float | None = None


def judgment_key(
    endpoint: str, request: Mapping[str, Any], question: str = "caption", repeat: int = 0
) -> str:
    """Return the SHA-256 under which the reply to ``request`` at ``endpoint`` is kept.

    The question counts: two that are asked alike (a caption, an audio caption) keep different
    values. That of captions is left out, as it was when there was no other; so is the ``repeat``
    of the first of several independent judgments.
    """
    determining: dict[str, Any] = {"endpoint": endpoint, "request": request}
    if question != "caption":
        determining["question"] = question
    if repeat:
        determining["repeat"] = repeat
    canonical = json.dumps(determining, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class JudgmentStore:
    """The store at ``path``, made if absent. Safe for several threads and several processes."""

    def __init__(self, path: Path) -> None:
        """Open the store; raises ``JudgeStoreError`` where it is not one or cannot be written."""
        self.path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        with self._failing_clearly():
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._failing_clearly():
                self._prepare(self._db)
        except BaseException:
            self.close()
            raise

    def first_scored(self, key: str) -> StoredReply | None:
        """Return the first reply under ``key`` that has scores, None if there is none."""
        with self.reading() as db:
            row = db.execute(
                "SELECT text, finish_reason, model, fingerprint, prompt_tokens,"
                " completion_tokens, attempt, scores, usd FROM reply"
                " WHERE key = ? AND failure IS NULL ORDER BY attempt LIMIT 1",
                (key,),
            ).fetchone()
        if row is None:
            return None
        return StoredReply(ChatReply(*row[:6]), row[6], self._read_scores(row[7]), None, row[8])

    def scored(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` under which there is a reply with scores."""
        with self.reading() as db:
            query = "SELECT 1 FROM reply WHERE key = ? AND failure IS NULL LIMIT 1"
            return {key for key in keys if db.execute(query, (key,)).fetchone()}

    def holds(self, key: str, reply: ChatReply, *, since: float) -> bool:
        """Tell whether this very reply came under ``key`` after ``since``, a time in seconds."""
        with self.reading() as db:
            query = "SELECT 1 FROM reply WHERE key = ? AND created_at >= ? AND text = ? LIMIT 1"
            return db.execute(query, (key, since, _text(reply.text))).fetchone() is not None

    def add(
        self,
        key: str,
        reply: ChatReply,
        *,
        video_id: str,
        judge: str,
        scores: Scores | None,
        failure: str | None,
        usd: float | None = None,
    ) -> int:
        """Commit ``reply`` to disk and return its attempt number, counted from 1 over all runs."""
        stated = json.dumps(dict(scores)) if scores is not None else None
        with self.writing() as db:
            (attempt,) = db.execute(
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM reply WHERE key = ?", (key,)
            ).fetchone()
            db.execute(
                "INSERT INTO reply VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key, attempt, _text(video_id), _text(judge), _text(reply.text),
                    _text(reply.finish_reason), _text(reply.model), _text(reply.fingerprint),
                    reply.prompt_tokens, reply.completion_tokens, stated, failure, time.time(), usd,
                ),
            )  # fmt: skip
        return int(attempt)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the open file; SQLite's errors come out as ``JudgeStoreError``."""
        with self._lock, self._failing_clearly():
            yield self._open_db()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the open file in a write transaction, committed to the disk at the end."""
        with self._lock, self._failing_clearly(), self._writing() as db:
            yield db

    def require_room(self) -> None:
        """Raise ``JudgeStoreError`` where replies that are asked for now might not fit the disk."""
        try:
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        if free < _ROOM:
            raise self._full(f"its disk has {free >> 20} MB left")

    def close(self) -> None:
        """Close the file. Nothing is pending: every reply was committed when it came."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _prepare(self, db: sqlite3.Connection) -> None:
        self._refuse_others(db)  # before the first change: it may not be ours to change
        self._use_write_ahead_log(db)
        # A commit returns only when the reply is on the disk: it has been paid for.
        db.execute("PRAGMA synchronous = FULL")
        with self._writing(db):  # also finds out now whether the file can be written
            schema.bring_up_to_date(db)

    def _refuse_others(self, db: sqlite3.Connection) -> None:
        version = schema.version_of(db)
        if schema.is_empty(db) and not version:
            return
        if schema.owner_of(db) != schema.APPLICATION_ID:
            raise self._unusable("it is another program's database")
        if version > schema.VERSION:
            raise JudgeStoreError(
                f"the judgment store {self.path} was written by a newer version of ugc-videocap "
                f"(schema {version}, known is {schema.VERSION}); upgrade, or set UGC_JUDGE_STORE "
                "to another file"
            )

    def _read_scores(self, stated: str) -> Scores:
        try:
            return Scores(**{name: _number(value) for name, value in json.loads(stated).items()})
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise self._unusable("it has scores in it that are none") from None

    def _use_write_ahead_log(self, db: sqlite3.Connection) -> None:
        # Two processes that open a new file at once collide here without the busy timeout helping.
        give_up = time.monotonic() + _BUSY_S
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise self._unusable("it is closed")
        return self._db

    @contextmanager
    def _writing(self, db: sqlite3.Connection | None = None) -> Iterator[sqlite3.Connection]:
        """Hold the write lock from the first read on, so that two processes cannot both decide."""
        db = db or self._open_db()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise self._full(str(error)) from None
            raise self._unusable(str(error)) from None

    def _full(self, reason: str) -> JudgeStoreError:
        return JudgeStoreError(
            f"the judgment store {self.path} has no room ({reason}): make room, or set "
            "UGC_JUDGE_STORE to a file elsewhere, and run again; what is in it is kept"
        )

    def _unusable(self, reason: str) -> JudgeStoreError:
        return JudgeStoreError(
            f"the judgment store {self.path} cannot be used: {reason}; move it away or set "
            "UGC_JUDGE_STORE to another file"
        )


def _text(value: str | None) -> str | None:
    """Return ``value`` without lone surrogates, which JSON can carry and SQLite cannot."""
    return None if value is None else value.encode("utf-8", "replace").decode()


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return value
