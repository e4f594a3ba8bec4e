"""What is spent, and stopping before it is too much.

Before a request is sent, what it may cost at most is set aside; when its reply comes, what it did
cost takes that place. So requests that are under way are counted, and a request that might pass the
budget waits for those before it and, if there is still no room, is not sent.

The most that a request can cost is its prompt (see ``tokens.py``; beyond the count as much as the
endpoint's own counts have ever exceeded ours) and its reply: as long as the request itself allows
(``max_tokens``), else four times the longest reply so far. Before the first reply nothing is known,
so requests go one at a time until it has come. The longest reply that a *model* can give is no
useful bound: gpt-4o's 16,384 tokens are eight hundred times a judgment, and sixty of them under way
would set ten dollars aside. A single reply that breaks this bound can pass the budget by itself.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugc_tasks.judge.failures import JudgeRefused
from ugc_tasks.judge.prices import Price
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.tokens import TokenCounter, estimating
from ugc_tasks.judge.usage import Usage

TYPICAL_REPLY = 25
"""Tokens of a reply with a caption's three scores; 18 to 25 in recorded ones."""

_FIRST_REPLY = 256
_SHORTEST_REPLY = 64
_LONGER = 4
_MARGIN_EXACT, _MARGIN_ESTIMATED = 1.05, 1.3
_LOOK_S = 0.02
_LIMITS = ("max_completion_tokens", "max_tokens")
_ROUNDING = 1e-9  # US dollars


class BudgetReached(JudgeRefused):
    """Another request could pass the budget; the message says what was spent and what to do."""


class Purse:
    """What may be spent, shared by all judges of a process; any thread.

    Args:
        limit: US dollars, None for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._spent = 0.0
        self._set_aside = 0.0
        self._open = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        """Return what was spent, in US dollars."""
        with self._lock:
            return self._spent

    @property
    def room(self) -> float | None:
        """What is neither spent nor set aside; None for no limit."""
        with self._lock:
            return None if self.limit is None else self.limit - self._spent - self._set_aside

    def spend(self, usd: float) -> None:
        """Note what was spent without having been set aside."""
        with self._lock:
            self._spent += usd

    def set_aside(self, usd: float, *, alone: bool = False) -> bool:
        """Set aside what a request can cost; False where that has to wait for others.

        Raises:
            BudgetReached: nobody is under way, and there is no room.
        """
        with self._lock:
            if self.limit is not None:
                if alone and self._open:
                    return False
                if self._spent + self._set_aside + usd > self.limit + _ROUNDING:
                    if self._open:
                        return False
                    raise BudgetReached(self._sentence(usd))
            self._set_aside += usd
            self._open += 1
            return True

    def settle(self, aside: float, usd: float) -> None:
        """Put what was spent in the place of what was set aside."""
        with self._lock:
            self._set_aside -= aside
            self._spent += usd
            self._open -= 1

    def _sentence(self, usd: float) -> str:
        return (
            f"the budget of ${self.limit:g} (UGC_JUDGE_BUDGET) is reached: ${self._spent:.4f} are "
            f"spent and the next request can cost ${usd:.4f}; all that was judged is kept, run "
            "again with a larger budget for the rest"
        )


@functools.lru_cache(maxsize=64)
def _purse(process: int, store: Path, limit: float | None) -> Purse:
    return Purse(limit)


def purse_of(store: Path, limit: float | None) -> Purse:
    """Return the purse of this process for the judges on ``store``: the same one for each."""
    return _purse(os.getpid(), store.absolute(), limit)


class Meter:
    """Counts what one judge spends from ``purse``, at ``price`` (None: not known)."""

    def __init__(self, purse: Purse, price: Price | None) -> None:
        self.price = price
        self.counter: TokenCounter = estimating("nothing was counted")
        self._purse = purse
        self._excess = 0.0  # the endpoint's count of a prompt as a multiple of ours, at most so far
        self._longest = 0  # reply so far, in tokens

    async def bill(self, body: Mapping[str, Any]) -> Bill:
        """Set aside what the request ``body`` can cost, once there is room; raises BudgetReached.

        To be used as a context manager around sending it.
        """
        if self._purse.limit is None:
            self._purse.set_aside(0.0)
            return Bill(self, self._purse, body, 0.0)
        ours = self.counter.request(body)  # once: room is looked for many times
        while True:
            usd = self._at_most(ours, body, batched=False)
            if self._purse.set_aside(usd, alone=not self._longest):
                return Bill(self, self._purse, body, usd)
            await asyncio.sleep(_LOOK_S)

    def at_most(self, body: Mapping[str, Any], *, batched: bool = False) -> float:
        """Return what a request can cost, in US dollars; 0.0 where no price is known."""
        return self._at_most(self.counter.request(body), body, batched=batched)

    def _at_most(self, ours: int, body: Mapping[str, Any], *, batched: bool) -> float:
        if self.price is None:
            return 0.0
        margin = _MARGIN_EXACT if self.counter.exact else _MARGIN_ESTIMATED
        prompt = ours * max(margin, self._excess * _MARGIN_EXACT)
        return self.price.usd(round(prompt), self._reply_at_most(body), batched=batched)

    def usage(self, body: Mapping[str, Any], reply: ChatReply) -> Usage:
        """Return what a reply cost, and learn from it; an endpoint that is silent is estimated."""
        return self._usage(body, reply, batched=False)

    def batched(self, body: Mapping[str, Any] | None, reply: ChatReply) -> Usage:
        """Return what a reply from a batch cost, and note it as spent.

        ``body`` is None where an earlier run handed it in.
        """
        usage = self._usage(body, reply, batched=True)
        self._purse.spend(usage.usd or 0.0)
        return usage

    def _usage(self, body: Mapping[str, Any] | None, reply: ChatReply, *, batched: bool) -> Usage:
        ours = 0
        if body is not None and (reply.prompt_tokens is None or self._purse.limit is not None):
            ours = self.counter.request(body)
        prompt = ours if reply.prompt_tokens is None else reply.prompt_tokens
        completion = TYPICAL_REPLY
        if reply.completion_tokens is not None:
            completion = reply.completion_tokens
        if ours:
            self._excess = max(self._excess, prompt / ours)
        self._longest = max(self._longest, completion, 1)
        usd = self.price.usd(prompt, completion, batched=batched) if self.price else None
        return Usage(prompt, completion, usd)

    def afford(
        self, bodies: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, Mapping[str, Any]], Aside]:
        """Choose as many requests of a batch as there is room for, and set that aside."""
        room, total = self._purse.room, 0.0
        if room is None:
            self._purse.set_aside(0.0)
            return dict(bodies), Aside(self._purse, 0.0)
        chosen = {}
        for key, body in bodies.items():
            usd = self.at_most(body, batched=True)
            if total + usd > room:
                break
            total += usd
            chosen[key] = body
        # Others may have been quicker with the same room: then it is none of this one's.
        if chosen and self._purse.set_aside(total):
            return chosen, Aside(self._purse, total)
        return {}, Aside(None, 0.0)

    def unanswered(self, body: Mapping[str, Any]) -> float:
        """Return what a request may have cost that was sent and whose reply never came whole."""
        if self.price is None or self._purse.limit is None:
            return 0.0
        return self.price.usd(self.counter.request(body), self._longest or TYPICAL_REPLY)

    def _reply_at_most(self, body: Mapping[str, Any]) -> int:
        stated = next((body[name] for name in _LIMITS if isinstance(body.get(name), int)), None)
        longest = max(_SHORTEST_REPLY, _LONGER * self._longest) if self._longest else _FIRST_REPLY
        if self.price is not None and self.price.max_output is not None:
            longest = min(longest, self.price.max_output)
        return longest if stated is None else stated


class Aside:
    """What is set aside for a batch, until its replies are billed one by one."""

    def __init__(self, purse: Purse | None, usd: float) -> None:
        self._purse = purse
        self._usd = usd

    def __enter__(self) -> None:
        """Do nothing: it is set aside already."""

    def __exit__(self, *_: object) -> None:
        """Set it aside no longer."""
        if self._purse is not None:
            self._purse.settle(self._usd, 0.0)


class Bill:
    """What one request can cost, set aside until it is known what it did cost.

    Left without a word, it counts as a request that was sent and may have been paid for.
    """

    def __init__(self, meter: Meter, purse: Purse, body: Mapping[str, Any], aside: float) -> None:
        self._meter = meter
        self._purse = purse
        self._body = body
        self._aside = aside
        self._usd: float | None = None

    def paid(self, usage: Usage) -> None:
        """Note what the reply cost."""
        self._usd = usage.usd or 0.0

    def free(self) -> None:
        """Note that the endpoint declined, which costs nothing."""
        self._usd = 0.0

    def __enter__(self) -> Bill:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Settle."""
        usd = self._meter.unanswered(self._body) if self._usd is None else self._usd
        self._purse.settle(self._aside, usd)
