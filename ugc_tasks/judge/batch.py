"""Judgments by the batch: half the price, within a day. What comes back is put into the store.

Batches only fill the store: an item whose judgment came finds it there, and one whose did not (its
line failed, the batch expired) is asked for by a single request like any other.

A batch is entered in the ledger before it leaves, so a run that is killed at any point is resumed
by the next: by the batch's id, and where even that was lost by looking for our tag among the
endpoint's batches. One process sees a batch through at a time; others that want the same judgments
wait for it. A batch that is out is waited for in either mode: its judgments are paid for already.
One that the endpoint no longer knows is closed, and its judgments are asked for again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from ugc_tasks.judge.cache import BatchEntry, BatchLedger, JudgeStoreError, JudgmentCache, Locks
from ugc_tasks.judge.cost import Meter, estimated_tokens, tell
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.batch_api import (
    MAX_ANSWERS,
    Batch,
    BatchApi,
    NotThere,
    Part,
    QueueFull,
    parts,
    replies,
)
from ugc_tasks.judge.transport.client import Connection
from ugc_tasks.judge.transport.errors import JudgeRefused, RetryableError
from ugc_tasks.judge.transport.retry import Backoff, CircuitBreaker, retried
from ugc_tasks.judge.types import ChatReply, Usage

Keep = Callable[[str, ChatReply | None, Usage], Awaitable[None]]
"""Puts the reply for a judgment's key on disk; None for one that was billed and is lost."""

_Bodies = Mapping[str, Mapping[str, Any]]
_T = TypeVar("_T")
_LOCK_POLL_S = 0.25
_PLANNING = hashlib.sha256(b"planning of batches").hexdigest()
_OVERDUE_S = 2 * 86_400.0  # a batch has a day, and is then expired by the endpoint
_QUEUE_SHARE = 0.8  # of the queue's tokens that a batch may have by our count
_QUEUE_WAITS = 300  # for other batches, one after another, without one of ours going through
_QUEUE_LONGEST = 10  # of those waits, in longest waits between tries
_AGAIN = "its clips are asked for again"


class _Unreachable(JudgeRefused):
    """The endpoint did not answer for as long as it was tried."""


@dataclass(frozen=True)
class _Plan:
    """Batches to hand in, the money set aside for them, and the keys of all requests in question.

    A key that is in none of these batches has a request that no batch can hold.
    """

    parts: list[tuple[BatchEntry, Part]]
    keys: Set[str]
    aside: ExitStack


@dataclass
class _Queue:
    """How many requests the account's queue takes at once, None for all that there are."""

    size: int | None = None
    waits: int = 0


class Batches:
    """The batches of one judge; use it within one event loop."""

    def __init__(
        self,
        cache: JudgmentCache,
        locks: Locks,
        *,
        settings: JudgeSettings,
        meter: Meter,
        breaker: CircuitBreaker,
        refuse: Callable[[str], None],
        backoff: Backoff,
    ) -> None:
        """``refuse`` stops all asking, ``breaker`` tells whether it did."""
        self._ledger = BatchLedger(cache, settings.endpoint)
        self._cache = cache
        self._locks = locks
        self._settings = settings
        self._meter = meter
        self._breaker = breaker
        self._refuse = refuse
        self._backoff = backoff
        self._connection: Connection | None = None  # as long as no batch is begun
        self._api: BatchApi
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._bought: set[str] = set()
        self._left: set[str] = set()  # tags of batches that this run goes on without
        self._withheld: dict[str, str] = {}  # why a judgment must not be asked for again, by key

    def is_out(self, key: str) -> bool:
        """Tell whether a batch of an earlier run may bring ``key``, and nobody waits for it yet."""
        return key not in self._tasks and any(key in entry.keys for entry in self._ledger.open())

    def start(self, bodies: _Bodies, keep: Keep, *, hand_in: bool = True) -> None:
        """Begin to fill the store with the judgments of ``bodies``, requests by key.

        Batches of earlier runs are collected. With ``hand_in``, what they do not bring is put into
        new ones (``UGC_JUDGE_MODE=batch``).
        """
        fresh = {key: body for key, body in bodies.items() if key not in self._tasks}
        if not fresh or not (self._settings.batch or self._ledger.open()):
            return
        if self._connection is None:
            at = self._settings
            self._connection = Connection(
                at.base_url,
                at.api_key,
                endpoint=at.endpoint,
                timeout=at.timeout,
                largest=MAX_ANSWERS,
            )
            self._api = BatchApi(self._connection)
        task = asyncio.get_running_loop().create_task(
            self._fill(fresh, keep, hand_in=hand_in and self._settings.batch)
        )
        self._tasks |= dict.fromkeys(fresh, task)
        self._bodies |= fresh

    async def settled(self, key: str) -> bool:
        """Return when no batch will bring ``key`` any more; tell whether one did in this run.

        Raises ``JudgeRefused`` where one may, but the endpoint cannot be asked about it now.
        """
        if key in self._tasks:
            await asyncio.shield(self._tasks[key])
        if key in self._withheld:
            raise JudgeRefused(self._withheld[key])
        return key in self._bought

    async def aclose(self) -> None:
        """Stop watching. What is out goes on there, and the next run collects it."""
        for task in set(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*set(self._tasks.values()), return_exceptions=True)
        if self._connection is not None:
            await self._connection.aclose()

    async def _fill(self, bodies: _Bodies, keep: Keep, *, hand_in: bool) -> None:
        """Collect the batches of earlier runs, then hand in what is missing until all was tried."""
        tried: set[str] = set()
        queue = _Queue()
        try:
            while True:
                for entry in self._open_batches(bodies):
                    await self._carry_out(entry, None, keep)
                if not hand_in:
                    return
                planned = await self._plan(bodies, tried, queue.size)
                if planned is None:
                    continue  # another process has just handed some of these in
                with planned.aside:
                    if not planned.keys:
                        return
                    full = await asyncio.gather(
                        *(self._carry_out(entry, part, keep) for entry, part in planned.parts)
                    )
                refused = [
                    (part, said)
                    for (_, part), said in zip(planned.parts, full, strict=True)
                    if said is not None
                ]
                returned = {key for part, _ in refused for key in part.keys}
                tried |= planned.keys - returned
                if len(refused) < len(planned.parts):
                    queue.waits = 0
                if refused:
                    await self._find_size(queue, *min(refused, key=lambda each: len(each[0].keys)))
        except (JudgeRefused, JudgeStoreError) as error:
            self._refuse(str(error))

    def _open_batches(self, bodies: _Bodies) -> list[BatchEntry]:
        """Return the batches that were handed in with judgments that are wanted."""
        return [
            entry
            for entry in self._ledger.open()
            if entry.tag not in self._left and not bodies.keys().isdisjoint(entry.keys)
        ]

    async def _plan(self, bodies: _Bodies, tried: set[str], size: int | None) -> _Plan | None:
        """Enter what is missing in the ledger; None where others were quicker with a part of it.

        ``size`` is the most requests that are handed in at once, None for all.
        """
        async with self._locked(_PLANNING):  # two runs must not both decide on the same
            if self._open_batches(bodies):
                return None
            stored = self._cache.scored(bodies)
            missing = {k: b for k, b in bodies.items() if k not in stored and k not in tried}
            self._cache.require_room()
            affordable, aside = self._meter.afford(dict(islice(missing.items(), size)))
            planned = [
                (self._ledger.enter(part.sha256, part.keys), part) for part in parts(affordable)
            ]
            return _Plan(planned, affordable.keys(), aside)

    async def _find_size(self, queue: _Queue, part: Part, full: QueueFull) -> None:
        """Find how much to hand in at once after the account's queue had no room for ``part``.

        Where it should have room for that, it is full of other batches: they are waited for.
        """
        count, fits = len(part.keys), 0
        if full.limit is not None:
            tokens = sum(estimated_tokens(self._bodies[key]) for key in part.keys)
            fits = int(count * _QUEUE_SHARE * full.limit / max(1, tokens))
        others = (count == 1 or fits >= count) and await self._others_are_out()
        if not others and count > 1:
            queue.size = max(1, min(count // 2, fits or count))
            tell(
                f"the account's queue has no room for a batch of {count} ({full}): "
                f"{queue.size} are handed in at a time"
            )
            return
        if not others or queue.waits >= _QUEUE_WAITS:
            raise JudgeRefused(
                f"{self._settings.endpoint} has no room in the account's queue for a batch of "
                f"{count} ({full}): run again later, or unset UGC_JUDGE_MODE; what was judged is "
                "kept"
            )
        queue.size = count
        if not queue.waits:
            tell(f"the account's queue is full of other batches ({full}): waiting for them")
        queue.waits += 1
        await self._breaker.sleep(
            min(_QUEUE_LONGEST * self._backoff.longest, self._backoff.first * 2.0**queue.waits)
        )

    async def _others_are_out(self) -> bool:
        try:
            ended = self._ledger.closed_tags()
            return await self._insist(partial(self._api.others_are_out, ended))
        except (JudgeRefused, QueueFull):  # it does not list them
            self._breaker.check()
            return False

    async def _carry_out(
        self, entry: BatchEntry, part: Part | None, keep: Keep
    ) -> QueueFull | None:
        """Hand a batch in if it is new (``part``), wait for its end, keep its replies.

        Returns why it must be handed in again in smaller pieces, None if it need not.
        """
        async with self._locked(hashlib.sha256(entry.tag.encode()).hexdigest()):
            current = next((e for e in self._ledger.open() if e.tag == entry.tag), None)
            if current is None:
                return None  # another process has seen it through meanwhile
            try:
                batch = await self._submitted(current, part)
                if batch is None:
                    self._ledger.close(current.tag, "it was never handed in")
                    return None
                batch = await self._wait_for_end(current, batch)
                came = await self._collect(current, batch, keep)
                self._ledger.close(current.tag, batch.status)
                if batch.status == "failed" and not came:
                    self._explain_failure(batch, of_this_run=part is not None)
            except QueueFull as full:
                self._ledger.close(current.tag, "no room in the queue")
                return full
            except NotThere as error:
                self._give_up(current, f"{self._settings.endpoint} {error}")
            except JudgeRefused as error:
                self._go_on_without(current, error)
            return None

    def _explain_failure(self, batch: Batch, *, of_this_run: bool) -> None:
        """Say why a batch failed as a whole; raise it where the next one would fail as well."""
        if batch.queue_full:
            raise QueueFull(batch.problem)
        why = batch.problem or "it does not say why"
        if of_this_run:
            raise JudgeRefused(
                f"{self._settings.endpoint} refused the batch {batch.id} as a whole ({why}): "
                "correct that, or unset UGC_JUDGE_MODE"
            )
        tell(f"batch {batch.id} of an earlier run failed as a whole ({why}); {_AGAIN}")

    def _give_up(self, entry: BatchEntry, why: str) -> None:
        """Close a batch that nothing will come of any more."""
        self._ledger.close(entry.tag, "given up")
        tell(f"batch {entry.batch} can no longer be had ({why}); {_AGAIN}")

    def _go_on_without(self, entry: BatchEntry, error: JudgeRefused) -> None:
        """Go on without a batch that cannot be looked at now, or raise ``error``.

        In request mode a batch that an earlier run handed in must not stop the run.
        """
        self._breaker.check()
        late = time.time() - entry.created_at > _OVERDUE_S
        if late and isinstance(error, _Unreachable):
            self._give_up(entry, str(error))
        elif self._settings.batch:
            raise error
        else:
            self._left.add(entry.tag)
            name = entry.batch or "of an earlier run"
            if isinstance(error, _Unreachable):  # it may be there again soon, and is paid for
                self._withheld |= dict.fromkeys(entry.keys, str(error))
                tell(f"batch {name} cannot be looked at now ({error})")
            else:
                tell(f"batch {name} cannot be looked at ({error}); {_AGAIN}")

    async def _submitted(self, entry: BatchEntry, part: Part | None) -> Batch | None:
        if entry.batch is not None:
            return await self._status_of(entry, entry.batch)
        if part is not None:
            batch = await self._submit(entry, part)
        else:  # a run was killed before it wrote down what became of it
            # Without a file there can be no batch: its id is written down before one is made.
            found = await self._insist(partial(self._api.find, entry.tag)) if entry.file else None
            if found is None:
                return None
            batch = found
        self._ledger.note(entry.tag, batch=batch.id)
        tell(f"batch {batch.id}: {len(entry.keys)} judgments are asked for; a rerun resumes it")
        return batch

    async def _submit(self, entry: BatchEntry, part: Part) -> Batch:
        name = f"ugc-videocap-{entry.tag}.jsonl"
        file = await self._insist(partial(self._api.upload, name, part.content))
        self._ledger.note(entry.tag, file=file)

        async def create() -> Batch:
            # A try whose answer was lost may have made it.
            found = await self._api.find(entry.tag)
            if found is not None:
                return found
            try:
                return await self._api.create(file, entry.tag, entry.sha256)
            except JudgeRefused:
                self._ledger.close(entry.tag, "declined")
                raise

        return await self._insist(create)

    async def _status_of(self, entry: BatchEntry, batch: str) -> Batch:
        """Return how a batch stands; raises ``NotThere`` where the endpoint knows it no longer."""
        try:
            return await self._asked_twice(partial(self._api.get, batch))
        except NotThere as error:
            try:
                found = await self._insist(partial(self._api.find, entry.tag))
            except _Unreachable:  # it may be listed there, and is paid for
                raise
            except JudgeRefused:
                self._breaker.check()
                if error.gone:
                    raise error from None
                raise JudgeRefused(f"{self._settings.endpoint} {error}") from None
            if found is None:
                raise
            return found

    async def _asked_twice(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``call`` returns; what is declined is asked for once more, after a while.

        What was made a moment ago need not be known to every server of the endpoint.
        """
        try:
            return await self._insist(call)
        except NotThere:
            await self._breaker.sleep(self._backoff.wait(1, 0.0))
        return await self._insist(call)

    async def _wait_for_end(self, entry: BatchEntry, batch: Batch) -> Batch:
        looks, seen, odd = 0, "", 0.0
        while not batch.ended:
            if time.time() - entry.created_at > _OVERDUE_S:
                raise NotThere(f"says {batch.status!r} two days after it was handed in")
            looks += 1
            state = f"{batch.status}, {batch.done} of {batch.total or len(entry.keys)}"
            if state != seen:
                tell(f"batch {batch.id}: {state}")
                seen = state
            wait = min(self._backoff.longest, self._backoff.first * 1.5 ** min(looks, 30))
            odd = 0.0 if batch.known else odd + wait
            if odd > self._settings.deadline:
                raise NotThere(f"says {batch.status!r} of it, which is no known state")
            await self._breaker.sleep(wait)
            batch = await self._status_of(entry, batch.id)
        tell(f"batch {batch.id}: {batch.status}, {batch.done} of {batch.total}")
        return batch

    async def _collect(self, entry: BatchEntry, batch: Batch, keep: Keep) -> int:
        """Put the replies into the store, those not that a run before a kill put there.

        Return how many came.
        """
        there, since = self._cache.scored(entry.keys), entry.created_at
        came = 0
        for file in filter(None, (batch.output, batch.errors)):
            try:
                content = await self._asked_twice(partial(self._api.content, file))
            except NotThere as error:
                tell(
                    f"batch {batch.id}: a file of answers can no longer be had ({error}); {_AGAIN}"
                )
                if file == batch.output:
                    await self._bill_lost([k for k in entry.keys if k not in there], batch, keep)
                continue
            found = replies(content, entry.keys, self._settings.api_key)
            came += len(found)
            for key, reply in found.items():
                if key in there or self._cache.holds(key, reply, since=since):
                    continue
                await keep(key, reply, self._meter.batched(self._bodies.get(key), reply))
                self._bought.add(key)
        if came < len(entry.keys) and batch.status != "failed":
            missing = len(entry.keys) - came
            tell(f"batch {batch.id}: {missing} answers did not come; {_AGAIN}")
        return came

    async def _bill_lost(self, keys: Sequence[str], batch: Batch, keep: Keep) -> None:
        """Count what was billed and cannot be had, as far as that can be estimated."""
        for key in keys[: batch.done]:
            usage = self._meter.batched(self._bodies.get(key), ChatReply(""))
            await keep(key, None, usage)

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``call`` returns, called again while what is wrong may pass."""
        try:
            return await retried(
                call,
                backoff=self._backoff,
                breaker=self._breaker,
                within=self._settings.deadline,
            )
        except RetryableError as error:
            raise _Unreachable(
                f"{self._settings.endpoint}: {error}; what was handed in goes on there, "
                "run again to collect it"
            ) from None

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        while True:
            with self._locks.locked(key) as mine:
                if mine:
                    yield
                    return
            await asyncio.sleep(_LOCK_POLL_S)
