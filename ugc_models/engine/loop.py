"""An asyncio event loop in a thread of its own, for engines that speak asyncio."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """A running loop; what is submitted runs there.

    Ctrl-C is for the main thread alone. It is blocked in this one, and so in every process that is
    started from here: a signal mask is inherited, and the terminal sends the signal to all of them.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Begin ``work`` on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
        """Do ``work`` on the loop and wait for its result."""
        return self.submit(work).result(timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Cancel what still runs and end the thread; does nothing the second time."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)

    def _main(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=5.0))
        finally:
            self._loop.close()
