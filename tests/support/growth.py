"""Whether work grows with its input and not with the square of it, however fast the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable


def assert_linear(work: Callable[[str], object], short: str, long: str) -> None:
    """Do ``work`` with both texts and compare the CPU time that this thread took.

    Time of other processes does not count. Twice the text may take 2.8 times as long; quadratic
    work takes 4 times as long.

    Args:
        work: pure Python on one thread.
        short: a text that takes more than a moment.
        long: the same text made about eight times longer, or more.
    """
    factor = len(long) / len(short)
    assert factor >= 6  # or it would not tell the two apart
    allowed = factor**1.5
    few = _seconds(work, short)
    # A bad moment (a collection of garbage, a cold cache) must not decide.
    ratio = min(_seconds(work, long) / few for _ in range(3))
    assert ratio <= allowed, f"{factor:.0f} times the text takes {ratio:.0f} times as long"


def _seconds(work: Callable[[str], object], text: str) -> float:
    """Return the seconds that one run takes, of so many runs that they can be measured."""
    runs, started = 0, time.thread_time()
    while (taken := time.thread_time() - started) < 0.02:
        work(text)
        runs += 1
    return taken / runs
