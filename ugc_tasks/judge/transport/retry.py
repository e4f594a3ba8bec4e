"""A request repeated until it is answered, declined for good, or out of time.

What may pass is tried again with exponential back-off and full jitter, and a server's Retry-After
is honoured. Each try needs a permit of the rate limiter and a reservation in the budget; waiting
for either is not counted as the request's own time.

The circuit breaker decides whether a failure is one clip's or everyone's, by the endpoint's other
answers. A key that is refused in mid-run is tried once more, by one request while all others wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ugc_tasks.judge.cost import Meter, Reservation
from ugc_tasks.judge.transport.client import Answer, Connection, chat_call, read_completion
from ugc_tasks.judge.transport.errors import (
    Declined,
    JudgeRefused,
    KeyRefused,
    RequestFailed,
    RequestTimedOut,
    RetryableError,
    Unreadable,
)
from ugc_tasks.judge.transport.rate_limiter import RateLimiter
from ugc_tasks.judge.types import ChatReply, Usage

_T = TypeVar("_T")
Keep = Callable[[ChatReply, Usage], Awaitable[_T]]
"""Puts a reply where it is not lost."""

_POLL_S = 0.05
_TIMED_OUT_IN_A_ROW, _UNREADABLE_IN_A_ROW = 3, 3
# A gateway may decline a clip quicker than others are judged that were sent before it: those that
# are under way come on top of the first number. Once there was a reply, the key and the address are
# right, and only a long row tells of something new.
_DECLINED_AT_FIRST, _DECLINED_LATER = 3, 40
# Once a model has answered, an unreadable answer that cost nothing may be a proxy's bad moment: one
# request is tried so many times then.
_BAD_MOMENT_TRIES = 6


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


class TimeBudget:
    """The time that all tries for one item may take together, with the waits between them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds


class CircuitBreaker:
    """Whether, and why, nothing more is asked; use it within one event loop.

    An answer of a model resets the counts. A row of failures of one kind without such an answer is
    no bad luck: the other clips would meet the same, and some of them would be paid for.

    Attributes:
        reason: why it is tripped, None while it is not.
        replied: whether a model has answered in this run.
    """

    def __init__(self, endpoint: str) -> None:
        """``endpoint`` is the address as messages show it."""
        self.reason: str | None = None
        self.replied = False
        self._endpoint = endpoint
        self._tripped = asyncio.Event()
        self._reached = False
        self._kind: type[RequestFailed] | None = None
        self._in_a_row = 0

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
        try:
            await asyncio.wait_for(self._tripped.wait(), seconds)
        except TimeoutError:
            return
        self.check()

    def note_reply(self) -> None:
        """Note a model's answer."""
        self.replied = self._reached = True
        self._kind, self._in_a_row = None, 0

    def note_retryable(self, error: RetryableError | Unreadable, tries: int) -> None:
        """Note a failure that may pass, after so many tries of its request.

        Raises:
            JudgeRefused: the address is wrong.
            Unreadable: it does not pass.
        """
        if isinstance(error, Unreadable):
            if error.billed is not None or not self.replied or tries >= _BAD_MOMENT_TRIES:
                raise error
            return
        self._reached = self._reached or error.answered
        if error.tries_at_first and tries >= error.tries_at_first and not self._reached:
            raise JudgeRefused(str(error)) from None
        most = error.most_tries and (_BAD_MOMENT_TRIES if self.replied else error.most_tries)
        if most and tries >= most:
            raise Unreadable(f"{self._endpoint}: {error}; so it went {tries} times") from None

    def note_failure(self, error: RequestFailed, *, others: int) -> JudgeRefused | None:
        """Return what ends the run if a whole row of requests failed so, else None.

        ``others`` is how many are on the wire.
        """
        kind = type(error)
        self._reached = self._reached or kind is not RequestTimedOut
        self._in_a_row = self._in_a_row + 1 if kind is self._kind else 1
        self._kind = kind
        if kind is RequestTimedOut:
            most, verdict = _TIMED_OUT_IN_A_ROW, "the judge is not reachable"
        elif kind is Unreadable:
            most, verdict = _UNREADABLE_IN_A_ROW, "what answers is not a judge, or not as one"
        elif kind is Declined:
            most = _DECLINED_LATER if self.replied else _DECLINED_AT_FIRST + others
            verdict = "the judge declines everything"
        else:
            return None
        if self._in_a_row < most:
            return None
        refused = JudgeRefused(
            f"{error}; so it went for {self._in_a_row} clips in a row: {verdict}"
        )
        refused.usage = error.usage
        return refused


async def retried(
    call: Callable[[], Awaitable[_T]], *, backoff: Backoff, breaker: CircuitBreaker, within: float
) -> _T:
    """Return what ``call`` returns, called again while what is wrong may pass.

    Raises:
        RetryableError: the last one, after ``within`` seconds of waiting.
        JudgeRefused: the breaker was tripped meanwhile.
    """
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


class RetryingClient:
    """Asks over ``connection`` again and again, within the rate limit and the budget."""

    def __init__(
        self,
        connection: Connection,
        *,
        limiter: RateLimiter,
        meter: Meter,
        backoff: Backoff,
        breaker: CircuitBreaker,
        timeout: float,
    ) -> None:
        """``timeout`` is for one try, in seconds."""
        self._connection = connection
        self._limiter = limiter
        self._meter = meter
        self._backoff = backoff
        self._breaker = breaker
        self._timeout = timeout
        self._key_in_doubt = False

    async def ask(self, body: Mapping[str, Any], keep: Keep[_T], budget: TimeBudget) -> _T:
        """Have ``body`` answered, tried while ``budget`` has time; return what ``keep`` returns.

        ``keep`` gets the reply and its cost and is awaited before the permit is given back: what a
        kill can cost is what had a permit, and no more.

        Raises:
            JudgeRefused, RequestFailed: there is none; ``RequestTimedOut`` when time was up. What
                was billed all the same is in its ``usage``.
        """
        tries, reason, tests_key = 0, "", False
        try:
            while True:
                tries, retry_after = tries + 1, 0.0
                async with self._permit(tests_key) as sent:
                    with await self._meter.reserve(body) as reservation:
                        self._check_still_wanted(reservation)
                        left, started = budget.left, time.monotonic()
                        try:
                            with self._accounting(sent, reservation, body):
                                answer = await self._connection.send(
                                    chat_call(body), timeout=min(self._timeout, left)
                                )
                                reply = self._read(answer)
                            self._limiter.answered()
                            usage = self._meter.usage(body, reply)
                            reservation.paid(usage)
                            self._breaker.note_reply()
                            return await keep(reply, usage)
                        except KeyRefused as error:
                            if tests_key or not (self._breaker.replied or self._limiter.open > 1):
                                raise
                            # This one tries it once more; others wait for what comes of that.
                            tests_key, self._key_in_doubt = not self._key_in_doubt, True
                            reason = str(error)
                        except (RetryableError, Unreadable) as error:
                            retry_after = error.retry_after
                            # A try that was cut short may say only that there was no time.
                            if not (reason and error.silent and left < self._timeout):
                                reason = str(error)
                            self._breaker.note_retryable(error, tries)
                        finally:
                            budget.left -= time.monotonic() - started
                wait = self._backoff.wait(tries, retry_after)
                if wait >= budget.left:
                    raise RequestTimedOut(
                        f"{self._connection.endpoint}: {reason}; given up after {tries} tries in "
                        f"{budget.seconds - budget.left:.0f} s"
                    )
                await self._breaker.sleep(wait)
                budget.left -= wait
        except RequestFailed as error:
            refused = self._breaker.note_failure(error, others=self._limiter.open)
            if refused is None:
                raise
        finally:
            # Where the key was refused again, the caller ends it all before another task runs.
            if tests_key:
                self._key_in_doubt = False
        raise refused

    @asynccontextmanager
    async def _permit(self, tests_key: bool) -> AsyncIterator[float]:
        """Wait until something may be sent, and hold the permit for it."""
        while True:
            while self._key_in_doubt and not tests_key:
                await self._breaker.sleep(_POLL_S)
            async with self._limiter.permit() as sent:
                self._breaker.check()
                if tests_key or not self._key_in_doubt:
                    yield sent
                    return

    def _read(self, answer: Answer) -> ChatReply:
        if not answer.is_success:
            raise self._connection.failure(answer)
        return read_completion(answer.content, self._connection.api_key, self._connection.endpoint)

    def _check_still_wanted(self, reservation: Reservation) -> None:
        """Raise ``JudgeRefused`` if the breaker was tripped while this waited for room."""
        if self._breaker.reason is not None:
            reservation.free()
            self._breaker.check()

    @contextmanager
    def _accounting(
        self, sent: float, reservation: Reservation, body: Mapping[str, Any]
    ) -> Iterator[None]:
        """Note what a failure tells of the pace and what it cost, and pass it on."""
        try:
            yield
        except RetryableError as error:
            if error.throttled:
                self._limiter.throttled(sent, error.retry_after)
            else:
                self._limiter.failed(sent)
            if error.declined:
                reservation.free()
            raise
        except JudgeRefused:
            self._limiter.answered()
            reservation.free()
            raise
        except RequestFailed as error:
            self._limiter.answered()
            if error.billed is None:
                reservation.free()
            else:
                error.usage = self._meter.usage(body, error.billed)
                reservation.paid(error.usage)
            raise
