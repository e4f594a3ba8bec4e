"""Whose turn it is to send: the window of a pace, first come first served, in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ugc_tasks.judge.pace import QUIET_S, Pace


class Turn:
    """One try of one request; say what became of it."""

    def __init__(self, pace: Pace, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._clock = clock
        self._sent = clock()

    def answered(self) -> None:
        """Note an answer."""
        self._pace.answered()

    def throttled(self, told: float) -> None:
        """Note a 429 that says to come back in ``told`` seconds (0: it does not say)."""
        self._pace.throttled(self._sent, self._clock(), told)

    def failed(self) -> None:
        """Note that nothing usable came."""
        self._pace.failed(self._sent, self._clock())


class Slots:
    """Turns by the window of ``pace``."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds and never goes back; wall clocks do."""
        self._pace = pace
        self._clock = clock
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """How many turns are held."""
        return self._open

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a turn and hold it."""
        await self._enter()
        try:
            yield Turn(self._pace, self._clock)
        finally:
            self._open -= 1
            self._admit()

    async def _enter(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # admitted just before: hand it on
                self._open -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in as many as the window has room for; where all are held up, look again later."""
        held = self._pace.held_for(self._clock())
        while self._waiting and not held and self._open < self._pace.window:
            place = self._waiting.popleft()
            if not place.done():
                self._open += 1
                place.set_result(None)
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        if held and self._timer is None:
            self._timer = loop.call_later(held, self._after_hold)
        if self._pace.ramping and self._quiet is None:
            self._quiet = loop.call_later(QUIET_S, self._after_quiet)

    def _after_hold(self) -> None:
        self._timer = None
        self._admit()

    def _after_quiet(self) -> None:
        self._quiet = None
        self._pace.quiet()
        self._admit()
