"""How many requests may be open at once: few at first, more while they are answered, fewer at 429.

The rule is TCP's (RFC 5681: slow start, then additive increase and multiplicative decrease), with
larger steps, because a judge's round trip takes a second and not milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FIRST = 16
"""Requests at once before anything is known of the endpoint."""

_RAMP = 3.0  # each answer makes room for three more: four times as many with each round trip
_STEP = 4.0  # after the first cut: so many more with each round trip
_FIRST_CUT, _LATER_CUT = 0.5, 0.75
_SICK_AFTER = 8


class Window:
    """How many requests one endpoint takes at once.

    It has no clock of its own: the caller says when something happened, in seconds of a clock that
    never goes back. Faults other than 429 may be anything (a proxy, a bad moment). Only a whole row
    of them without an answer in between counts as too many requests.

    Args:
        cap: the most requests at once.
        longest_hold: seconds, the most that a Retry-After can hold everything up.
    """

    def __init__(self, cap: int, *, longest_hold: float = 120.0) -> None:
        self._cap = cap
        self._longest_hold = longest_hold
        self._size = float(min(cap, FIRST))
        self._ramping = True
        self._cut_at = float("-inf")
        self._held_until = float("-inf")
        self._failed_in_a_row = 0

    @property
    def size(self) -> int:
        """How many requests may be open at once, leaving aside that all may be held up."""
        return int(self._size)

    def held_for(self, now: float) -> float:
        """Return for how many seconds nothing may be sent, 0.0 where sending is fine."""
        return max(0.0, self._held_until - now)

    def answered(self) -> None:
        """Note an answer to a request, also one that declines it."""
        self._failed_in_a_row = 0
        room = _RAMP if self._ramping else _STEP / self._size
        self._size = min(float(self._cap), self._size + room)

    def throttled(self, sent: float, now: float, retry_after: float = 0.0) -> None:
        """Note a 429 to a request sent at ``sent``, which says to come back in so many seconds."""
        self._held_until = max(self._held_until, now + min(retry_after, self._longest_hold))
        self._cut(sent, now)

    def failed(self, sent: float, now: float) -> None:
        """Note a request without an answer: an error, a reset, silence, an unreadable body."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(_SICK_AFTER, self.size):
            self._failed_in_a_row = 0
            self._cut(sent, now)

    def _cut(self, sent: float, now: float) -> None:
        # What was sent before the last cut was sent into the window that was cut for it: one burst
        # of refusals cuts it once.
        if sent < self._cut_at:
            return
        self._size = max(1.0, self._size * (_FIRST_CUT if self._ramping else _LATER_CUT))
        self._ramping = False
        self._cut_at = now


class RateLimiter:
    """Permits within ``window``, first come first served, in one event loop."""

    def __init__(self, window: Window, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._clock = clock
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """How many permits are held."""
        return self._open

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[float]:
        """Wait for permission to send one request once, and hold it; gives the time of it.

        The holder says what became of the request by the methods below.
        """
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # admitted just before: pass it on
                self._release()
            raise
        try:
            yield self._clock()
        finally:
            self._release()

    def answered(self) -> None:
        """Note an answer."""
        self._window.answered()

    def throttled(self, sent: float, retry_after: float) -> None:
        """Note a 429 that says to come back in so many seconds (0: it does not say)."""
        self._window.throttled(sent, self._clock(), retry_after)

    def failed(self, sent: float) -> None:
        """Note that nothing usable came."""
        self._window.failed(sent, self._clock())

    def _release(self) -> None:
        self._open -= 1
        self._admit()

    def _admit(self) -> None:
        """Let in as many as the window has room for; where all are held up, look again later."""
        held = self._window.held_for(self._clock())
        while self._waiting and not held and self._open < self._window.size:
            place = self._waiting.popleft()
            if not place.done():
                self._open += 1
                place.set_result(None)
        if held and self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(held, self._after_hold)

    def _after_hold(self) -> None:
        self._timer = None
        self._admit()
