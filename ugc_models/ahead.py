"""Do slow work ahead of who needs it, a bounded number of items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ahead(Generic[Item, Result]):
    """Results of ``work`` over ``items``, in the order in which they are done.

    At most ``window`` items are in work or waiting to be taken: memory does not grow with their
    number. Threads, because the work waits for other processes.

    Args:
        items: taken one by one, from the thread that calls :meth:`take`.
        work: called in a worker thread; must return its failures, not raise them.
        workers: how many at once.
        window: how many at once including those that wait to be taken.
        notify: called, from a worker thread, when a result is ready.
    """

    def __init__(
        self,
        items: Iterable[Item],
        work: Callable[[Item], Result],
        *,
        workers: int,
        window: int,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._items: Iterator[Item] = iter(items)
        self._work = work
        self._window = max(workers, window)
        self._notify = notify
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ugc-ahead")
        self._pending: dict[Future[Result], Item] = {}
        self._exhausted = False

    def __enter__(self) -> Ahead[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take(self) -> tuple[Item, Result] | None:
        """Return an item and its result, or None when none is ready (yet)."""
        self._fill()
        # The oldest of those that are done: nothing waits for long.
        future = next((future for future in self._pending if future.done()), None)
        if future is None:
            return None
        return self._pending.pop(future), future.result()

    def exhausted(self) -> bool:
        """Whether every item was taken and given out."""
        self._fill()
        return self._exhausted and not self._pending

    def _fill(self) -> None:
        while not self._exhausted and len(self._pending) < self._window:
            try:
                item = next(self._items)
            except StopIteration:
                self._exhausted = True
                return
            future = self._pool.submit(self._work, item)
            self._pending[future] = item
            future.add_done_callback(lambda _: self._notify())
