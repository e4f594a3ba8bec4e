"""The paid judge on a thread of its own: its pace does not depend on the caller's threads."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import os
import threading
from collections.abc import Collection, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from ugc_tasks.common.display import logger
from ugc_tasks.judge.announcement import Announcement
from ugc_tasks.judge.asking import Asking
from ugc_tasks.judge.judgment import JudgeItem, Judgment

_CLOSED = "the judge was closed before this was judged; run again to judge it"
_INTERRUPTED = "the run was interrupted before this was judged; run again to judge it"
# What is on the wire when a run is interrupted is paid for: its replies are waited for, so long.
_LAST_REPLIES_S = 10.0
_SAY_AFTER_S = 0.5

_T = TypeVar("_T")
_log = logger(__name__)


class ThreadedAsking:
    """``Asking`` in an event loop on a daemon thread, for callers from any thread."""

    def __init__(self, asking: Asking) -> None:
        """Start the thread; ``asking`` belongs to it from now on."""
        self._asking = asking
        self._lock = threading.Lock()
        self._closed = False
        # Who waits for what: one request serves all items that are the same to the judge.
        self._waiting: dict[str, list[tuple[JudgeItem, Future[Judgment]]]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge", daemon=True)
        self._thread.start()
        self._ending: asyncio.Task[None] | None = None
        self._process = os.getpid()
        # An interrupted run ends without closing anything, and its daemon threads with it.
        atexit.register(self.close)

    def announce(self, items: Sequence[JudgeItem]) -> Announcement | None:
        """Return what judging ``items`` will take, None where the store cannot be read."""
        return self._call(self._asking.announce(items))

    def begin(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of ``items``, if there are to be some."""
        self._call(self._asking.begin(items))

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        with self._lock:
            if self._closed:
                work.close()
                raise RuntimeError("the judge is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        """Start judging ``item``; its future never fails and cannot be cancelled."""
        future: Future[Judgment] = Future()
        future.set_running_or_notify_cancel()
        key = self._asking.key(item)
        with self._lock:
            if self._closed:
                raise RuntimeError("the judge is closed")
            under_way = key in self._waiting
            self._waiting.setdefault(key, []).append((item, future))
            if not under_way:
                asyncio.run_coroutine_threadsafe(self._settle(key, item), self._loop)
        return future

    def interrupt(self) -> bool:
        """Ask nothing more, and keep what comes within seconds of what was asked; from any thread.

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
            # A fork has none of its parent's threads: nobody would answer there.
            if self._closed or os.getpid() != self._process:
                return
            self._closed = True
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _settle(self, key: str, item: JudgeItem) -> None:
        """Judge ``item`` and hand the judgment to all who wait for the same."""
        judgment = Judgment(item.video_id, failure=_CLOSED)
        try:
            judgment = await self._asking.judge(item)
        except Exception as error:  # a fault of ours must cost one clip, and be seen
            _log.exception("judging %s failed", item.video_id)
            judgment = Judgment(item.video_id, failure=f"internal error ({type(error).__name__})")
        finally:
            with self._lock:
                waiting = self._waiting.pop(key)
            for place, (waiter, future) in enumerate(waiting):
                own = dataclasses.replace(judgment, video_id=waiter.video_id)
                # Paid for once, so only one of them has it on its bill.
                future.set_result(own if place == 0 else dataclasses.replace(own, usage=None))

    def _end_soon(self) -> None:
        self._asking.stop(_INTERRUPTED)
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())
        else:
            # Not at once: a task that never started would not reach its "finally".
            self._loop.call_soon(_cancel, asyncio.all_tasks(self._loop))

    async def _shut_down(self) -> None:
        await asyncio.sleep(0)  # for the same reason
        self._asking.stop(_CLOSED)
        await self._end()
        await self._asking.aclose()

    async def _end(self) -> None:
        """Wait for the last replies for a while, then leave the rest."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await self._last_replies(tasks)
        _cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _last_replies(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_SAY_AFTER_S)
        if late:
            _log.warning(
                "waiting up to %.0f s for %d answers of the judge that may be paid for already",
                _LAST_REPLIES_S,
                self._asking.on_the_wire,
            )
            await asyncio.wait(late, timeout=_LAST_REPLIES_S - _SAY_AFTER_S)


def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
