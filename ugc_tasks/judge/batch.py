"""Judgments by the batch: half the price, within a day. What comes back is put into the store.

Batches only fill the store: an item whose judgment came finds it there, and one whose did not (its
line failed, the batch expired) is asked for by a single request like any other.

A batch is entered in the ledger before it leaves, so a run that is killed at any point is resumed
by the next: by the batch's id, and where even that was lost by our tag among the endpoint's
batches. One process sees a batch through at a time. A batch that is out is waited for in either
mode: its judgments are paid for already. One that the endpoint no longer knows is closed, and its
judgments are asked for again. One for which the account's queue has no room is handed in by halves.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from itertools import islice
from typing import Any, Literal, NamedTuple

from ugc_tasks.judge.cache import ROOM, JudgmentCache, Locks
from ugc_tasks.judge.cost import Meter, tell
from ugc_tasks.judge.transport.batch_api import (
    Batch,
    BatchApi,
    NotThere,
    Part,
    QueueFull,
    Unreachable,
    is_id,
    next_part,
    replies,
)
from ugc_tasks.judge.transport.errors import JudgeRefused, RequestFailed
from ugc_tasks.judge.types import ChatReply, Usage

_Keep = Callable[[str, ChatReply, Usage], Awaitable[object]]  # puts a reply on disk, by key
_Bodies = Mapping[str, Mapping[str, Any]]
_LOCK_POLL_S = 0.25
_PLANNING = hashlib.sha256(b"planning of batches").hexdigest()
_OVERDUE_S = 2 * 86_400.0  # a batch has a day, and is then expired by the endpoint
_AGAIN = "its clips are asked for again"


class BatchEntry(NamedTuple):
    """A batch: our tag, its judgments' keys, when it was entered, the endpoint's two ids."""

    tag: str
    keys: tuple[str, ...]
    created_at: float
    file: str | None = None
    batch: str | None = None


class BatchLedger:
    """The batches in ``cache`` that were handed, or were to be, to ``endpoint``.

    Each is entered before anything of it leaves this machine, under a tag of ours that goes with it
    as metadata. So whatever moment a run is killed at, the next one knows what to look for.
    """

    def __init__(self, cache: JudgmentCache, endpoint: str) -> None:
        self._cache = cache
        self._endpoint = endpoint

    def enter(self, part: Part) -> BatchEntry:
        """Commit a new batch to disk and return it."""
        entry = BatchEntry(uuid.uuid4().hex, part.keys, time.time())
        sha256 = hashlib.sha256(part.content).hexdigest()
        with self._cache.writing() as db:
            db.execute(
                "INSERT INTO batch (tag, endpoint, sha256, keys, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.tag, self._endpoint, sha256, json.dumps(entry.keys), entry.created_at),
            )
        return entry

    def note(
        self, entry: BatchEntry, column: Literal["file", "batch", "closed"], value: str
    ) -> None:
        """Commit what the endpoint calls a batch or its file, or why nothing more comes of it."""
        with self._cache.writing() as db:
            query = f"UPDATE batch SET {column} = ? WHERE tag = ?"  # noqa: S608
            db.execute(query, (value, entry.tag))

    def open(self) -> list[BatchEntry]:
        """Return the batches that something may still come of, the oldest first."""
        with self._cache.reading() as db:
            rows = db.execute(
                "SELECT tag, keys, created_at, file, batch FROM batch"
                " WHERE endpoint = ? AND closed IS NULL ORDER BY created_at, tag",
                (self._endpoint,),
            ).fetchall()
        entries = [entry for row in rows if (entry := _entry(*row)) is not None]
        if len(entries) < len(rows):
            self._cache.log_ignored()
        return entries


def _entry(tag: Any, stated: Any, created_at: Any, file: Any, batch: Any) -> BatchEntry | None:
    try:
        keys = tuple(json.loads(stated))
        sound = all(re.fullmatch("[0-9a-f]{32,64}", each) for each in (tag, *keys))
    except (ValueError, TypeError, RecursionError):
        return None
    known = all(each is None or is_id(each) for each in (file, batch))
    if not sound or not known or not isinstance(created_at, float):
        return None
    return BatchEntry(tag, keys, created_at, file, batch)


class Batches:
    """The batches of one judge; use it within one event loop."""

    def __init__(
        self, api: BatchApi, cache: JudgmentCache, locks: Locks, keep: _Keep, meter: Meter
    ) -> None:
        self.api = api
        self._cache = cache
        self._locks = locks
        self._keep = keep
        self._meter = meter
        self._ledger = BatchLedger(cache, api.settings.endpoint)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._bought: set[str] = set()
        self._left: set[str] = set()  # tags of batches that this run goes on without
        self._withheld: dict[str, str] = {}  # why a judgment must not be asked for again, by key

    def start(self, bodies: _Bodies, hand_in: bool) -> None:
        """Begin to collect what batches of earlier runs have of ``bodies``, requests by key.

        With ``hand_in``, what they do not bring is put into new ones.
        """
        fresh = {key: body for key, body in bodies.items() if key not in self._tasks}
        if fresh:
            task = asyncio.get_running_loop().create_task(self._fill(fresh, hand_in))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # heeded
            self._tasks |= dict.fromkeys(fresh, task)
            self._bodies |= fresh

    async def settled(self, key: str, body: Mapping[str, Any]) -> bool:
        """Return when no batch will bring ``key`` any more; tell whether one did in this run.

        Raises ``RequestFailed`` where one may, but the endpoint cannot be asked about it now.
        """
        # Asked for before it was known what there is, while a batch of an earlier run may have it.
        if key not in self._tasks and self._out({key: body}):
            self.start({key: body}, hand_in=False)
        if key in self._tasks:
            await asyncio.shield(self._tasks[key])
        if key in self._withheld:
            raise RequestFailed(self._withheld[key])
        return key in self._bought

    def _out(self, bodies: _Bodies) -> list[BatchEntry]:
        """Return the batches that were handed in with judgments that are wanted."""
        return [
            entry
            for entry in self._ledger.open()
            if entry.tag not in self._left and not bodies.keys().isdisjoint(entry.keys)
        ]

    async def _fill(self, bodies: _Bodies, hand_in: bool) -> None:
        """Collect the batches of earlier runs, then hand in what is missing until all was tried."""
        untried, most = dict(bodies), len(bodies)
        while True:
            for entry in self._out(bodies):
                await self._see_through(entry, None)
            with ExitStack() as aside:
                async with self._locked(_PLANNING):  # two runs must not both decide on the same
                    if self._out(bodies):
                        continue  # another process has just handed some of these in
                    for key in self._cache.scored(untried):
                        del untried[key]
                    if not (hand_in and untried):
                        return
                    self._cache.require_room(ROOM)
                    affordable = self._meter.afford(islice(untried.items(), most))
                    part = next_part(aside.enter_context(affordable))
                    if not part.keys:
                        return
                    entry = self._ledger.enter(part)
                try:
                    await self._see_through(entry, part)
                except QueueFull as full:
                    most = len(part.keys) // 2
                    room = f"no room in the account's queue for {len(part.keys)} requests ({full})"
                    if not most:
                        raise JudgeRefused(
                            f"{self.api.settings.endpoint} has {room}: run again later, or unset "
                            "UGC_JUDGE_MODE; what was judged is kept"
                        ) from None
                    tell(f"there is {room}: {most} are handed in at a time")
                    continue
            for key in part.keys:
                del untried[key]

    async def _see_through(self, entry: BatchEntry, part: Part | None) -> None:
        """Hand a batch in if it is new (``part``), wait for its end, keep its replies.

        Raises ``QueueFull`` where it must be handed in again in smaller pieces.
        """
        async with self._locked(hashlib.sha256(entry.tag.encode()).hexdigest()):
            current = next((e for e in self._ledger.open() if e.tag == entry.tag), None)
            if current is None:
                return  # another process has seen it through meanwhile
            try:
                batch = await self._handed_in(current, part)
                if batch is None:
                    self._ledger.note(current, "closed", "it was never handed in")
                    return
                batch = await self._ended(current, batch)
                came = await self._collect(current, batch)
                self._ledger.note(current, "closed", batch.status)
                if batch.status == "failed" and not came:
                    self._explain_failure(batch, of_this_run=part is not None)
            except QueueFull:
                self._ledger.note(current, "closed", "no room in the queue")
                raise
            except NotThere as error:
                self._give_up(current, f"{self.api.settings.endpoint} {error}")
            except JudgeRefused as error:
                self._go_on_without(current, error)

    async def _handed_in(self, entry: BatchEntry, part: Part | None) -> Batch | None:
        """Return how a batch stands, handed in now if it is new; None where it never was."""
        if entry.batch is not None:
            return await self.api.look(entry.batch, entry.tag)
        if part is not None:
            file = await self.api.upload(f"ugc-videocap-{entry.tag}.jsonl", part.content)
            self._ledger.note(entry, "file", file)  # before there can be a batch of it
            batch: Batch | None = await self.api.create(file, entry.tag)
        else:  # a run was killed before it wrote down what became of it
            batch = await self.api.find(entry.tag) if entry.file else None
        if batch is not None:
            self._ledger.note(entry, "batch", batch.id)
            tell(f"batch {batch.id}: {len(entry.keys)} judgments are asked for; a rerun resumes it")
        return batch

    async def _ended(self, entry: BatchEntry, batch: Batch) -> Batch:
        """Return how a batch stands when nothing more will come of it."""
        wait, seen, unknown_s = self.api.backoff.first, "", 0.0
        while not batch.ended:
            if time.time() - entry.created_at > _OVERDUE_S:
                raise NotThere(f"says {batch.status!r} of it two days after it was handed in")
            state = f"{batch.status}, {batch.done} of {len(entry.keys)}"
            if state != seen:
                tell(f"batch {batch.id}: {state}")
                seen = state
            wait = min(self.api.backoff.longest, 1.5 * wait)
            unknown_s = 0.0 if batch.known else unknown_s + wait
            if unknown_s > self.api.settings.deadline:
                raise NotThere(f"says {batch.status!r} of it, which is no known state")
            await self.api.breaker.sleep(wait)
            batch = await self.api.look(batch.id, entry.tag)
        tell(f"batch {batch.id}: {batch.status}, {batch.done} of {len(entry.keys)}")
        return batch

    async def _collect(self, entry: BatchEntry, batch: Batch) -> int:
        """Put the replies into the store that a run before a kill did not; return how many came."""
        there = self._cache.scored(entry.keys)
        came: dict[str, ChatReply] = {}
        if batch.output is not None:
            try:
                content = await self.api.content(batch.output)
                came = replies(content, entry.keys, self.api.settings.api_key)
            except NotThere as error:
                tell(f"batch {batch.id}: its answers can no longer be had ({error})")
                # As many as were billed count as replies without text.
                for key in [key for key in entry.keys if key not in there][: batch.done]:
                    reply = ChatReply("")
                    await self._keep(key, reply, self._meter.batched(self._bodies.get(key), reply))
        for key, reply in came.items():
            if key not in there and not self._cache.holds(key, reply, since=entry.created_at):
                await self._keep(key, reply, self._meter.batched(self._bodies.get(key), reply))
                self._bought.add(key)
        missing = len(entry.keys) - len(came)
        if missing and batch.status != "failed":
            tell(f"batch {batch.id}: {missing} answers did not come; {_AGAIN}")
        return len(came)

    def _explain_failure(self, batch: Batch, *, of_this_run: bool) -> None:
        """Say why a batch failed as a whole; raise it where the next one would fail as well."""
        why = f"batch {batch.id} failed as a whole ({batch.problem or 'it does not say why'})"
        if not of_this_run:
            tell(f"{why} after an earlier run; {_AGAIN}")
        elif batch.queue_full:
            raise QueueFull(batch.problem)
        else:
            raise JudgeRefused(
                f"{self.api.settings.endpoint}: {why}: correct that, or unset UGC_JUDGE_MODE"
            )

    def _go_on_without(self, entry: BatchEntry, error: JudgeRefused) -> None:
        """Go on without a batch that cannot be looked at now; in batch mode raise ``error``."""
        self.api.breaker.check()
        unreachable = isinstance(error, Unreachable)
        if unreachable and time.time() - entry.created_at > _OVERDUE_S:
            self._give_up(entry, str(error))
        elif self.api.settings.batch:
            raise error
        else:
            self._left.add(entry.tag)
            said = f"batch {entry.batch or 'of an earlier run'} cannot be looked at ({error})"
            if unreachable:  # it may be there again soon, and is paid for
                self._withheld |= dict.fromkeys(entry.keys, str(error))
            tell(said if unreachable else f"{said}; {_AGAIN}")

    def _give_up(self, entry: BatchEntry, why: str) -> None:
        self._ledger.note(entry, "closed", "given up")
        tell(f"batch {entry.batch} can no longer be had ({why}); {_AGAIN}")

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        while True:
            with self._locks.locked(key) as mine:
                if mine:
                    yield
                    return
            await asyncio.sleep(_LOCK_POLL_S)
