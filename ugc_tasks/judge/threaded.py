"""The paid judge on a thread of its own: its pace does not depend on the caller's threads."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from ugc_tasks.judge.announcement import Announcement
from ugc_tasks.judge.asking import Asking
from ugc_tasks.judge.judgment import JudgeItem, Judgment

_CLOSED = "the judge was closed before this was judged; run again to judge it"

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


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

    def close(self) -> None:
        """Stop asking; what is under way comes back as a failure, what was received is on disk."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
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

    async def _shut_down(self) -> None:
        # A task that was scheduled and never started would not reach its "finally": let all start.
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._asking.aclose()
