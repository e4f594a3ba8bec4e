"""A request repeated until it is answered, declined for good, or out of time.

What may pass is tried again with exponential back-off and full jitter, and a server's Retry-After
is honoured. Each try takes its turn by the pace and sets its cost aside; waiting for either is not
the request's own time.

What a failure tells of all other requests is in ``breaker.py``. A key that is refused to one of
several requests is tried once more, by one while all others wait, before that ends the run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ugc_tasks.judge.breaker import Breaker
from ugc_tasks.judge.budget import Bill, Meter
from ugc_tasks.judge.client import ChatClient
from ugc_tasks.judge.failures import (
    JudgeRefused,
    KeyRefused,
    Passing,
    RequestFailed,
    RequestTimedOut,
    Unreadable,
)
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.slots import Slots, Turn
from ugc_tasks.judge.usage import Usage

_T = TypeVar("_T")
Keep = Callable[[ChatReply, Usage], Awaitable[_T]]
"""Puts a reply where it is not lost."""

_LOOK_S = 0.05


@dataclass(frozen=True)
class Backoff:
    """Waits between tries, in seconds: from 0 to ``first`` doubled each time, at most ``longest``.

    ``longest_told`` bounds what a server's Retry-After can ask for.
    """

    first: float = 0.5
    longest: float = 30.0
    longest_told: float = 120.0

    def wait(self, tries: int, told: float) -> float:
        """Return how long to wait after so many tries, told to wait ``told`` seconds."""
        longest = min(self.longest, self.first * 2 ** min(tries - 1, 30))
        # On top of what was told: all who were told the same must not come back at once.
        return min(told, self.longest_told) + random.uniform(0, longest)  # noqa: S311  # no secret


class Allowance:
    """The time that all tries for one item may take together, with the waits between them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds


class Refusal:
    """Whether, and why, nothing more is asked; wakes those who wait to try again."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._said = asyncio.Event()

    def say(self, reason: str) -> bool:
        """Stop all asking; the first reason stays. Tells whether this is it."""
        first = self.reason is None
        self.reason = self.reason or reason
        self._said.set()
        return first

    def check(self) -> None:
        """Raise ``JudgeRefused`` if nothing more is asked."""
        if self.reason is not None:
            raise JudgeRefused(self.reason)

    async def sleep(self, seconds: float) -> None:
        """Wait, but not on after a refusal: that is raised."""
        try:
            await asyncio.wait_for(self._said.wait(), seconds)
        except TimeoutError:
            return
        self.check()


class Tries:
    """Asks one client, in turn by ``slots`` and on the bill of ``meter``."""

    def __init__(
        self,
        client: ChatClient,
        *,
        endpoint: str,
        slots: Slots,
        meter: Meter,
        backoff: Backoff,
        refusal: Refusal,
        timeout: float,
    ) -> None:
        """``timeout`` is for one try, in seconds."""
        self._client = client
        self._endpoint = endpoint
        self._slots = slots
        self._meter = meter
        self._backoff = backoff
        self._refusal = refusal
        self._timeout = timeout
        self._breaker = Breaker(endpoint)
        self._key_in_doubt = False

    async def ask(self, body: Mapping[str, Any], keep: Keep[_T], allowed: Allowance) -> _T:
        """Have ``body`` answered, tried for as long as is ``allowed``; return what ``keep`` does.

        ``keep`` gets the reply and its cost and is awaited before the next request takes the turn:
        what a kill can cost is what was in a turn, and no more.

        Raises:
            JudgeRefused, RequestFailed: there is none; ``RequestTimedOut`` when time was up. What
                was billed all the same is in its ``usage``.
        """
        try:
            return await self._insist(body, keep, allowed)
        except RequestFailed as error:
            refused = self._breaker.failed(error, others=self._slots.open)
            if refused is None:
                raise
        raise refused

    async def _insist(self, body: Mapping[str, Any], keep: Keep[_T], allowed: Allowance) -> _T:
        tries, reason, tests_key = 0, "", False
        try:
            while True:
                tries, told = tries + 1, 0.0
                async with self._turn(tests_key) as turn:
                    with await self._meter.bill(body) as bill:
                        if self._refusal.reason is not None:  # said while this waited for room
                            bill.free()
                            self._refusal.check()
                        left, started = allowed.left, time.monotonic()
                        try:
                            reply, usage = await self._once(body, turn, bill, left)
                        except KeyRefused as error:
                            alone = not self._breaker.replied and self._slots.open == 1
                            if tests_key or alone:
                                raise
                            # This one tries it once more; others wait for what comes of that.
                            tests_key, self._key_in_doubt = not self._key_in_doubt, True
                            reason = str(error)
                        except (Passing, Unreadable) as error:
                            told = error.told
                            # Of a try that was cut short, that there was no time is no news.
                            if not (reason and error.silent and left < self._timeout):
                                reason = str(error)
                            self._breaker.passing(error, tries)
                        else:
                            self._breaker.reply()
                            return await keep(reply, usage)
                        finally:
                            allowed.left -= time.monotonic() - started
                wait = self._backoff.wait(tries, told)
                if wait >= allowed.left:
                    raise RequestTimedOut(
                        f"{self._endpoint}: {reason}; given up after {tries} tries in "
                        f"{allowed.seconds - allowed.left:.0f} s"
                    )
                await self._refusal.sleep(wait)
                allowed.left -= wait
        finally:
            # Where the key was refused again, the caller ends it all before another task runs.
            if tests_key:
                self._key_in_doubt = False

    @asynccontextmanager
    async def _turn(self, tests_key: bool) -> AsyncIterator[Turn]:
        """Wait for a turn in which something may be sent, and hold it."""
        while True:
            while self._key_in_doubt and not tests_key:
                await self._refusal.sleep(_LOOK_S)
            async with self._slots.turn() as turn:
                self._refusal.check()
                if tests_key or not self._key_in_doubt:
                    yield turn
                    return

    async def _once(
        self, body: Mapping[str, Any], turn: Turn, bill: Bill, left: float
    ) -> tuple[ChatReply, Usage]:
        try:
            reply = await self._client.send(body, timeout=min(self._timeout, left))
        except Passing as error:
            if error.throttled:
                turn.throttled(error.told)
            else:
                turn.failed()
            if error.declined:
                bill.free()
            raise
        except JudgeRefused:
            turn.answered()
            bill.free()
            raise
        except RequestFailed as error:
            turn.answered()
            if error.billed is None:
                bill.free()
            else:
                error.usage = self._meter.usage(body, error.billed)
                bill.paid(error.usage)
            raise
        turn.answered()
        usage = self._meter.usage(body, reply)
        bill.paid(usage)
        return reply, usage
