"""Work is done ahead of who takes it, and never more of it than the window allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ugc_models.ahead import Ahead, Item, Result

PATIENCE = 120.0
"""Seconds after which a thread that should have gone on counts as stuck."""


class Gates:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self._gates: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self.begun: list[int] = []
        self.some_begun = threading.Semaphore(0)

    def open(self, *items: int) -> None:
        for item in items:
            self._gate(item).set()

    def work(self, item: int) -> str:
        with self._lock:
            self.begun.append(item)
        self.some_begun.release()
        assert self._gate(item).wait(PATIENCE)
        return f"result {item}"

    def _gate(self, item: int) -> threading.Event:
        with self._lock:
            return self._gates.setdefault(item, threading.Event())


def take(ahead: Ahead[Item, Result]) -> tuple[Item, Result] | None:
    """Take the next one as soon as there is one; None when none will come any more."""
    end = time.monotonic() + PATIENCE
    while (taken := ahead.take()) is None and not ahead.exhausted():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.001)
    return taken


@pytest.fixture
def gates() -> Iterator[Gates]:
    gates = Gates()
    yield gates
    gates.open(*range(100))  # no thread outlives its test


def test_every_item_comes_out_once_with_its_result() -> None:
    with Ahead(range(50), lambda n: n * n, workers=4, window=6) as ahead:
        taken = [take(ahead) for _ in range(50)]
        assert take(ahead) is None
    assert sorted(pair for pair in taken if pair is not None) == [(n, n * n) for n in range(50)]


def test_no_items_give_nothing_at_once() -> None:
    empty: list[int] = []
    with Ahead(empty, str, workers=1, window=1) as ahead:
        assert take(ahead) is None
        assert ahead.take() is None


def test_what_is_done_first_comes_out_first(gates: Gates) -> None:
    with Ahead(range(3), gates.work, workers=3, window=3) as ahead:
        gates.open(2)
        assert take(ahead) == (2, "result 2")
        gates.open(1)
        assert take(ahead) == (1, "result 1")
        gates.open(0)
        assert take(ahead) == (0, "result 0")


def test_of_several_that_are_done_the_oldest_comes_out() -> None:
    with Ahead(range(8), str, workers=1, window=8) as ahead:
        assert [take(ahead) for _ in range(8)] == [(n, str(n)) for n in range(8)]


def test_without_blocking_nothing_is_waited_for(gates: Gates) -> None:
    with Ahead([7], gates.work, workers=1, window=1) as ahead:
        assert ahead.take() is None
        gates.open(7)
        assert take(ahead) == (7, "result 7")


def test_no_more_than_the_window_is_drawn_from_the_items(gates: Gates) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            drawn.append(n)
            yield n

    gates.open(*range(100))
    with Ahead(items(), gates.work, workers=2, window=5) as ahead:
        for taken in range(1, 30):
            assert take(ahead) is not None
            # One was taken, and the next is only drawn by the next call.
            assert len(drawn) == taken + 4


def test_no_more_than_the_workers_are_in_work_at_once(gates: Gates) -> None:
    with Ahead(range(9), gates.work, workers=2, window=9) as ahead:
        assert ahead.take() is None
        for _ in range(2):
            assert gates.some_begun.acquire(timeout=PATIENCE)
        assert not gates.some_begun.acquire(timeout=0.1)
        assert sorted(gates.begun) == [0, 1]


def test_a_window_below_the_workers_does_not_leave_any_idle(gates: Gates) -> None:
    with Ahead(range(9), gates.work, workers=3, window=1) as ahead:
        assert ahead.take() is None
        for _ in range(3):
            assert gates.some_begun.acquire(timeout=PATIENCE)


def test_leaving_early_does_not_wait_and_starts_nothing_more(gates: Gates) -> None:
    with (
        pytest.raises(RuntimeError, match="changed my mind"),
        Ahead(range(100), gates.work, workers=1, window=50) as ahead,
    ):
        assert ahead.take() is None
        assert gates.some_begun.acquire(timeout=PATIENCE)
        raise RuntimeError("changed my mind")
    # Here item 0 is still in work: the exit did not wait for it.
    gates.open(*range(100))
    assert not gates.some_begun.acquire(timeout=0.2)
    assert gates.begun == [0]


def test_items_are_drawn_in_the_thread_that_takes() -> None:
    threads: list[threading.Thread] = []

    def items() -> Iterator[int]:
        threads.append(threading.current_thread())
        yield 1

    with Ahead(items(), str, workers=1, window=1) as ahead:
        take(ahead)
    assert threads == [threading.current_thread()]


def test_an_error_of_the_items_reaches_who_takes() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no such document")

    with (
        Ahead(items(), str, workers=1, window=4) as ahead,
        pytest.raises(LookupError, match="no such document"),
    ):
        take(ahead)


def test_it_says_when_a_result_is_ready(gates: Gates) -> None:
    ready = threading.Event()
    with Ahead([3], gates.work, workers=1, window=1, notify=ready.set) as ahead:
        assert ahead.take() is None
        assert not ready.is_set()
        gates.open(3)
        assert ready.wait(PATIENCE)
        assert take(ahead) == (3, "result 3")


def test_it_is_exhausted_when_the_last_result_was_taken(gates: Gates) -> None:
    with Ahead([3], gates.work, workers=1, window=1) as ahead:
        assert not ahead.exhausted()
        gates.open(3)
        take(ahead)
        assert ahead.exhausted()
