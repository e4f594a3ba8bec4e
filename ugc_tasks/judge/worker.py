"""The paid judge: an event loop on a thread of its own, in which every judgment is made.

An item takes a seat (so that not all of a run are under way at once), then a lock (no other process
asks the same), then it is looked up on disk, and what is not there is asked for
(``transport/retry.py``), put on disk, and handed out. What every request would meet trips the
circuit breaker: nothing more is asked, and what is on disk is still handed out.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from ugc_tasks.common.display import logger
from ugc_tasks.judge.batch import Batches
from ugc_tasks.judge.cache import CacheThread, JudgeStoreError, Locks, StoredReply
from ugc_tasks.judge.cost import Meter, Price, budget_of, describe_estimate, estimated_tokens
from ugc_tasks.judge.parsing import ReplyError, read_reply
from ugc_tasks.judge.protocol.profiles import ChatProfile, JudgeRequests
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.client import Connection
from ugc_tasks.judge.transport.errors import JudgeRefused, RequestFailed
from ugc_tasks.judge.transport.retry import (
    Backoff,
    CircuitBreaker,
    RateLimiter,
    RetryingClient,
    TimeBudget,
)
from ugc_tasks.judge.types import ChatReply, JudgeItem, Judgment, Usage, total_usage

_CLOSED = "the judge was closed before this was judged; run again to judge it"
_INTERRUPTED = "the run was interrupted before this was judged; run again to judge it"
# Seconds for the replies to what is on the wire when a run ends: they may be paid for already.
_LAST_REPLIES_S = 10.0
_SAY_AFTER_S = 0.5  # without them, it is said that they are waited for
_LOCK_POLL_S = 0.25
_SEATS = 2  # items for each request: those that wait to try again leave no permit unused

_T = TypeVar("_T")
_log = logger(__name__)


class JudgeDrift:
    """Notices that the replies of one judge, those on disk included, come from two models."""

    def __init__(self) -> None:
        self._seen: set[tuple[str | None, str | None]] = set()

    def watch(self, reply: ChatReply) -> None:
        """Log it, once, if this is the second model or fingerprint."""
        identity = (reply.model, reply.fingerprint)
        if identity in self._seen:
            return
        self._seen.add(identity)
        if len(self._seen) == 2:
            names = " and ".join(sorted(" ".join(filter(None, who)) or "?" for who in self._seen))
            _log.warning(
                "the judge changed while judging (%s): scores of both are in this run, and each "
                "row says whose it is",
                names,
            )


class JudgeWorker:
    """The judge of ``profile`` on a daemon thread, for callers from any thread."""

    def __init__(
        self,
        profile: ChatProfile,
        settings: JudgeSettings,
        *,
        label: str,
        price: Price | None,
        backoff: Backoff,
    ) -> None:
        """Open the store (raises ``JudgeStoreError``) and start the thread. Nothing is sent yet.

        ``label`` is the judge's name in the store.
        """
        self._profile = profile
        self._settings = settings
        self._label = label
        self._requests = JudgeRequests(profile, settings.endpoint)
        self._connection = Connection(
            settings.base_url,
            settings.api_key,
            endpoint=settings.endpoint,
            timeout=settings.timeout,
        )
        self._disk = CacheThread(settings.store, profile.question.schema)
        self._cache = self._disk.cache
        try:
            self._locks = Locks(settings.store)
        except JudgeStoreError:
            self._cache.close()
            raise
        self._drift = JudgeDrift()
        self._seats = asyncio.Semaphore(_SEATS * settings.concurrency)
        # What batches were billed for and brought no scores of, by key, until it is asked again.
        self._unread: dict[str, Judgment] = {}
        self._meter = Meter(budget_of(settings.store, settings.budget), price)
        self._breaker = CircuitBreaker()
        self._limiter = RateLimiter(settings.concurrency, backoff.longest_told)
        self._client = RetryingClient(
            self._connection,
            limiter=self._limiter,
            meter=self._meter,
            backoff=backoff,
            breaker=self._breaker,
            timeout=settings.timeout,
        )
        self._batches = Batches(
            self._cache,
            self._locks,
            settings=settings,
            meter=self._meter,
            breaker=self._breaker,
            refuse=self._refuse,
            backoff=backoff,
        )
        self._lock = threading.Lock()
        self._closed = False
        # Who waits for what: one request serves all items that are the same to the judge.
        self._waiting: dict[str, list[tuple[JudgeItem, Future[Judgment]]]] = {}
        self._ending: asyncio.Task[None] | None = None
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge", daemon=True)
        self._thread.start()
        # An interrupted run ends without closing anything, and its daemon threads with it.
        atexit.register(self.close)

    # ---- from any thread ----

    def estimate(self, items: Sequence[JudgeItem]) -> str | None:
        """Return what judging ``items`` will take, in a line; None where the store cannot be read.

        Nothing will be asked in that case.
        """
        return self._call(self._estimate(items))

    def begin_batches(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of what is missing of ``items``, if there are to be some."""
        self._call(self._begin_batches(items))

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        """Start judging ``item``; its future never fails and cannot be cancelled."""
        future: Future[Judgment] = Future()
        future.set_running_or_notify_cancel()
        key = self._requests.key(item)
        with self._lock:
            if self._closed:
                raise RuntimeError("the judge is closed")
            under_way = key in self._waiting
            self._waiting.setdefault(key, []).append((item, future))
            if not under_way:
                asyncio.run_coroutine_threadsafe(self._settle(key, item), self._loop)
        return future

    def interrupt(self) -> bool:
        """Ask nothing more, and keep what comes within seconds of what was asked.

        Does not wait for it, and may be called from a signal's handler. A second call gives up what
        has not come. Tells whether there is anybody who waits for a judgment.
        """
        if self._closed:
            return False
        self._loop.call_soon_threadsafe(self._end_soon)
        return bool(self._waiting)

    def close(self) -> None:
        """Ask nothing more; keep what comes within seconds of what was asked.

        All else that is under way comes back as a failure.
        """
        with self._lock:
            # A fork has none of its parent's threads, so the loop would never answer there.
            if self._closed or os.getpid() != self._process:
                return
            self._closed = True
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        with self._lock:
            if self._closed:
                work.close()
                raise RuntimeError("the judge is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    # ---- in the loop ----

    async def _estimate(self, items: Sequence[JudgeItem]) -> str | None:
        keyed = {self._requests.key(item): item for item in items}
        try:
            stored = await self._disk.do(lambda: self._cache.scored(keyed))
        except JudgeStoreError as error:
            self._refuse(str(error))
            return None
        missing = Counter(item.first() for key, item in keyed.items() if key not in stored)
        return describe_estimate(
            self._label,
            needed=len(keyed),
            stored=len(stored),
            prompt_tokens=await self._disk.do(
                lambda: sum(
                    estimated_tokens(self._requests.body(item)) * n for item, n in missing.items()
                )
            ),
            price=self._meter.price,
            budget=self._settings.budget,
            batched=self._settings.batch,
            repeats=self._settings.repeats,
        )

    async def _begin_batches(self, items: Sequence[JudgeItem], *, hand_in: bool = True) -> None:
        keyed = {self._requests.key(item): item for item in items}
        try:
            stored = await self._disk.do(lambda: self._cache.scored(keyed))
            wanted = {key: item for key, item in keyed.items() if key not in stored}
            bodies = {key: self._requests.body(item) for key, item in wanted.items()}

            async def keep(key: str, reply: ChatReply | None, usage: Usage) -> None:
                # A batch of an earlier run may hold more than this run asks for.
                await self._keep_batched(
                    wanted.get(key) or JudgeItem("", "", ""), key, reply, usage
                )

            self._batches.start(bodies, keep, hand_in=hand_in)
        except JudgeStoreError as error:
            self._refuse(str(error))

    async def _settle(self, key: str, item: JudgeItem) -> None:
        """Judge ``item`` and hand the judgment to all who wait for the same."""
        judgment = Judgment(item.video_id, failure=_CLOSED)
        try:
            judgment = await self._judge(key, item)
        except (JudgeRefused, JudgeStoreError) as error:
            if isinstance(error, JudgeStoreError):
                self._refuse(str(error))  # what cannot be kept must not be bought
            judgment = self._failed(key, item, str(error))
        except Exception as error:  # a fault of ours must cost one clip, and be seen
            _log.exception("judging %s failed", item.video_id)
            judgment = Judgment(item.video_id, failure=f"internal error ({type(error).__name__})")
        finally:
            judgment = dataclasses.replace(
                judgment, sanitized=self._profile.changed(item.prediction)
            )
            with self._lock:
                waiting = self._waiting.pop(key)
            for place, (waiter, future) in enumerate(waiting):
                own = dataclasses.replace(judgment, video_id=waiter.video_id)
                # Paid for once, so only one of them has it on its bill.
                future.set_result(own if place == 0 else dataclasses.replace(own, usage=None))

    async def _judge(self, key: str, item: JudgeItem) -> Judgment:
        """Return the judgment of ``item`` from disk, or ask until a reply can be read.

        It is asked for at most as often as ``UGC_JUDGE_ATTEMPTS`` says; every reply is kept.
        """
        # Asked for before it was known what there is, while a batch of an earlier run may have it.
        if self._batches.is_out(key):
            await self._begin_batches([item], hand_in=False)
        bought = await self._batches.settled(key)
        async with self._turn(key) as stored:
            if stored:
                return self._from_store(item, stored, bought=bought)
            result = self._unread.pop(key, None)
            body, within = self._requests.body(item), TimeBudget(self._settings.deadline)
            for _ in range(self._settings.attempts):
                keep = partial(self._keep, key, item, earlier=result)
                try:
                    result = await self._client.ask(body, keep, within)
                except (JudgeRefused, RequestFailed) as error:
                    if isinstance(error, JudgeRefused):
                        self._refuse(str(error))
                    # The endpoint's reason, with the last reply if an earlier one did not parse.
                    failed = result or Judgment(item.video_id, failure=str(error))
                    usage = total_usage((failed.usage, error.usage))
                    return dataclasses.replace(failed, failure=str(error), usage=usage)
                if result.scores:
                    break
            assert result is not None  # noqa: S101  # there is at least one attempt
            return result

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[StoredReply | None]:
        """Wait for a seat and the lock on ``key``, and hold both; give what is on disk.

        Where that is there, the lock may be another process's.
        """
        while True:
            # A seat also to look it up: the first would wait for the look-ups of all others.
            async with self._seats:
                with self._locks.locked(key) as mine:
                    # Only now: another process may have finished it before the lock was ours.
                    stored = await self._disk.do(lambda: self._cache.first_scored(key))
                    if not stored:
                        self._breaker.check()
                    if mine and not stored:
                        await self._disk.do(self._cache.require_room)
                    if mine or stored:
                        yield stored
                        return
            await asyncio.sleep(_LOCK_POLL_S)

    async def _keep(
        self,
        key: str,
        item: JudgeItem,
        reply: ChatReply,
        cost: Usage,
        *,
        earlier: Judgment | None = None,
    ) -> Judgment:
        """Put a reply on disk, then return what it says.

        ``earlier`` is the judgment from the reply before it that could not be read.
        """
        self._drift.watch(reply)
        scores, failure = None, None
        try:
            scores = read_reply(reply, self._profile.question.schema)
        except ReplyError as error:
            failure = str(error)
        add = partial(
            self._cache.add,
            key,
            reply,
            video_id=item.video_id,
            judge=self._label,
            scores=scores,
            failure=failure,
            usd=cost.usd,
        )
        try:
            attempt = await self._disk.keep(add)
        except JudgeStoreError as error:  # this run has it all the same
            self._refuse(str(error))
            attempt = 1
        return Judgment(
            item.video_id,
            scores=scores,
            reply=reply.text,
            failure=failure,
            model=reply.model,
            fingerprint=reply.fingerprint,
            attempts=attempt,
            usage=total_usage((earlier.usage if earlier else None, cost)),
        )

    async def _keep_batched(
        self, item: JudgeItem, key: str, reply: ChatReply | None, usage: Usage
    ) -> None:
        """Put a reply from a batch on disk; None is one that was billed and is lost."""
        if reply is None:
            judgment = Judgment(item.video_id, failure="the answer was lost", usage=usage)
        else:
            judgment = await self._keep(key, item, reply, usage)
        if judgment.scores is None:
            self._unread[key] = judgment

    def _failed(self, key: str, item: JudgeItem, reason: str) -> Judgment:
        """Return a failure, with what a batch was billed for."""
        unread = self._unread.pop(key, None) or Judgment(item.video_id, failure=reason)
        return dataclasses.replace(unread, video_id=item.video_id, failure=reason)

    def _from_store(self, item: JudgeItem, stored: StoredReply, *, bought: bool) -> Judgment:
        """Return the judgment of a reply on disk; ``bought``: a batch of this run brought it."""
        reply = stored.reply
        self._drift.watch(reply)
        return Judgment(
            item.video_id,
            scores=stored.scores,
            reply=reply.text,
            model=reply.model,
            fingerprint=reply.fingerprint,
            stored=not bought,
            attempts=stored.attempt,
            usage=Usage(reply.prompt_tokens or 0, reply.completion_tokens or 0, stored.usd),
        )

    def _refuse(self, reason: str) -> None:
        """Ask nothing more, and log why, once."""
        if self._breaker.trip(reason):
            kept = self._settings.command != "judge-check" and "run again" not in reason
            advice = "; what was judged is kept, run again for the rest" if kept else ""
            _log.error("judging stops: %s%s", reason, advice)

    # ---- the end ----

    def _end_soon(self) -> None:
        self._breaker.trip(_INTERRUPTED)
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())
        else:
            # Not at once: a task that never started would not reach its "finally".
            self._loop.call_soon(_cancel, asyncio.all_tasks(self._loop))

    async def _shut_down(self) -> None:
        await asyncio.sleep(0)  # for the same reason
        self._breaker.trip(_CLOSED)
        await self._end()
        await self._batches.aclose()
        await self._connection.aclose()
        await self._disk.aclose()  # after what has been received is on disk
        self._locks.close()

    async def _end(self) -> None:
        """Wait for the last replies for a while, then leave the rest."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_SAY_AFTER_S)
            if late:
                _log.warning(
                    "waiting up to %.0f s for %d answers of the judge that may be paid for already",
                    _LAST_REPLIES_S,
                    self._limiter.open,
                )
                await asyncio.wait(late, timeout=_LAST_REPLIES_S - _SAY_AFTER_S)
        _cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)


def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
