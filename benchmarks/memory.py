"""What a run's processes hold, and the processor time they take, together."""

from __future__ import annotations

import resource
import threading
from contextlib import suppress
from itertools import pairwise

import psutil

_EVERY_S = 0.2


class PeakMemory:
    """The most that this process and all below it held at once, in MiB, while it is entered.

    Resident memory, added up: what several processes share (libraries) counts for each of them, so
    the sum is above what the machine gives.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        """Of all of them together."""
        self.own_peak = 0.0
        """Of this process alone."""
        self._seen: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        own = psutil.Process()
        below = 0
        for process in own.children(recursive=True):
            with suppress(psutil.Error):  # it ended meanwhile
                below += process.memory_info().rss
        held = own.memory_info().rss
        self.own_peak = max(self.own_peak, held / 2**20)
        self._seen.append((held + below) / 2**20)
        self.peak = max(self.peak, self._seen[-1])

    def peaks(self, parts: int) -> list[float]:
        """Return the peak of each of so many equal parts of the time, in MiB."""
        bounds = [len(self._seen) * at // parts for at in range(parts + 1)]
        return [max(self._seen[begin:end], default=0.0) for begin, end in pairwise(bounds)]


def processor_seconds() -> float:
    """Return the processor time of this process, of all below it, and of those that ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        spent = resource.getrusage(who)
        total += spent.ru_utime + spent.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def busy_seconds() -> float:
    """Return the processor time that this machine has spent, whoever spent it."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
