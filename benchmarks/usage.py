"""How much of a run an engine had something to do, from when each request began and ended."""

from __future__ import annotations

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
