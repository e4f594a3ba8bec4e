"""What was paid for, on disk: every reply of the judge, committed before anything is done with it.

One SQLite file. A reply is kept under the digest of everything that determines it (endpoint and
whole request) and of what it is read as. Replies that did not parse are kept too: they cost the
same. Batches (``batch.py``) are in it before anything of them leaves this machine. The requests
themselves and the key are not stored. Beside it is a lock file: two runs on one store do not pay
for one judgment twice.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import math
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ugc_tasks.common.database import BUSY_S, Database
from ugc_tasks.common.display import UserError, logger
from ugc_tasks.judge.parsing import CAPTION_SCHEMA, ResponseSchema
from ugc_tasks.judge.types import ChatReply, Judgment, Usage

_OWNER = 0x55474A44  # "UGJD"
_VERSION = 3
_TABLES = (
    """
CREATE TABLE reply (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, video_id TEXT NOT NULL, judge TEXT NOT NULL,
    text TEXT NOT NULL, finish_reason TEXT, model TEXT, fingerprint TEXT,
    prompt_tokens INTEGER, completion_tokens INTEGER, scores TEXT, failure TEXT,
    created_at REAL NOT NULL, usd REAL,
    PRIMARY KEY (key, attempt),
    CHECK ((failure IS NULL) = (scores IS NOT NULL))
) WITHOUT ROWID
""",
    # ``tag`` is ours and goes with the batch as metadata; ``keys`` are those of its judgments, as
    # JSON. ``file`` and ``batch`` are the endpoint's ids, once they are known. ``closed`` says how
    # it ended.
    """
CREATE TABLE batch (
    tag TEXT NOT NULL PRIMARY KEY, endpoint TEXT NOT NULL, sha256 TEXT NOT NULL,
    keys TEXT NOT NULL, file TEXT, batch TEXT, closed TEXT, created_at REAL NOT NULL
) WITHOUT ROWID
""",
)
COLUMNS = (
    "key", "attempt", "video_id", "judge", "text", "finish_reason", "model", "fingerprint",
    "prompt_tokens", "completion_tokens", "scores", "failure", "created_at", "usd",
)  # fmt: skip
"""Of the replies, in the order of their table."""

_INSERT = f"INSERT INTO reply VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
# What could not be read may well come twice, and was paid for each time.
_SAME = (
    "SELECT 1 FROM reply WHERE key = ? AND text = ? AND scores IS ?"
    " AND (scores IS NOT NULL OR created_at = ?) LIMIT 1"
)
ROOM = 32 << 20
"""Bytes: what some hundred requests under way can bring, a thousand times over."""

MOST_TOKENS, MOST_USD, MOST_ATTEMPTS = 1 << 53, 1e6, 1_000_000
"""Of one reply; what is above is not ours."""
_MOST_SCORES = 64

_T = TypeVar("_T")
_log = logger(__name__)


class JudgeStoreError(UserError, RuntimeError):
    """The store cannot be opened, read or written; the message says which file and what to do."""


class JudgmentCache(Database):
    """The store at ``path``, made if absent. Safe for several threads and several processes.

    What is in the file may have been changed by anybody: replies that are not what this program
    writes are ignored, with a line in the log.
    """

    def __init__(self, path: Path, schema: ResponseSchema = CAPTION_SCHEMA) -> None:
        """Open the store; raises ``JudgeStoreError`` where it is not one or cannot be written.

        ``schema`` is that of the scores that are looked for.
        """
        self._schema = schema
        self._ignored = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-store")
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

    def first_scored(self, key: str) -> Judgment | None:
        """Return the judgment of the first reply under ``key`` that has scores; None without one.

        Its ``video_id`` is empty, its ``attempts`` the reply's number, from 1.
        """
        with self.reading() as db:
            return self._scored(db, key)

    def scored(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` under which there is a reply with scores."""
        with self.reading() as db:
            return {key for key in keys if self._scored(db, key)}

    def holds(self, key: str, reply: ChatReply, *, since: float) -> bool:
        """Tell whether this very reply came under ``key`` after ``since``, a time in seconds."""
        with self.reading() as db:
            query = "SELECT 1 FROM reply WHERE key = ? AND created_at >= ? AND text = ? LIMIT 1"
            return db.execute(query, (key, since, _text(reply.text))).fetchone() is not None

    def last_model(self, endpoint: str) -> str | None:
        """Return the model that the last reply from ``endpoint`` was of; None where none says."""
        with self.reading() as db:
            query = (
                "SELECT model FROM reply WHERE judge LIKE '%@' || ? AND typeof(model) = 'text'"
                " ORDER BY created_at DESC LIMIT 1"
            )
            found = db.execute(query, (endpoint,)).fetchone()
        return str(found[0]) if found else None

    def batch_is_out(self, endpoint: str) -> bool:
        """Tell whether something may still come of a batch that was handed to ``endpoint``."""
        with self.reading() as db:
            query = "SELECT 1 FROM batch WHERE endpoint = ? AND closed IS NULL LIMIT 1"
            return db.execute(query, (endpoint,)).fetchone() is not None

    def add(self, key: str, reply: ChatReply, judgment: Judgment, *, judge: str) -> int:
        """Commit a reply of ``judge`` (a label) and what it says; return its number, from 1."""
        with self.writing() as db:
            attempt = _next_number(db, key)
            db.execute(
                _INSERT,
                (
                    key, attempt, _text(judgment.video_id), _text(judge), _text(reply.text),
                    _text(reply.finish_reason), _text(reply.model), _text(reply.fingerprint),
                    reply.prompt_tokens, reply.completion_tokens,
                    json.dumps(judgment.scores) if judgment.scores else None, judgment.failure,
                    time.time(), judgment.usage.usd if judgment.usage else None,
                ),
            )  # fmt: skip
        return attempt

    def _scored(self, db: sqlite3.Connection, key: str) -> Judgment | None:
        rows = db.execute(
            "SELECT text, model, fingerprint, prompt_tokens, completion_tokens, attempt, scores,"
            " usd FROM reply WHERE key = ? AND failure IS NULL ORDER BY attempt",
            (key,),
        )
        for row in rows:
            judgment = _stored(row, self._schema)
            if judgment is not None:
                return judgment
            self.log_ignored()
        return None

    def log_ignored(self) -> None:
        """Log, once, that something in the file is not as this program writes it."""
        if not self._ignored:
            self._ignored = True
            _log.warning(
                "rows in %s that are not as this program writes them are ignored; what is missing "
                "is asked for again",
                self.path,
            )

    def replies(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all replies, as they are at one moment, by key and number."""
        with self.reading() as db:
            query = f"SELECT {', '.join(COLUMNS)} FROM reply ORDER BY key, attempt"  # noqa: S608
            for values in db.execute(query):
                yield dict(zip(COLUMNS, values, strict=True))

    def merge(self, rows: Iterable[Mapping[str, Any]], merged: Merged) -> None:
        """Commit rows of another store, each a sound one; note in ``merged`` what became of them.

        A reply that is here already is kept once. Where there are scores under a key, they stay.
        """
        with self.writing() as db:
            for row in rows:
                key, number = row["key"], row["attempt"]
                if key != merged.key:  # rows of one key come together
                    found = db.execute("SELECT scores FROM reply WHERE key = ?", (key,))
                    merged.key, merged.scored = key, any(scores_in(each) for (each,) in found)
                same = (key, row["text"], row["scores"], row["created_at"])
                if db.execute(_SAME, same).fetchone():
                    merged.here += 1
                elif merged.scored:
                    merged.others += 1
                else:
                    taken = "SELECT 1 FROM reply WHERE key = ? AND attempt = ?"
                    if db.execute(taken, (key, number)).fetchone():
                        number = _next_number(db, key)
                    values = {**row, "attempt": number}
                    db.execute(_INSERT, tuple(values[name] for name in COLUMNS))
                    merged.added += 1

    async def do(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, done in a thread so that it does not hold up the loop."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:  # the interpreter is ending: other threads take no more work
            return work()
        return await done

    async def aclose(self) -> None:
        """Close the store once all work is done."""
        self._thread.shutdown(wait=True)
        self.close()


def _text(value: str | None) -> str | None:
    return None if value is None else value.encode("utf-8", "replace").decode()


def _stored(row: tuple[Any, ...], schema: ResponseSchema) -> Judgment | None:
    """Return the judgment in a row with scores of ``schema``; None where it is not one of ours."""
    text, model, fingerprint, prompt, completion, attempt, stated, usd = row
    try:
        values = json.loads(stated)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = (
        schema.accepts(values)
        and isinstance(text, str)
        and all(name is None or isinstance(name, str) for name in (model, fingerprint))
        and all(n is None or _is_count(n, MOST_TOKENS) for n in (prompt, completion))
        and _is_count(attempt, MOST_ATTEMPTS)
        and (usd is None or (isinstance(usd, float) and 0 <= usd <= MOST_USD))
    )
    if not sound:
        return None
    usage = Usage(prompt or 0, completion or 0, usd)
    return Judgment(
        "", values, text, None, model, fingerprint, stored=True, attempts=attempt, usage=usage
    )


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and 0 <= value < most


def _next_number(db: sqlite3.Connection, key: str) -> int:
    query = (
        "SELECT COALESCE(MAX(attempt), 0) + 1 FROM reply"
        " WHERE key = ? AND typeof(attempt) = 'integer' AND attempt BETWEEN 1 AND ?"
    )
    # The next one is to be a count, too.
    (number,) = db.execute(query, (key, MOST_ATTEMPTS - 2)).fetchone()
    return int(number)


@dataclass
class Merged:
    """What became of rows from another store.

    Attributes:
        added, here: how many were added, and how many were here.
        others: how many were left out, because another reply with scores is here under their key.
        key, scored: of the last row, and whether there were scores under it before.
    """

    added: int = 0
    here: int = 0
    others: int = 0
    key: str = ""
    scored: bool = False


def scores_in(text: object) -> dict[str, int | float] | None:
    """Return the scores that a row's text states, of whatever question; None where it has none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    sound = (
        isinstance(value, dict)
        and 0 < len(value) <= _MOST_SCORES
        and all(type(n) in {int, float} and math.isfinite(n) for n in value.values())
    )
    return value if sound else None


# ---- locks between processes ----

_OFFSET_HEX_DIGITS = 15  # 60 bits: file offsets are signed 64-bit numbers
_FLOCK = "hhqqi"  # struct flock of 64-bit Linux: type, whence, start, length, process
_TAKEN = {errno.EACCES, errno.EAGAIN}


class Locks:
    """Locks on judgments of the store at ``store``, for one thread, against all other ``Locks``.

    A lock is one on a byte of a file beside the store, at an offset that the judgment's key gives.
    The system releases it when its process ends, however it ends. These are locks of the open file
    (F_OFD_SETLK, fcntl(2)) and not of the process, which would lose them all as soon as it closes
    the file anywhere.
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
        """Hold the judgment ``key`` (a hexadecimal digest); false where another has it."""
        offset = int(key[:_OFFSET_HEX_DIGITS], 16)
        # The system would grant the same open file the same lock again.
        taken = offset not in self._mine and self._lock(offset, release=False)
        if taken:
            self._mine.add(offset)
        try:
            yield taken
        finally:
            if taken:
                self._mine.discard(offset)
                self._lock(offset, release=True)

    def close(self) -> None:
        """Close the file, which releases every lock taken here."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, offset: int, *, release: bool) -> bool:
        if self._file is None:
            return False
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
