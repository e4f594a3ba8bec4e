"""A request repeated until it is answered, declined for good, or out of time.

What may pass is tried again with exponential back-off and full jitter, and a server's Retry-After
is honoured. Each try needs a permit of the rate limiter and a reservation in the budget; waiting
for either is not counted as the request's own time. The circuit breaker decides by the endpoint's
other answers whether a failure is everyone's.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ugc_tasks.judge.cost import Meter, Reservation
from ugc_tasks.judge.transport.client import Connection, chat_call, read_completion
from ugc_tasks.judge.transport.errors import (
    Declined,
    JudgeRefused,
    KeyRefused,
    RequestFailed,
    RequestTimedOut,
    RetryableError,
    Unreadable,
)
from ugc_tasks.judge.types import ChatReply, Usage

_T = TypeVar("_T")
Keep = Callable[[ChatReply, Usage], Awaitable[_T]]
"""Puts a reply where it is not lost."""

FIRST = 16
"""Requests at once before anything is known of the endpoint."""

_RAMP = 3.0  # each answer makes room for three more: four times as many with each round trip
_STEP = 4.0  # after the first cut: so many more with each round trip
_FIRST_CUT, _LATER_CUT = 0.5, 0.75
_SICK_AFTER = 8
_IN_A_ROW = 3
_UNREACHED_S = 2.0  # after the first try of all that reached nothing
# A gateway may decline a clip quicker than others are judged that were sent before it: those that
# are under way come on top of the first number. Once there was a reply, the key and the address are
# right, and only a long row tells of something new.
_DECLINED_AT_FIRST, _DECLINED_LATER = 3, 40
_BAD_MOMENT_TRIES = 6  # of an unreadable answer that cost nothing: a proxy's, once a model answered


@dataclass(frozen=True)
class Backoff:
    """Waits between tries, in seconds: from 0 to ``first`` doubled each time, at most ``longest``.

    ``longest_told`` bounds what a server's Retry-After can ask for.
    """

    first: float = 0.5
    longest: float = 30.0
    longest_told: float = 120.0

    def wait(self, tries: int, retry_after: float) -> float:
        """Return how long to wait after so many tries, if the server said ``retry_after``."""
        longest = min(self.longest, self.first * 2 ** min(tries - 1, 30))
        # On top of what the server said: all who were told the same must not come back at once.
        jitter = random.uniform(0, longest)  # noqa: S311  # no secret
        return min(retry_after, self.longest_told) + jitter


class RateLimiter:
    """How many requests may be open at once, first come first served, in one event loop.

    Few at first, more while they are answered, fewer at 429. The rule is TCP's (RFC 5681: slow
    start, then additive increase and multiplicative decrease), with larger steps, because a judge's
    round trip takes a second and not milliseconds. Faults other than 429 may be anything: only a
    whole row of them without an answer in between counts as too many requests.
    """

    def __init__(
        self, cap: int, longest_hold: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow ``cap`` requests at most; a Retry-After holds all up for ``longest_hold`` s."""
        self.open = 0  # permits that are held
        self.size = float(min(cap, FIRST))  # how many may be
        self._cap = cap
        self._longest_hold = longest_hold
        self._clock = clock
        self._cut_at = self._held_until = -math.inf
        self._failed_in_a_row = 0
        self._queue = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def held(self) -> float:
        """For how many seconds nothing may be sent, 0.0 where sending is fine."""
        return max(0.0, self._held_until - self._clock())

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[float]:
        """Wait for permission to send one request once, and hold it; gives the time of it."""
        async with self._queue:  # the first in it looks for room, the others wait behind
            while (held := self.held) or self.open >= int(self.size):
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(held or None):
                        await self._changed.wait()
            self.open += 1
        try:
            yield self._clock()
        finally:
            self.open -= 1
            self._changed.set()

    def answered(self) -> None:
        """Note an answer to a request, also one that declines it."""
        self._failed_in_a_row = 0
        room = _RAMP if self._cut_at == -math.inf else _STEP / self.size
        self.size = min(float(self._cap), self.size + room)
        self._changed.set()

    def throttled(self, sent: float, retry_after: float = 0.0) -> None:
        """Note a 429 to a request sent at ``sent``, which says to come back in so many seconds."""
        held = min(retry_after, self._longest_hold)
        self._held_until = max(self._held_until, self._clock() + held)
        self._cut(sent)

    def failed(self, sent: float) -> None:
        """Note a request without an answer: an error, a reset, silence, an unreadable body."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(_SICK_AFTER, int(self.size)):
            self._cut(sent)

    def _cut(self, sent: float) -> None:
        # What was sent before the last cut was sent into the window that was cut for it: one burst
        # of refusals cuts it once.
        self._failed_in_a_row = 0
        if sent >= self._cut_at:
            cut = _FIRST_CUT if self._cut_at == -math.inf else _LATER_CUT
            self.size = max(1.0, self.size * cut)
            self._cut_at = self._clock()


class CircuitBreaker:
    """Whether, and why, nothing more is asked; use it within one event loop.

    A row of failures of one kind, without an answer of a model in between, is no bad luck: the
    other clips would meet the same, and some of them would be paid for.
    """

    def __init__(self) -> None:
        self.reason: str | None = None  # why it is tripped
        self.replied = self._reached = False  # whether a model has answered, or anything
        self._tripped = asyncio.Event()
        self._kind: type[RequestFailed] | None = None
        self._in_a_row = 0
        self._unreached_at: float | None = None

    def trip(self, reason: str) -> bool:
        """Stop all asking; the first reason stays. Tells whether this is it."""
        first = self.reason is None
        self.reason = self.reason or reason
        self._tripped.set()
        return first

    def check(self) -> None:
        """Raise ``JudgeRefused`` if nothing more is asked."""
        if self.reason is not None:
            raise JudgeRefused(self.reason)

    async def sleep(self, seconds: float) -> None:
        """Wait; raises ``JudgeRefused`` as soon as the breaker is tripped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tripped.wait()
        self.check()

    def note_reply(self) -> None:
        """Note a model's answer."""
        self.replied = self._reached = True
        self._kind, self._in_a_row = None, 0

    def note_retryable(self, error: RetryableError | Unreadable, tries: int) -> None:
        """Note a failure of a request's ``tries``-th try; raise what ends them, if it will stay."""
        if isinstance(error, RetryableError):
            self._reached = self._reached or not error.unreached
            first = self._unreached_at = self._unreached_at or time.monotonic()
            # Also where each try takes long, and others come before this one's next.
            often = tries >= _IN_A_ROW or time.monotonic() - first > _UNREACHED_S
            if often and not self._reached:
                raise JudgeRefused(str(error)) from None
        elif error.billed is not None or not self.replied or tries >= _BAD_MOMENT_TRIES:
            raise error

    def verdict(self, error: RequestFailed, *, others: int) -> JudgeRefused | RequestFailed:
        """Return what ends the run if a whole row failed so, with ``others`` on the wire."""
        kind = type(error)
        self._reached = self._reached or kind is not RequestTimedOut
        self._in_a_row = self._in_a_row + 1 if kind is self._kind else 1
        self._kind = kind
        declined = _DECLINED_LATER if self.replied else _DECLINED_AT_FIRST + others
        most, verdict = {
            RequestTimedOut: (_IN_A_ROW, "the judge is not reachable"),
            Unreadable: (_IN_A_ROW, "what answers is not a judge, or not as one"),
            Declined: (declined, "the judge declines everything"),
        }.get(kind, (0, ""))
        if not most or self._in_a_row < most:
            return error
        row = f"so it went for {self._in_a_row} clips in a row: {verdict}"
        refused = JudgeRefused(f"{error}; {row}")
        refused.usage = error.usage
        return refused


async def retried(
    call: Callable[[], Awaitable[_T]], *, backoff: Backoff, breaker: CircuitBreaker, within: float
) -> _T:
    """Return what ``call`` returns, called again while its failure may pass, ``within`` seconds."""
    waited, tries = 0.0, 0
    while True:
        tries += 1
        try:
            return await call()
        except RetryableError as error:
            wait = backoff.wait(tries, error.retry_after)
            if waited + wait > within:
                raise
        await breaker.sleep(wait)
        waited += wait


class TimeBudget:
    """The time that all tries for one item may take together, with the waits between them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = self.left = seconds


@dataclass(frozen=True)
class RetryingClient:
    """Asks over ``connection`` again and again, within the rate limit and the budget."""

    connection: Connection
    limiter: RateLimiter
    meter: Meter
    backoff: Backoff
    breaker: CircuitBreaker
    timeout: float  # seconds for one try

    async def ask(self, body: Mapping[str, Any], keep: Keep[_T], budget: TimeBudget) -> _T:
        """Have ``body`` answered, tried while ``budget`` has time; return what ``keep`` returns.

        ``keep`` gets the reply and its cost and is awaited before the permit is given back: what a
        kill can cost is what had a permit, and no more. Raises ``JudgeRefused`` or
        ``RequestFailed``, with what was billed all the same in its ``usage``.
        """
        failure: Exception | None = None
        tries, reason = 0, ""
        try:
            while True:
                tries += 1
                async with self.limiter.permit() as sent:
                    self.breaker.check()
                    async with self.meter.reserve(body) as reservation:
                        started = time.monotonic()
                        try:
                            reply = await self._answer(body, sent, reservation, budget.left)
                            usage = self.meter.usage(body, reply)
                            reservation.usd = usage.usd or 0.0
                            return await keep(reply, usage)
                        except KeyRefused as error:  # in mid-run, once may be an accident
                            if isinstance(failure, KeyRefused) or not self.breaker.replied:
                                raise
                            failure = error
                        except (RetryableError, Unreadable) as error:
                            self.breaker.note_retryable(error, tries)
                            failure = error
                        finally:
                            budget.left -= time.monotonic() - started
                # A try that took all the time that was left may say only that.
                if budget.left > 0 or not reason:
                    reason = str(failure)
                told = failure.retry_after if isinstance(failure, RetryableError) else 0.0
                wait = self.backoff.wait(tries, told)
                if wait >= budget.left:
                    raise RequestTimedOut(
                        f"{self.connection.endpoint}: {reason}; given up after {tries} tries in "
                        f"{budget.seconds - budget.left:.0f} s"
                    )
                await self.breaker.sleep(wait)
                budget.left -= wait
        except RequestFailed as error:
            raise self.breaker.verdict(error, others=self.limiter.open) from None

    async def _answer(
        self, body: Mapping[str, Any], sent: float, reservation: Reservation, left: float
    ) -> ChatReply:
        """Return the reply to one try; note what a failure tells of the pace and what it cost."""
        try:
            self.breaker.check()  # it may have waited long for room in the budget
            answer = await self.connection.send(chat_call(body), timeout=min(self.timeout, left))
            if not answer.is_success:
                raise self.connection.failure(answer)
            key, endpoint = self.connection.api_key, self.connection.endpoint
            reply = read_completion(answer.content, key, endpoint)
        except RetryableError as error:
            if error.throttled:
                self.limiter.throttled(sent, error.retry_after)
            else:
                self.limiter.failed(sent)
            if error.declined:
                reservation.usd = 0.0
            raise
        except (JudgeRefused, RequestFailed) as error:
            self.connection.named(error)
            self.limiter.answered()
            if error.billed is not None:
                error.usage = self.meter.usage(body, error.billed)
            reservation.usd = (error.usage and error.usage.usd) or 0.0
            raise
        self.limiter.answered()
        self.breaker.note_reply()
        return reply
