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
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from ugc_tasks.common.display import logger, shown
from ugc_tasks.common.local_model import LocalModelError, ModelServer
from ugc_tasks.judge.batch import Batches
from ugc_tasks.judge.cache import ROOM, JudgeStoreError, JudgmentCache, Locks
from ugc_tasks.judge.cost import LIMITS, Estimate, Meter, budget_of, estimated_tokens, tell
from ugc_tasks.judge.judges import Known, Lifetime, lifetime, model_stated
from ugc_tasks.judge.parsing import ReplyCut, ReplyError, read_reply
from ugc_tasks.judge.protocol.profiles import ChatProfile, JudgeRequests
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.batch_api import BatchApi
from ugc_tasks.judge.transport.client import Connection
from ugc_tasks.judge.transport.errors import (
    JudgeRefused,
    NotServed,
    RequestFailed,
    RetryableError,
)
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
_LOCK_POLL_S = 0.25
_TOLD_S = 5.0  # seconds for an endpoint to state what it knows of a model
_SERVER_POLL_S = 1.0
_SEATS = 2  # items for each request: those that wait to try again leave no permit unused
_LONGEST_FAILURE = 1_000  # characters

_log = logger(__name__)


class JudgeWorker:
    """The judge of ``profile`` on a daemon thread, for callers from any thread."""

    def __init__(
        self,
        profile: ChatProfile,
        settings: JudgeSettings,
        *,
        label: str,
        known: Known,
        backoff: Backoff,
    ) -> None:
        """Open the store (raises ``JudgeStoreError``) and start the thread. Nothing is sent yet."""
        self._profile = profile
        self._settings = settings
        self._label = label
        self._endpoint = settings.endpoint
        self._requests = JudgeRequests(profile, self._endpoint)
        self._connection = Connection(
            settings.base_url,
            settings.api_key,
            endpoint=self._endpoint,
            timeout=settings.timeout,
            azure=settings.azure,
            direct=settings.local is not None,
            names=settings.names,
        )
        self._server: ModelServer | None = None
        self._watching: asyncio.Task[None] | None = None
        self._served = asyncio.Lock()
        self._cache = JudgmentCache(settings.store, profile.question.schema)
        self._hands_in = settings.batch
        self._seats = asyncio.Semaphore(_SEATS * settings.concurrency)
        limits = [n for name in LIMITS if type(n := profile.parameters.get(name)) is int]
        self._reasons = known.reasons and profile.parameters.get("reasoning_effort") != "none"
        self._meter = Meter(
            budget_of(settings.store, settings.budget),
            known.price,
            reasons=self._reasons,
            limit=limits[0] if limits else None,
        )
        self._breaker = CircuitBreaker()
        self._limiter = RateLimiter(settings.concurrency, backoff.longest_told)
        self._backoff = backoff
        self._client = RetryingClient(
            self._connection, self._limiter, self._meter, backoff, self._breaker, settings.timeout
        )
        try:
            self._locks = Locks(settings.store)
            self._batches = self._find_batches()
        except JudgeStoreError:
            self._cache.close()
            raise
        if settings.local is not None:
            self._server = ModelServer.acquire(settings.local, settings.local_arguments)
        self._lock = threading.Lock()
        self._closed = False
        # Who waits for what: one request serves all items that are the same to the judge.
        self._waiting: dict[str, list[tuple[JudgeItem, Future[Judgment]]]] = {}
        self._so_far: dict[str, Judgment] = {}  # by key: the last reply, and what all have cost
        self._ran: set[str] = set()  # models, with fingerprints, whose replies this run has
        self._ending: asyncio.Task[None] | None = None
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge", daemon=True)
        self._thread.start()
        # An interrupted run ends without closing anything, and its daemon threads with it.
        atexit.register(self.close)

    # ---- from any thread ----

    def estimate(self, items: Sequence[JudgeItem]) -> Estimate | None:
        """Return what judging ``items`` will take; None where the store is unusable."""
        try:
            needed, missing = self._missing(items)
        except JudgeStoreError:  # the first item will say so
            return None
        times = Counter(dataclasses.replace(item, repeat=0) for item in missing.values())
        tokens = sum(estimated_tokens(self._requests.body(item)) * n for item, n in times.items())
        return Estimate(
            self._label,
            self._settings,
            self._meter.price,
            needed=needed,
            stored=needed - len(missing),
            prompt_tokens=tokens,
            reasons=self._reasons,
        )

    def lifetime(self, *, ask: bool) -> Lifetime:
        """Return until when the judge answers; ``ask`` its endpoint, too, which may not tell."""
        stated = None
        if ask and self._server is None:  # a model on this machine has no end
            asked = asyncio.run_coroutine_threadsafe(self._stated(), self._loop)
            stated = asked.result()
        question = self._profile.question
        return lifetime(
            self._profile.model,
            self._settings,
            stated=stated,
            has_estimate=question.has_estimate,
            subject=question.subject,
        )

    async def _stated(self) -> object:
        model = self._profile.model
        try:
            answer = await self._connection.send(
                lambda client: client.models.with_raw_response.retrieve(model), timeout=_TOLD_S
            )
        except (RetryableError, RequestFailed):
            return None
        return model_stated(answer.content) if answer.is_success else None

    def ask_nothing(self, reason: str) -> None:
        """From now on hand out what is on disk and what batches that are out have brought.

        ``reason`` is the failure of all else.
        """
        self._hands_in = False
        self._loop.call_soon_threadsafe(self._breaker.trip, reason)

    def missing(self, items: Sequence[JudgeItem]) -> int:
        """Return how many of ``items`` have no judgment on disk."""
        try:
            missing = self._missing(items)[1]
        except JudgeStoreError:  # the first item will say so
            return len(items)
        return sum(self._requests.key(item) in missing for item in items)

    @property
    def has_batches(self) -> bool:
        """Whether something may still come of a batch that an earlier run has handed in."""
        return self._cache.batch_is_out(self._endpoint)

    def begin_batches(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of what is missing of ``items``, if there are to be some."""
        try:
            self._batches = self._batches or self._find_batches()
            if self._batches is None:
                return
            _, missing = self._missing(items)
        except JudgeStoreError:
            return
        bodies = {key: self._requests.body(item) for key, item in missing.items()}
        self._loop.call_soon_threadsafe(self._batches.start, bodies, self._hands_in)

    def _missing(self, items: Sequence[JudgeItem]) -> tuple[int, dict[str, JudgeItem]]:
        """Return how many judgments ``items`` need, and what of them is not on disk, by key."""
        keyed = {self._requests.key(item): item for item in items}
        stored = self._cache.scored(keyed)
        return len(keyed), {key: item for key, item in keyed.items() if key not in stored}

    def _find_batches(self) -> Batches | None:
        """Return the batches where some are wanted, or an earlier run has left one."""
        at = self._settings
        if not (at.batch or self._cache.batch_is_out(self._endpoint)):
            return None
        api = BatchApi(at, self._breaker, self._backoff)
        return Batches(api, self._cache, self._locks, self._keep, self._meter)

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
        """Ask nothing more, and do not wait; tell whether anybody waits for a judgment.

        May be called from a signal's handler. A second call also gives up what is on the wire.
        """
        if self._closed:
            return False
        self._loop.call_soon_threadsafe(self._end_soon)
        return bool(self._waiting)

    def close(self) -> None:
        """Ask nothing more; keep what comes within seconds. All else comes back as a failure."""
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
        if self._server is not None:
            self._server.release()

    # ---- in the loop ----

    async def _settle(self, key: str, item: JudgeItem) -> None:
        """Judge ``item`` and hand the judgment to all who wait for the same."""
        judgment = Judgment("", failure=_CLOSED)
        try:
            judgment = await self._judge(key, item)
            self._watch(judgment)
        except (JudgeRefused, JudgeStoreError, RequestFailed) as error:
            if isinstance(error, NotServed):
                error = self._told_apart(error)
            if not isinstance(error, RequestFailed):
                self._refuse(str(error))  # also: what cannot be kept must not be bought
            # The endpoint's reason, with the last reply if one came that did not parse.
            so_far = self._so_far.get(key) or Judgment("")
            usage = total_usage((so_far.usage, getattr(error, "usage", None)))
            failure = shown(error, _LONGEST_FAILURE)
            judgment = dataclasses.replace(so_far, failure=failure, usage=usage, cut=False)
        except Exception as error:  # a fault of ours must cost one clip, and be seen
            _log.exception("judging %s failed", item.video_id)
            judgment = Judgment("", failure=f"internal error ({type(error).__name__})")
        finally:
            self._so_far.pop(key, None)
            changed = self._profile.changed(item.prediction)
            with self._lock:
                waiting = self._waiting.pop(key)
            for place, (waiter, future) in enumerate(waiting):
                # Paid for once, so only one of them has it on its bill.
                usage = None if place else judgment.usage
                own = dataclasses.replace(
                    judgment,
                    video_id=waiter.video_id,
                    sanitized=changed,
                    usage=usage,
                    request_sha256=key,
                )
                future.set_result(own)

    async def _judge(self, key: str, item: JudgeItem) -> Judgment:
        """Return the judgment of ``item`` from disk, or ask until a reply can be read."""
        body, bought = self._requests.body(item), False
        if self._batches is not None:
            bought = await self._batches.settled(key, body)
        while True:
            # A seat also to look it up: the first would wait for the look-ups of all others.
            async with self._seats:
                with self._locks.locked(key) as mine:
                    # Only now: another process may have finished it before the lock was ours.
                    stored = await self._cache.do(lambda: self._cache.first_scored(key))
                    if stored is not None:
                        return dataclasses.replace(stored, stored=not bought)
                    self._breaker.check()
                    if mine and self._server is not None:
                        await self._serve(self._server)
                    if mine:
                        await self._cache.do(lambda: self._cache.require_room(ROOM))
                        left, within = self._settings.attempts, TimeBudget(self._settings.deadline)
                        while True:
                            judgment = await self._client.ask(
                                body, partial(self._keep, key), within
                            )
                            left -= 1
                            if judgment.scores or not left or not self._can_differ(judgment):
                                return judgment
            await asyncio.sleep(_LOCK_POLL_S)

    async def _serve(self, server: ModelServer) -> None:
        """Return once the model on this machine can be asked; raise ``JudgeRefused`` otherwise."""

        def wait() -> None:
            try:
                ready.set_result(server.url(lambda: self._breaker.reason is not None, tell))
            except Exception as error:
                ready.set_exception(error)

        async with self._served:
            self._breaker.check()
            if self._watching is None:
                ready: Future[str] = Future()
                ready.set_running_or_notify_cancel()  # what waits for it may be cancelled
                # Of its own: the interpreter waits at its end for the threads of the loop.
                threading.Thread(target=wait, name="local-judge", daemon=True).start()
                try:
                    self._connection.move(await asyncio.wrap_future(ready))
                except LocalModelError as error:
                    raise JudgeRefused(str(error)) from None
                self._watching = self._loop.create_task(self._watch_server(server))

    async def _watch_server(self, server: ModelServer) -> None:
        """Ask nothing more once the server has ended: each request would be tried for hours."""
        with suppress(JudgeRefused):
            while not (why := server.why_ended()):
                await self._breaker.sleep(_SERVER_POLL_S)
            self._refuse(why)

    async def _keep(self, key: str, reply: ChatReply, cost: Usage) -> Judgment:
        """Put a reply on disk, then return what it says, and what it and those before it cost."""
        # A batch of an earlier run may bring what this one has not asked for.
        name = self._waiting[key][0][0].video_id if key in self._waiting else ""
        scores, failure, cut = None, None, False
        try:
            scores = read_reply(reply, self._profile.question.schema)
        except ReplyError as error:
            failure, cut = shown(error, _LONGEST_FAILURE), isinstance(error, ReplyCut)
        judgment = Judgment(
            name,
            scores,
            reply.text,
            failure,
            reply.model,
            reply.fingerprint,
            attempts=1,
            usage=cost,
            cut=cut,
        )
        add = partial(self._cache.add, key, reply, judgment, judge=self._label)
        try:
            judgment = dataclasses.replace(judgment, attempts=await self._cache.do(add))
        except JudgeStoreError as error:
            self._refuse(
                f"{error}; what is under way is in this run's results, and asked for again by a "
                "rerun"
            )
        if earlier := self._so_far.get(key):
            total = total_usage((earlier.usage, cost))
            judgment = dataclasses.replace(judgment, usage=total)
        self._so_far[key] = judgment
        return judgment

    def _told_apart(self, error: NotServed) -> JudgeRefused:
        """Return the error with what it means: a judge that has ended is no mistyped one."""
        life = self.lifetime(ask=False)
        return JudgeRefused(f"{error.where}: {life.not_served(error.where)}")

    def _can_differ(self, judgment: Judgment) -> bool:
        """Tell whether asking again can bring scores: not where there is no room for them."""
        if not judgment.cut:
            return True
        thought_it_all_away = not (judgment.reply or "").strip()
        return not thought_it_all_away and self._profile.parameters.get("temperature") != 0

    def _watch(self, judgment: Judgment) -> None:
        """Log it, once, if this run's judgments, stored ones included, come from two models."""
        self._ran.add(" ".join(filter(None, (judgment.model, judgment.fingerprint))) or "?")
        if len(self._ran) == 2:
            names = " and ".join(sorted(self._ran))
            self._ran.add("")  # not a third time
            _log.warning(
                "the judge changed while judging (%s): scores of both are in this run, and each "
                "row says whose it is",
                names,
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
            for task in asyncio.all_tasks(self._loop):
                self._loop.call_soon(task.cancel)

    async def _shut_down(self) -> None:
        await asyncio.sleep(0)  # for the same reason
        self._breaker.trip(_CLOSED)
        await self._end()
        if self._batches is not None:
            await self._batches.api.aclose()
        await self._connection.aclose()
        await self._cache.aclose()  # after what has been received is on disk
        self._locks.close()

    async def _end(self) -> None:
        """Wait for the last replies for a while, then leave the rest."""
        if self._limiter.open:
            _log.warning(
                "waiting up to %.0f s for %d answers of the judge that may be paid for already",
                _LAST_REPLIES_S,
                self._limiter.open,
            )
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=_LAST_REPLIES_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
