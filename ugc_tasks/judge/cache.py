"""What was paid for, on disk: every reply of the judge, committed before anything is done with it.

One SQLite file. A reply is kept under the digest of everything that determines it (endpoint and
whole request) and of what it is read as, so that a rerun finds it and another model, prompt, answer
or question does not. Replies that did not parse are kept too: they cost the same. Batches that were
handed to an endpoint are in it before anything of them leaves this machine. The requests themselves
and the key are not stored.

Beside it is a lock file: two runs on one store do not pay for one judgment twice.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import sqlite3
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ugc_tasks.common.database import BUSY_S, Database
from ugc_tasks.common.display import UserError, logger, storable
from ugc_tasks.judge.parsing import ResponseSchema
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.transport.batch_api import is_id
from ugc_tasks.judge.types import ChatReply, Scores

_OWNER = 0x55474A44  # "UGJD"
_VERSION = 3
_TABLES = (
    """
CREATE TABLE reply (
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    video_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT,
    model TEXT,
    fingerprint TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    scores TEXT,
    failure TEXT,
    created_at REAL NOT NULL,
    usd REAL,
    PRIMARY KEY (key, attempt),
    CHECK ((failure IS NULL) = (scores IS NOT NULL))
) WITHOUT ROWID
""",
    # ``tag`` is ours and goes with the batch as metadata; ``keys`` are those of its judgments, as
    # JSON. ``file`` and ``batch`` are the endpoint's ids, once they are known. ``closed`` says how
    # it ended.
    """
CREATE TABLE batch (
    tag TEXT NOT NULL PRIMARY KEY,
    endpoint TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    keys TEXT NOT NULL,
    file TEXT,
    batch TEXT,
    closed TEXT,
    created_at REAL NOT NULL
) WITHOUT ROWID
""",
)
_ROOM = 32 << 20  # bytes: what some hundred requests under way can bring, a thousand times over
_MOST_TOKENS = 1 << 53
_MOST_USD = 1e6
_MOST_ATTEMPTS = 1_000_000
_TAG = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_T = TypeVar("_T")
_log = logger(__name__)


class JudgeStoreError(UserError, RuntimeError):
    """The store cannot be opened, read or written; the message says which file and what to do."""


@dataclass(frozen=True)
class StoredReply:
    """A reply on disk with its scores; ``attempt`` counts the replies for its request, from 1."""

    reply: ChatReply
    attempt: int
    scores: Scores
    usd: float | None = None


class JudgmentCache(Database):
    """The store at ``path``, made if absent. Safe for several threads and several processes.

    What is in the file may have been changed by anybody: replies that are not what this program
    writes are ignored, and that is logged when the store is closed at the latest.
    """

    def __init__(self, path: Path, schema: ResponseSchema | None = None) -> None:
        """Open the store; raises ``JudgeStoreError`` where it is not one or cannot be written.

        ``schema`` is that of the scores that are looked for; None for that of any question.
        """
        self._schemas = [schema] if schema else [each.schema for each in QUESTIONS.values()]
        self._ignored: set[tuple[str, Any]] = set()
        self._ignored_logged = 0
        super().__init__(path, owner=_OWNER, version=_VERSION, tables=_TABLES)

    def unusable(self, reason: str, *, movable: bool = True) -> JudgeStoreError:
        """Return the error for a store that cannot be used."""
        return JudgeStoreError(
            f"the judgment store {self.path} cannot be used: {reason}; "
            f"{'move it away or ' if movable else ''}set UGC_JUDGE_STORE to another file"
        )

    def full(self, reason: str) -> JudgeStoreError:
        """Return the error for a disk without room."""
        return JudgeStoreError(
            f"the judgment store {self.path} has no room ({reason}): make room, or set "
            "UGC_JUDGE_STORE to a file elsewhere, and run again; what is in it is kept"
        )

    def held(self, reason: str) -> JudgeStoreError:
        """Return the error for a store that another program has held for too long."""
        return JudgeStoreError(
            f"the judgment store {self.path} is held by another program ({reason}, for more than "
            f"{BUSY_S:.0f} s): run again when that has ended, or set UGC_JUDGE_STORE to another "
            "file"
        )

    def first_scored(self, key: str) -> StoredReply | None:
        """Return the first reply under ``key`` that has scores, None if there is none."""
        with self.reading() as db:
            return next(self._scored(db, key), None)

    def scored(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` under which there is a reply with scores."""
        with self.reading() as db:
            found = {key for key in keys if next(self._scored(db, key), None)}
        self._log_ignored()
        return found

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
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM reply"
                " WHERE key = ? AND typeof(attempt) = 'integer' AND attempt BETWEEN 1 AND ?",
                (key, _MOST_ATTEMPTS - 2),  # the next one is to be a count, too
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

    def require_room(self, size: int = _ROOM) -> None:
        """Raise ``JudgeStoreError`` where replies that are asked for now might not fit the disk."""
        super().require_room(size)

    def close(self) -> None:
        """Close the file. Nothing is pending: every reply was committed when it came."""
        self._log_ignored()
        super().close()

    def _scored(self, db: sqlite3.Connection, key: str) -> Iterator[StoredReply]:
        for row in db.execute(
            "SELECT text, finish_reason, model, fingerprint, prompt_tokens,"
            " completion_tokens, attempt, scores, usd FROM reply"
            " WHERE key = ? AND failure IS NULL ORDER BY attempt",
            (key,),
        ):
            stored = _stored(row, self._schemas)
            if stored is not None:
                yield stored
            else:
                self._ignored.add((key, row[6]))

    def _log_ignored(self) -> None:
        """Log how many replies were ignored, where there are more than were logged before."""
        count = len(self._ignored)
        if count > self._ignored_logged:
            self._ignored_logged = count
            _log.warning(
                "%d judgments in %s are not as this program writes them and are ignored; what is "
                "missing is asked for again",
                count,
                self.path,
            )


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _stored(row: tuple[Any, ...], schemas: Sequence[ResponseSchema]) -> StoredReply | None:
    """Return the reply in a row with scores of a schema; None where it is not one of ours."""
    text, finish, model, fingerprint, prompt, completion, attempt, stated, usd = row
    try:
        values = json.loads(stated)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = (
        any(schema.accepts(values) for schema in schemas)
        and isinstance(text, str)
        and all(name is None or isinstance(name, str) for name in (finish, model, fingerprint))
        and all(n is None or _is_count(n, _MOST_TOKENS) for n in (prompt, completion))
        and _is_count(attempt, _MOST_ATTEMPTS)
        and (usd is None or (isinstance(usd, float) and 0 <= usd <= _MOST_USD))
    )
    if not sound:
        return None
    reply = ChatReply(text, finish, model, fingerprint, prompt, completion)
    return StoredReply(reply, attempt, Scores(**values), usd)


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and 0 <= value < most


class CacheThread:
    """A cache whose work is done one after another in a thread, so that no request waits for it.

    Attributes:
        cache: the cache itself.
    """

    def __init__(self, path: Path, schema: ResponseSchema | None = None) -> None:
        """Open the cache, for scores of ``schema``; raises ``JudgeStoreError``."""
        self.cache = JudgmentCache(path, schema)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-store")
        self._unsaved: list[Callable[[], int]] = []

    async def do(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, done in the cache's thread."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:  # the interpreter is ending: other threads take no more work
            return work()
        return await done

    async def keep(self, add: Callable[[], int]) -> int:
        """Return what ``add`` returns, which puts a reply into the cache.

        What cannot be put there is tried once more in the end: it is paid for.

        Raises:
            JudgeStoreError: it cannot be put there now.
        """
        try:
            return await self.do(add)
        except JudgeStoreError:
            self._unsaved.append(add)
            raise

    async def aclose(self) -> None:
        """Close the cache, after what could not be put there before."""
        lost = 0
        for add in self._unsaved:
            try:
                await self.do(add)
            except JudgeStoreError:
                lost += 1
        if lost:
            _log.error(
                "%d judgments that were paid for are in this run's results and could not be put "
                "into %s: a rerun will ask for them again",
                lost,
                self.cache.path,
            )
        self._thread.shutdown(wait=True)
        self.cache.close()


# ---- batches that were handed in ----


@dataclass(frozen=True)
class BatchEntry:
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
    """The batches in ``cache`` that were handed, or were to be, to ``endpoint``.

    A batch is entered before anything of it leaves this machine, under a tag of ours that goes with
    it as metadata. So whatever moment a run is killed at, the next one knows what to look for.
    """

    def __init__(self, cache: JudgmentCache, endpoint: str) -> None:
        self._cache = cache
        self._endpoint = endpoint
        self._logged = False

    def enter(self, sha256: str, keys: Sequence[str]) -> BatchEntry:
        """Commit a new batch to disk and return it."""
        entry = BatchEntry(uuid.uuid4().hex, sha256, tuple(keys), time.time())
        with self._cache.writing() as db:
            db.execute(
                "INSERT INTO batch (tag, endpoint, sha256, keys, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.tag, self._endpoint, sha256, json.dumps(entry.keys), entry.created_at),
            )
        return entry

    def note(self, tag: str, *, file: str | None = None, batch: str | None = None) -> None:
        """Commit what the endpoint calls the batch ``tag`` and its file."""
        with self._cache.writing() as db:
            db.execute(
                "UPDATE batch SET file = COALESCE(?, file), batch = COALESCE(?, batch)"
                " WHERE tag = ?",
                (file, batch, tag),
            )

    def close(self, tag: str, how: str) -> None:
        """Commit that nothing more will come of the batch ``tag``, and why."""
        with self._cache.writing() as db:
            db.execute("UPDATE batch SET closed = ? WHERE tag = ?", (how, tag))

    def closed_tags(self) -> set[str]:
        """Return the tags of the batches that nothing more will come of."""
        with self._cache.reading() as db:
            query = "SELECT tag FROM batch WHERE endpoint = ? AND closed IS NOT NULL"
            return {tag for (tag,) in db.execute(query, (self._endpoint,))}

    def open(self) -> list[BatchEntry]:
        """Return the batches that something may still come of, the oldest first.

        Rows that are no batches, in a file that somebody has changed, are ignored; that is logged
        once.
        """
        with self._cache.reading() as db:
            rows = db.execute(
                "SELECT tag, sha256, keys, created_at, file, batch FROM batch"
                " WHERE endpoint = ? AND closed IS NULL ORDER BY created_at, tag",
                (self._endpoint,),
            ).fetchall()
        entries = [entry for row in rows if (entry := _entry(row)) is not None]
        if len(entries) < len(rows) and not self._logged:
            self._logged = True
            _log.warning(
                "%d rows of batches in the judgment store %s cannot be read and are ignored",
                len(rows) - len(entries),
                self._cache.path,
            )
        return entries


def _entry(row: tuple[Any, ...]) -> BatchEntry | None:
    """Return the batch in a row of the store, None where the row is not one of ours."""
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
    return BatchEntry(tag, sha256, tuple(keys), created_at, file, batch) if sound else None


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


# ---- locks between processes ----

_OFFSET_HEX_DIGITS = 15  # 60 bits: file offsets are signed 64-bit numbers
_FLOCK = "hhqqi"  # struct flock of 64-bit Linux: type, whence, start, length, process
_TAKEN = {errno.EACCES, errno.EAGAIN}


class Locks:
    """Locks on judgments of the store at ``store``, against all who have locks on it.

    A lock is one on a byte of a file beside the store, at an offset that the judgment's key gives.
    The system releases it when its process ends, however it ends: nothing is left behind by a kill,
    and no clock is asked. These are locks of the open file (F_OFD_SETLK, fcntl(2)) and not of the
    process, which would lose them all as soon as it closes the file anywhere. To be used by one
    thread.
    """

    def __init__(self, store: Path) -> None:
        """Open the lock file; raises ``JudgeStoreError``."""
        self._path = store.with_name(f"{store.name}.lock")
        self._mine: set[int] = set()
        try:
            self._file: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def locked(self, key: str) -> Iterator[bool]:
        """Hold the judgment ``key`` (a hexadecimal digest); false where another has it.

        Raises:
            JudgeStoreError: the file cannot be locked.
        """
        offset = int(key[:_OFFSET_HEX_DIGITS], 16)
        # The system would grant the same open file the same lock again.
        taken = offset not in self._mine and self._lock(offset, release=False)
        if taken:
            self._mine.add(offset)
        try:
            yield taken
        finally:
            if taken and offset in self._mine:
                self._mine.discard(offset)
                self._lock(offset, release=True)

    def close(self) -> None:
        """Close the file, which releases every lock taken here."""
        self._mine.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, offset: int, *, release: bool) -> bool:
        if self._file is None:
            return False
        import fcntl

        kind = fcntl.F_UNLCK if release else fcntl.F_WRLCK
        lock = struct.pack(_FLOCK, kind, os.SEEK_SET, offset, 1, 0)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise self._unusable(error) from None
        return True

    def _unusable(self, error: OSError) -> JudgeStoreError:
        return JudgeStoreError(
            f"the lock file {self._path} cannot be used: {error.strerror}; without it two runs "
            "could pay for the same judgment twice: move it away or set UGC_JUDGE_STORE to another "
            "file"
        )
