"""Judgments by the batch: half the price, within a day. What comes back is put into the store.

Batches only fill the store: an item whose judgment came finds it there, and one whose did not (its
line failed, the batch expired) is asked for by a single request like any other.

A batch is entered in the ledger before it leaves, so a run that is killed at any point is resumed
by the next: by the batch's id, and where even that was lost by looking for our tag among the
endpoint's batches. One process sees a batch through at a time; others that want the same judgments
wait for it. A batch that is out is waited for in either mode: its judgments are paid for already.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ugc_tasks.judge.announcement import tell
from ugc_tasks.judge.batch_api import MAX_ANSWERS, Batch, BatchApi
from ugc_tasks.judge.batch_ledger import BatchLedger, Entry
from ugc_tasks.judge.batch_lines import Part, parts, replies
from ugc_tasks.judge.budget import Aside, Meter
from ugc_tasks.judge.claims import Claims
from ugc_tasks.judge.connection import Connection
from ugc_tasks.judge.failures import JudgeRefused, Passing
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore
from ugc_tasks.judge.tries import Backoff, Refusal
from ugc_tasks.judge.usage import Usage

Keep = Callable[[str, ChatReply, Usage], Awaitable[None]]
"""Puts the reply for a judgment's key on disk."""

_Bodies = Mapping[str, Mapping[str, Any]]
_T = TypeVar("_T")
_CLAIM_POLL_S = 0.25
_PLANNING = hashlib.sha256(b"planning of batches").hexdigest()


@dataclass(frozen=True)
class _Plan:
    """Batches to hand in, and the money for them."""

    parts: list[tuple[Entry, Part]]
    aside: Aside


class Batches:
    """The batches of one judge; use it within one event loop."""

    def __init__(
        self,
        store: JudgmentStore,
        claims: Claims,
        *,
        settings: JudgeSettings,
        meter: Meter,
        refusal: Refusal,
        refuse: Callable[[str], None],
        backoff: Backoff,
    ) -> None:
        """``refuse`` stops all asking, ``refusal`` tells whether it did."""
        self._connection = Connection(
            settings.base_url,
            settings.api_key,
            timeout=settings.timeout,
            largest=MAX_ANSWERS,
            pools=1,
        )
        self._api = BatchApi(self._connection, endpoint=settings.endpoint, api_key=settings.api_key)
        self._ledger = BatchLedger(store, settings.endpoint)
        self._store = store
        self._claims = claims
        self._settings = settings
        self._meter = meter
        self._refusal = refusal
        self._refuse = refuse
        self._backoff = backoff
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._bought: set[str] = set()

    def start(self, bodies: _Bodies, keep: Keep) -> None:
        """Begin to fill the store with the judgments of ``bodies``, requests by key."""
        fresh = {key: body for key, body in bodies.items() if key not in self._tasks}
        if not fresh or not (self._settings.batch or self._ledger.open()):
            return
        task = asyncio.get_running_loop().create_task(self._fill(fresh, keep))
        self._tasks |= dict.fromkeys(fresh, task)
        self._bodies |= fresh

    async def settled(self, key: str) -> bool:
        """Return when no batch will bring ``key`` any more; tell whether one did in this run."""
        if key in self._tasks:
            await asyncio.shield(self._tasks[key])
        return key in self._bought

    async def aclose(self) -> None:
        """Stop watching. What is out goes on there, and the next run collects it."""
        for task in set(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*set(self._tasks.values()), return_exceptions=True)
        await self._connection.aclose()

    async def _fill(self, bodies: _Bodies, keep: Keep) -> None:
        tried: set[str] = set()
        try:
            while True:
                for entry in self._out(bodies):
                    await self._see_through(entry, None, keep)
                if not self._settings.batch:
                    return
                planned = await self._plan(bodies, tried)
                if planned is None:
                    continue  # somebody else has just handed some of these in
                with planned.aside:
                    if not planned.parts:
                        return
                    tried.update(key for entry, _ in planned.parts for key in entry.keys)
                    await asyncio.gather(
                        *(self._see_through(entry, part, keep) for entry, part in planned.parts)
                    )
        except (JudgeRefused, JudgeStoreError) as error:
            self._refuse(str(error))

    def _out(self, bodies: _Bodies) -> list[Entry]:
        """Return the batches that are out with judgments that are wanted."""
        return [entry for entry in self._ledger.open() if not bodies.keys().isdisjoint(entry.keys)]

    async def _plan(self, bodies: _Bodies, tried: set[str]) -> _Plan | None:
        """Enter what is missing in the ledger; None where others were quicker with a part of it."""
        async with self._claimed(_PLANNING):  # two runs must not both decide on the same
            if self._out(bodies):
                return None
            stored = self._store.scored(bodies)
            missing = {k: b for k, b in bodies.items() if k not in stored and k not in tried}
            self._store.require_room()
            affordable, aside = self._meter.afford(missing)
            return _Plan(
                [(self._ledger.enter(part.sha256, part.keys), part) for part in parts(affordable)],
                aside,
            )

    async def _see_through(self, entry: Entry, part: Part | None, keep: Keep) -> None:
        """Hand a batch in if it is new (``part``), wait for its end, keep its replies."""
        async with self._claimed(hashlib.sha256(entry.tag.encode()).hexdigest()):
            current = next((e for e in self._ledger.open() if e.tag == entry.tag), None)
            if current is None:
                return  # another process has seen it through meanwhile
            batch = await self._handed_in(current, part)
            if batch is None:
                self._ledger.close(current.tag, "it was never handed in")
                return
            batch = await self._ended(batch)
            if batch.status == "failed" and not batch.files:
                self._ledger.close(current.tag, "failed")
                raise JudgeRefused(
                    f"{self._settings.endpoint} refused the batch {batch.id} as a whole "
                    f"({batch.problem or 'it does not say why'}): correct that, or unset "
                    "UGC_JUDGE_MODE"
                )
            await self._collect(current, batch, keep)
            self._ledger.close(current.tag, batch.status)

    async def _handed_in(self, entry: Entry, part: Part | None) -> Batch | None:
        if entry.batch is not None:
            return await self._insist(partial(self._api.get, entry.batch))
        if part is not None:
            batch = await self._hand_in(entry, part)
        else:  # a run was killed before it wrote down what became of it
            found = await self._insist(partial(self._api.find, entry.tag))
            if found is None:
                return None
            batch = found
        self._ledger.note(entry.tag, batch=batch.id)
        tell(f"batch {batch.id}: {len(entry.keys)} judgments are asked for; a rerun resumes it")
        return batch

    async def _hand_in(self, entry: Entry, part: Part) -> Batch:
        name = f"ugc-videocap-{entry.tag}.jsonl"
        file = await self._insist(partial(self._api.upload, name, part.content))
        self._ledger.note(entry.tag, file=file)

        async def create() -> Batch:
            # A try whose answer was lost may have made it.
            return await self._api.find(entry.tag) or await self._api.create(
                file, entry.tag, entry.sha256
            )

        return await self._insist(create)

    async def _ended(self, batch: Batch) -> Batch:
        looks, seen = 0, ""
        while not batch.ended:
            looks += 1
            state = f"{batch.status}, {batch.done} of {batch.total}"
            if state != seen:
                tell(f"batch {batch.id}: {state}")
                seen = state
            await self._refusal.sleep(
                min(self._backoff.longest, self._backoff.first * 1.5 ** min(looks, 30))
            )
            batch = await self._insist(partial(self._api.get, batch.id))
        tell(f"batch {batch.id}: {batch.status}, {batch.done} of {batch.total}")
        return batch

    async def _collect(self, entry: Entry, batch: Batch, keep: Keep) -> None:
        """Put the replies into the store, those not that a run before a kill put there."""
        there = self._store.scored(entry.keys)
        for file in batch.files:
            content = await self._insist(partial(self._api.content, file))
            found = replies(content, entry.keys, self._settings.api_key)
            for key, reply in found.items():
                if key in there:
                    continue
                there.add(key)
                await keep(key, reply, self._meter.batched(self._bodies.get(key), reply))
                self._bought.add(key)

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``call`` returns, called again while what is wrong may pass."""
        waited, tries = 0.0, 0
        while True:
            tries += 1
            try:
                return await call()
            except Passing as error:
                wait = self._backoff.wait(tries, error.told)
                if waited + wait > self._settings.deadline:
                    raise JudgeRefused(
                        f"{self._settings.endpoint}: {error}; what was handed in goes on there, "
                        "run again to collect it"
                    ) from None
            await self._refusal.sleep(wait)
            waited += wait

    @asynccontextmanager
    async def _claimed(self, key: str) -> AsyncIterator[None]:
        while True:
            with self._claims.claimed(key) as mine:
                if mine:
                    yield
                    return
            await asyncio.sleep(_CLAIM_POLL_S)
