"""How much of a run an engine had something to do, from when each request began and ended."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float]
"""When a request was handed to the engine, and when its answer came, in seconds."""


@dataclass(frozen=True)
class Usage:
    """What an engine did from its first request to its last answer."""

    seconds: float
    idle: float
    """Share of that time in which no request was in it, 0 to 1."""
    mean_in_flight: float
    """Requests in it, averaged over that time."""


def usage(requests: Sequence[Interval]) -> Usage:
    """Return how busy an engine was.

    Raises:
        ValueError: it was never asked.
    """
    if not requests:
        raise ValueError("the engine was never asked")
    ordered = sorted(requests)
    first = ordered[0][0]
    last = max(end for _, end in ordered)
    busy, reached = 0.0, first
    for begin, end in ordered:
        if end > reached:
            busy += end - max(begin, reached)
            reached = end
    span = last - first
    if not span:
        return Usage(0.0, 0.0, float(len(ordered)))
    held = sum(end - begin for begin, end in ordered)
    return Usage(span, 1.0 - busy / span, held / span)


def empty_places(requests: Sequence[Interval], places: int) -> float:
    """Return the share of an engine's places, over its whole time, that nobody was in.

    Other than the idle share it counts the first and the last requests of a run, beside which the
    engine has room. What waits inside the engine for a place counts as waiting, not as two places.
    """
    span = usage(requests).seconds
    if not span:
        return 0.0
    taken = 0.0
    running: list[float] = []
    reached = min(begin for begin, _ in requests)
    for begin, end in sorted(requests):
        while running and running[0] <= begin:
            left = running[0]
            taken += (left - reached) * min(len(running), places)
            reached = heapq.heappop(running)
        taken += (begin - reached) * min(len(running), places)
        reached = begin
        heapq.heappush(running, end)
    while running:
        taken += (running[0] - reached) * min(len(running), places)
        reached = heapq.heappop(running)
    return 1.0 - taken / (span * places)
