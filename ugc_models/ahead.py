"""Do slow work ahead of who needs it, a bounded number of items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ahead(Generic[Item, Result]):
    """Results of ``work`` over ``items``, in the order in which they are done.

    At most ``window`` items are in work or waiting to be taken: memory does not grow with their
    number. Threads suffice where the work leaves Python, as decoding video does.

    Args:
        items: taken one by one, from the thread that calls :meth:`take`.
        work: called in a worker thread; must return its failures, not raise them.
        workers: how many at once.
        window: how many at once including those that wait to be taken.
    """

    def __init__(
        self, items: Iterable[Item], work: Callable[[Item], Result], *, workers: int, window: int
    ) -> None:
        self._items: Iterator[Item] = iter(items)
        self._work = work
        self._window = max(workers, window)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ugc-ahead")
        self._pending: dict[Future[Result], Item] = {}
        self._exhausted = False

    def __enter__(self) -> Ahead[Item, Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take(self, *, block: bool) -> tuple[Item, Result] | None:
        """Return an item and its result, or None when there is none (yet, unless ``block``)."""
        self._fill()
        if not self._pending:
            return None
        done = wait(self._pending, timeout=None if block else 0, return_when=FIRST_COMPLETED).done
        if not done:
            return None
        # The oldest of those that are done: nothing waits for long.
        future = next(f for f in self._pending if f in done)
        return self._pending.pop(future), future.result()

    def _fill(self) -> None:
        while not self._exhausted and len(self._pending) < self._window:
            try:
                item = next(self._items)
            except StopIteration:
                self._exhausted = True
                return
            self._pending[self._pool.submit(self._work, item)] = item
