"""What judging costs: tokens, the budget, what was spent. Where prices are from: ``prices.py``.

The budget is kept by reservations. Before a request is sent, what it may cost at most is set aside;
when its reply comes, what it did cost takes that place. A request that might pass the budget waits
for those under way and, if there is still no room, is not sent. The most that a request can cost is
its prompt (beyond our count as much as the endpoint's own counts have ever exceeded ours) and four
times the longest reply so far; before the first reply requests go one at a time. The longest reply
that a *model* can give is no useful bound: gpt-4o's 16,384 tokens are eight hundred times a
judgment. A single reply that breaks this bound can pass the budget by itself.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.judge.transport.errors import JudgeRefused
from ugc_tasks.judge.types import ChatReply, Usage

TYPICAL_REPLY = 25
"""Tokens of a reply with a caption's three scores; 18 to 25 in recorded ones."""

# Source: OpenAI's cookbook on counting tokens: three for each message, three to prime the reply.
_EACH_MESSAGE, _REPLY = 3, 3
# Measured with o200k_base: 4.7 to 5.2 characters of English a token (3,994 recorded captions, 999
# references, the judges' prompts), 1.0 to 2.9 of Chinese, Japanese, Korean, Russian and emoji.
_ASCII_A_TOKEN, _OTHERS_A_TOKEN = 4.5, 1.0
_FIRST_REPLY = 256  # tokens set aside for a reply before one has come
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

    def usd(self, prompt_tokens: int, completion_tokens: int, *, batched: bool = False) -> float:
        """Return what so many tokens cost, in US dollars."""
        whole = (prompt_tokens * self.input + completion_tokens * self.output) / 1e6
        return whole * self.batch_factor if batched else whole

    def __str__(self) -> str:
        """Return it as messages state it."""
        if not (self.input or self.output):
            return f"free, {self.as_of}"
        return f"${self.input:g} in, ${self.output:g} out a million, as of {self.as_of}"


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
    """Counts what one judge spends of ``budget``, at ``price`` (None: not known)."""

    def __init__(self, budget: Budget, price: Price | None) -> None:
        self.price = price
        self.budget = budget
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
                reply = self._longest or TYPICAL_REPLY
                usd = self.price.usd(ours, reply) if self.price else 0.0
            self.budget.settle(aside, usd)

    def at_most(self, tokens: int, *, batched: bool = False) -> float:
        """Return what a request of so many tokens, by our count, can cost; 0.0 without a price."""
        if self.price is None:
            return 0.0
        prompt = tokens * max(_MARGIN, self._excess * _LEARNED_MARGIN)
        reply = max(_SHORTEST_REPLY, _LONGER * self._longest) if self._longest else _FIRST_REPLY
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
        completion = TYPICAL_REPLY if completion is None else completion
        if ours:
            self._excess = max(self._excess, prompt / ours)
        self._longest = max(self._longest, completion, 1)
        usd = self.price.usd(prompt, completion, batched=batched) if self.price else None
        return Usage(prompt, completion, usd)

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


# ---- what was spent ----


def total_spent(judgments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add up what the judgments in the rows cost (``results/rows.py``).

    Returns:
        ``new`` and ``stored``, each with ``judgments``, ``prompt_tokens``, ``completion_tokens``,
        ``usd`` (of those whose price is known; null if there is none) and ``without_price``.
    """
    paid = [each for each in judgments if each["prompt_tokens"] is not None]
    totals = {}
    for name, stored in (("new", False), ("stored", True)):
        these = [each for each in paid if each["stored"] == stored]
        known = [each["usd"] for each in these if each["usd"] is not None]
        totals[name] = {
            "judgments": len(these),
            "prompt_tokens": sum(each["prompt_tokens"] for each in these),
            "completion_tokens": sum(each["completion_tokens"] for each in these),
            "usd": float(sum(known)) if known or not these else None,
            "without_price": len(these) - len(known),
        }
    return totals


def describe_spent(total: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``total_spent`` added up as a line for a person."""
    said = []
    for part, when in ((total["new"], "in this run"), (total["stored"], "in earlier ones")):
        money = "an unknown sum"
        if part["usd"] is not None:
            without = part["without_price"]
            money = f"${part['usd']:.4f}" + (f" and {without} of unknown cost" if without else "")
        tokens = f"{part['prompt_tokens']} + {part['completion_tokens']} tokens"
        said.append(f"{money} for {part['judgments']} judgments ({tokens}) {when}")
    return ", ".join(said)
