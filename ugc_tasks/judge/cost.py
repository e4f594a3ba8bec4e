"""What judging costs: tokens, the budget, the estimate. Where prices are from: ``judges.py``.

The budget is kept by reservations. Before a request is sent, what it may cost at most is set aside;
when its reply comes, what it did cost takes that place. A request that might pass the budget waits
for those under way and, if there is still no room, is not sent. The most that a request can cost is
its prompt (beyond our count as much as the endpoint's own counts have ever exceeded ours) and four
times the longest reply so far; before the first reply requests go one at a time. The longest reply
that a *model* can give is no useful bound: gpt-4o's 16,384 tokens are eight hundred times a
judgment; one that the request states is. A single reply that breaks this bound can pass the budget
by itself. What a model thinks is a part of its reply; what of a prompt was cached is taken for full
until the reply says so.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import complain
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.errors import JudgeRefused
from ugc_tasks.judge.types import ChatReply, Usage

TYPICAL_REPLY = 25
"""Tokens of a reply with a caption's three scores; 18 to 25 in recorded ones."""
TYPICAL_THOUGHT = 500
"""Tokens that a model thinks before such a reply: a guess, until one has come."""
LIMITS = ("max_completion_tokens", "max_tokens")
"""Parameters of a request that bound its reply."""

# Source: OpenAI's cookbook on counting tokens: three for each message, three to prime the reply.
_EACH_MESSAGE, _REPLY = 3, 3
# Measured with o200k_base: 4.7 to 5.2 characters of English a token (3,994 recorded captions, 999
# references, the judges' prompts), 1.0 to 2.9 of Chinese, Japanese, Korean, Russian and emoji.
_ASCII_A_TOKEN, _OTHERS_A_TOKEN = 4.5, 1.0
_FIRST_REPLY = 256  # tokens set aside for a reply before one has come
_FIRST_THOUGHT = 4096  # and for what is thought before it
_SHORTEST_REPLY = 64
_LONGER = 4
_MARGIN, _LEARNED_MARGIN = 1.3, 1.05  # of prompts: before the endpoint counted one, and after
_POLL_S = 0.02
_ROUNDING = 1e-9  # US dollars


@dataclass(frozen=True)
class Price:
    """What one model costs, in US dollars a million tokens, and from when that is known."""

    input: float
    output: float
    as_of: str
    batch_factor: float = 1.0
    cached_input: float | None = None

    def usd(
        self,
        prompt_tokens: int,
        completion_tokens: int,
        *,
        cached_tokens: int = 0,
        batched: bool = False,
    ) -> float:
        """Return what so many tokens cost, ``cached_tokens`` of the prompt's, in US dollars."""
        cached = 0 if self.cached_input is None else min(cached_tokens, prompt_tokens)
        whole = (prompt_tokens - cached) * self.input + completion_tokens * self.output
        whole = (whole + cached * (self.cached_input or 0.0)) / 1e6
        return whole * self.batch_factor if batched else whole

    def __str__(self) -> str:
        """Return it as messages state it."""
        if not (self.input or self.output):
            return f"free, {self.as_of}"
        cached = "" if self.cached_input is None else f" (${self.cached_input:g} cached)"
        return f"${self.input:g} in{cached}, ${self.output:g} out a million, as of {self.as_of}"


# ---- tokens ----


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """Return about how many tokens a chat-completions request has, its schema included.

    Estimated from characters, since a judge may have any tokenizer: a few per cent above the count
    of gpt-4o's (o200k_base) for English, and not below it for other scripts.
    """
    total = sum(_EACH_MESSAGE + _tokens(str(m["content"])) for m in body["messages"]) + _REPLY
    schema = body.get("response_format")
    return total + (_tokens(json.dumps(schema)) if schema else 0)


def _tokens(text: str) -> int:
    others = sum(not character.isascii() for character in text)
    return round((len(text) - others) / _ASCII_A_TOKEN + others / _OTHERS_A_TOKEN)


# ---- the budget ----


class BudgetReached(JudgeRefused):
    """Another request could pass the budget; the message says what was spent and what to do."""


class Budget:
    """What may be spent (``limit`` and ``spent``, US dollars) by all judges of a process."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self._set_aside = 0.0
        self._open = 0
        self._lock = threading.Lock()

    def set_aside(self, usd: float, *, alone: bool = False) -> bool:
        """Set aside what a request can cost; False where that has to wait for others.

        Raises ``BudgetReached`` where nothing is under way and there is no room.
        """
        with self._lock:
            if self.limit is not None:
                if alone and self._open:
                    return False
                if self.spent + self._set_aside + usd > self.limit + _ROUNDING:
                    if self._open:
                        return False
                    raise BudgetReached(
                        f"the budget of ${self.limit:g} (UGC_JUDGE_BUDGET) is reached: "
                        f"${self.spent:.4f} are spent and the next request can cost ${usd:.4f}; "
                        "all that was judged is kept, run again with a larger budget for the rest"
                    )
            self._set_aside += usd
            self._open += 1
            return True

    def settle(self, aside: float, usd: float) -> None:
        """Put what was spent in the place of what was set aside."""
        with self._lock:
            self._set_aside -= aside
            self.spent += usd
            self._open -= 1

    def spend(self, usd: float) -> None:
        """Note what was spent of what is set aside for a batch, which is settled as a whole."""
        with self._lock:
            self.spent += usd


@functools.lru_cache(maxsize=64)
def _budget(process: int, store: Path, limit: float | None) -> Budget:
    return Budget(limit)


def budget_of(store: Path, limit: float | None) -> Budget:
    """Return the budget of this process for the judges on ``store``: the same one for each."""
    return _budget(os.getpid(), store.absolute(), limit)


class Meter:
    """Counts what one judge spends of ``budget``, at ``price`` (None: not known).

    ``reasons``: whether it thinks before it replies; ``limit``: tokens of a reply at most, if its
    requests state that.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price | None,
        *,
        reasons: bool = False,
        limit: int | None = None,
    ) -> None:
        self.price = price
        self.budget = budget
        self._first = _FIRST_THOUGHT if reasons else _FIRST_REPLY
        self._typical = TYPICAL_REPLY + TYPICAL_THOUGHT * reasons
        self._limit = limit
        self._excess = 0.0  # the endpoint's count of a prompt as a multiple of ours, at most so far
        self._longest = 0  # reply so far, in tokens

    @asynccontextmanager
    async def reserve(self, body: Mapping[str, Any]) -> AsyncIterator[Reservation]:
        """Set aside what the request ``body`` can cost, once there is room, while it is sent.

        Raises ``BudgetReached``.
        """
        ours = self._counted(body)  # once: room is looked for many times
        while not self.budget.set_aside(aside := self.at_most(ours), alone=not self._longest):
            await asyncio.sleep(_POLL_S)
        reservation = Reservation()
        try:
            yield reservation
        finally:
            usd = reservation.usd
            if usd is None:
                reply = self._longest or self._typical
                usd = self.price.usd(ours, reply) if self.price else 0.0
            self.budget.settle(aside, usd)

    def at_most(self, tokens: int, *, batched: bool = False) -> float:
        """Return what a request of so many tokens, by our count, can cost; 0.0 without a price."""
        if self.price is None:
            return 0.0
        prompt = tokens * max(_MARGIN, self._excess * _LEARNED_MARGIN)
        reply = max(_SHORTEST_REPLY, _LONGER * self._longest) if self._longest else self._first
        reply = min(reply, self._limit or reply)
        return self.price.usd(round(prompt), reply, batched=batched)

    def usage(
        self, body: Mapping[str, Any] | None, reply: ChatReply, *, batched: bool = False
    ) -> Usage:
        """Return what a reply cost; what the endpoint does not tell is estimated.

        ``body`` is None where an earlier run handed it in, by a batch.
        """
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        ours = estimated_tokens(body) if body and prompt is None else self._counted(body)
        prompt = ours if prompt is None else prompt
        completion = self._typical if completion is None else completion
        cached, thought = reply.cached_tokens or 0, reply.reasoning_tokens or 0
        if ours:
            self._excess = max(self._excess, prompt / ours)
        self._longest = max(self._longest, completion, 1)
        usd = None
        if self.price:
            usd = self.price.usd(prompt, completion, cached_tokens=cached, batched=batched)
        return Usage(prompt, completion, usd, cached, thought)

    def batched(self, body: Mapping[str, Any] | None, reply: ChatReply) -> Usage:
        """Return what a reply from a batch cost, and note it as spent."""
        usage = self.usage(body, reply, batched=True)
        self.budget.spend(usage.usd or 0.0)
        return usage

    @contextmanager
    def afford(
        self, bodies: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[dict[str, Mapping[str, Any]]]:
        """Give the first requests, by key, as many as there is room for.

        What they can cost is set aside until the end: by then each has been billed by itself.
        """
        chosen: dict[str, Mapping[str, Any]] = {}
        aside: list[float] = []
        with suppress(BudgetReached):
            for key, body in bodies:
                usd = self.at_most(self._counted(body), batched=True)
                if not self.budget.set_aside(usd):
                    break
                chosen[key] = body
                aside.append(usd)
        try:
            yield chosen
        finally:
            for usd in aside:
                self.budget.settle(usd, 0.0)

    def _counted(self, body: Mapping[str, Any] | None) -> int:
        """Return the tokens of a request by our count; 0 where no budget needs it."""
        return estimated_tokens(body) if body and self.budget.limit is not None else 0


@dataclass
class Reservation:
    """``usd``: what a request has cost; None where it may have to be paid for."""

    usd: float | None = None


# ---- what a run is expected to cost ----


@dataclass(frozen=True)
class Estimate:
    """What judging is expected to take; as a text, one line for a person.

    Attributes:
        judge: its label.
        needed: judgments, each counted once; ``stored`` of them are on disk.
        prompt_tokens: of the requests of all the others together, estimated.
        price: of the judge's model; None where it is not known.
        reasons: whether that model thinks before it replies.
    """

    judge: str
    settings: JudgeSettings = field(repr=False)
    price: Price | None
    needed: int
    stored: int
    prompt_tokens: int
    reasons: bool = False

    @property
    def missing(self) -> int:
        """Judgments that are to be asked for."""
        return self.needed - self.stored

    @property
    def completion_tokens(self) -> int:
        """Tokens of their replies, estimated."""
        return self.missing * (TYPICAL_REPLY + TYPICAL_THOUGHT * self.reasons)

    @property
    def usd(self) -> float | None:
        """What they cost in US dollars; None where that is not known."""
        if self.price is None or not self.missing:
            return None if self.missing else 0.0
        batched = self.settings.batch
        return self.price.usd(self.prompt_tokens, self.completion_tokens, batched=batched)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "judge": self.judge,
            "needed": self.needed,
            "stored": self.stored,
            "to_ask": self.missing,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": self.usd,
            "price": str(self.price) if self.price else None,
            "budget_usd": self.settings.budget,
        }

    def __str__(self) -> str:
        """Return it in one line, with the budget if there is one."""
        repeats, budget, usd = self.settings.repeats, self.settings.budget, self.usd
        each = f" ({repeats} of each answer)" if repeats > 1 else ""
        said = f"{self.judge}: {self.needed} judgments are needed{each}, {self.stored} are stored"
        if not self.missing:
            return f"{said}; nothing is to be paid for"
        said += (
            f", {self.missing} are to be asked for: about {self.prompt_tokens:,} tokens "
            f"(estimated) and {self.completion_tokens:,} of replies"
            f"{', what it thinks being a guess' * self.reasons}"
        )
        if self.price is None or usd is None:
            said += "; what that costs is not known (UGC_JUDGE_PRICES can name a price table)"
        else:
            batch = f", {self.price.batch_factor:g} of it in batches" * self.settings.batch
            said += f", about ${usd:.2f} ({self.price}{batch})"
        if budget is not None:
            said += f"; the budget is ${budget:g}"
            if usd is not None and usd > budget:
                said += f", enough for about {int(self.missing * budget / usd)} of them"
        return said


def tell(text: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        complain(f"judge: {text}")
