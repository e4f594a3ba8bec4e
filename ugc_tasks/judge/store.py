"""What was paid for, on disk: every reply of the judge, committed before anything is done with it.

One SQLite file. A reply is kept under the digest of everything that determines it (endpoint and
whole request) and of what it is read as, so that a rerun finds it and another model, prompt, answer
or question does not. Replies that did not parse are kept too: they cost the same. The request
itself and the key are not stored. What the file looks like is in ``schema.py``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.database import why_no_place
from ugc_tasks.common.display import UserError, logger, storable
from ugc_tasks.judge import schema
from ugc_tasks.judge.forms import Form
from ugc_tasks.judge.questions import QUESTIONS
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.scores import Scores

_BUSY_S = 30.0
_ROOM = 32 << 20  # bytes: what some hundred requests under way can bring, a thousand times over
_MOST_TOKENS = 1 << 53
_MOST_USD = 1e6
_MOST_ATTEMPTS = 1_000_000

_log = logger(__name__)


class JudgeStoreError(UserError, RuntimeError):
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
    """The store at ``path``, made if absent. Safe for several threads and several processes.

    What is in the file may have been changed by anybody: replies that are not what this program
    writes are ignored, and said to be when the store is closed at the latest.
    """

    def __init__(self, path: Path, form: Form | None = None) -> None:
        """Open the store; raises ``JudgeStoreError`` where it is not one or cannot be written.

        ``form`` is that of the scores that are looked for; None for that of any question.
        """
        self.path = path
        self._forms = [form] if form else [question.form for question in QUESTIONS.values()]
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._ignored: set[tuple[str, Any]] = set()
        self._ignored_said = 0
        if (reason := why_no_place(path)) is not None:
            raise JudgeStoreError(
                f"the judgment store {path} cannot be used: {reason}; set UGC_JUDGE_STORE to "
                "another file"
            )
        with self._failing_clearly():
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.text_factory = _decoded
        try:
            with self._failing_clearly():
                self._prepare(self._db)
        except BaseException:
            self.close()
            raise

    def first_scored(self, key: str) -> StoredReply | None:
        """Return the first reply under ``key`` that has scores, None if there is none."""
        with self.reading() as db:
            return next(self._scored(db, key), None)

    def scored(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` under which there is a reply with scores."""
        with self.reading() as db:
            found = {key for key in keys if next(self._scored(db, key), None)}
        self._say_ignored()
        return found

    def _scored(self, db: sqlite3.Connection, key: str) -> Iterator[StoredReply]:
        for row in db.execute(
            "SELECT text, finish_reason, model, fingerprint, prompt_tokens,"
            " completion_tokens, attempt, scores, usd FROM reply"
            " WHERE key = ? AND failure IS NULL ORDER BY attempt",
            (key,),
        ):
            stored = _stored(row, self._forms)
            if stored is not None:
                yield stored
            else:
                self._ignored.add((key, row[6]))

    def _say_ignored(self) -> None:
        """Say how many replies were ignored, where there are more than were said before."""
        count = len(self._ignored)
        if count > self._ignored_said:
            self._ignored_said = count
            _log.warning(
                "%d judgments in %s are not as this program writes them and are ignored; what is "
                "missing is asked for again",
                count,
                self.path,
            )

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
        self._say_ignored()
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
        version, owner, empty = schema.version_of(db), schema.owner_of(db), schema.is_empty(db)
        if empty and not version and not owner:
            return
        if owner != schema.APPLICATION_ID:
            raise self._unusable("it is another program's database")
        if version > schema.VERSION:
            raise JudgeStoreError(
                f"the judgment store {self.path} was written by a newer version of ugc-videocap "
                f"(schema {version}, known is {schema.VERSION}); upgrade, or set UGC_JUDGE_STORE "
                "to another file"
            )
        if version < 1 and not empty:
            raise self._unusable(f"its schema {version} is not known")
        if schema.has_programs(db):
            raise self._unusable("it has triggers or views in it, which can change what is kept")

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
            # Extended codes have the kind in their last eight bits.
            kind = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if kind == sqlite3.SQLITE_FULL:
                raise self._full(str(error)) from None
            if kind in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise self._held(str(error)) from None
            raise self._unusable(str(error)) from None

    def _full(self, reason: str) -> JudgeStoreError:
        return JudgeStoreError(
            f"the judgment store {self.path} has no room ({reason}): make room, or set "
            "UGC_JUDGE_STORE to a file elsewhere, and run again; what is in it is kept"
        )

    def _held(self, reason: str) -> JudgeStoreError:
        return JudgeStoreError(
            f"the judgment store {self.path} is held by another program ({reason}, for more than "
            f"{_BUSY_S:.0f} s): run again when that has ended, or set UGC_JUDGE_STORE to another "
            "file"
        )

    def _unusable(self, reason: str) -> JudgeStoreError:
        return JudgeStoreError(
            f"the judgment store {self.path} cannot be used: {reason}; move it away or set "
            "UGC_JUDGE_STORE to another file"
        )


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _decoded(stored: bytes) -> str | bytes:
    """Return a text from the file; the bytes where somebody has put something else there."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _stored(row: tuple[Any, ...], forms: Sequence[Form]) -> StoredReply | None:
    """Return the reply in a row with scores of a form; None where it is not one of ours."""
    text, finish, model, fingerprint, prompt, completion, attempt, stated, usd = row
    try:
        values = json.loads(stated)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = (
        any(form.holds(values) for form in forms)
        and isinstance(text, str)
        and all(name is None or isinstance(name, str) for name in (finish, model, fingerprint))
        and all(n is None or _is_count(n, _MOST_TOKENS) for n in (prompt, completion))
        and _is_count(attempt, _MOST_ATTEMPTS)
        and (usd is None or (isinstance(usd, float) and 0 <= usd <= _MOST_USD))
    )
    if not sound:
        return None
    reply = ChatReply(text, finish, model, fingerprint, prompt, completion)
    return StoredReply(reply, attempt, Scores(**values), None, usd)


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and 0 <= value < most
