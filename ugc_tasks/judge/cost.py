"""What judging costs: prices, tokens, the budget, the estimate before a run, what was spent.

Prices are a dated table of this package (``prices.toml``), before which a user's own goes. Both are
TOML: ``as_of``, a date; ``batch_factor``, what a batched token costs of a single one's price; and
``[models."NAME"]`` with ``input`` and ``output`` in US dollars a million tokens, and
``max_output_tokens`` if it is known. A model is found by its exact name, whoever serves it.

The budget is kept by reservations. Before a request is sent, what it may cost at most is set aside;
when its reply comes, what it did cost takes that place. So requests that are under way are counted,
and a request that might pass the budget waits for those before it and, if there is still no room,
is not sent. The most that a request can cost is its prompt (beyond our count as much as the
endpoint's own counts have ever exceeded ours) and its reply: as long as the request itself allows
(``max_tokens``), else four times the longest reply so far. Before the first reply nothing is known,
so requests go one at a time until it has come. The longest reply that a *model* can give is no
useful bound: gpt-4o's 16,384 tokens are eight hundred times a judgment, and sixty of them under way
would set ten dollars aside. A single reply that breaks this bound can pass the budget by itself.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
import sys
import threading
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import UserError, complain
from ugc_tasks.judge.transport.errors import JudgeRefused
from ugc_tasks.judge.types import ChatReply, Judgment, Usage

TYPICAL_REPLY = 25
"""Tokens of a reply with a caption's three scores; 18 to 25 in recorded ones."""

_OUR_PRICES = Path(__file__).with_name("prices.toml")
_MAX_TABLE_BYTES = 1 << 20
_MILLION = 1_000_000
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
_LIMITS = ("max_completion_tokens", "max_tokens")
_ROUNDING = 1e-9  # US dollars


# ---- prices ----


class PriceError(UserError, ValueError):
    """A price table cannot be used; the message says which, where and what to do."""


@dataclass(frozen=True)
class Price:
    """What one model costs, in US dollars a million tokens, and from when that is known.

    Attributes:
        max_output: the most tokens that a reply can have, None where the table does not say.
    """

    model: str
    input: float
    output: float
    as_of: str
    batch_factor: float = 1.0
    max_output: int | None = None

    def usd(self, prompt_tokens: int, completion_tokens: int, *, batched: bool = False) -> float:
        """Return what so many tokens cost, in US dollars."""
        whole = (prompt_tokens * self.input + completion_tokens * self.output) / _MILLION
        return whole * self.batch_factor if batched else whole

    def __str__(self) -> str:
        """Return it as messages state it."""
        return f"${self.input:g} in, ${self.output:g} out a million, as of {self.as_of}"


def price_of(model: str, own: Path | None = None) -> Price | None:
    """Return the price of ``model``; None where neither the user's table ``own`` nor ours has it.

    Raises:
        PriceError: a table cannot be read, or is malformed anywhere.
    """
    tables = ([_table(own)] if own is not None else []) + [_table(_OUR_PRICES)]
    return next((table[model] for table in tables if model in table), None)


def _table(path: Path) -> dict[str, Price]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TABLE_BYTES + 1)
        if len(text) > _MAX_TABLE_BYTES:
            raise PriceError(
                f"{path} is no price table: it is larger than {_MAX_TABLE_BYTES} bytes"
            )
        content = tomllib.loads(text.decode())
    except OSError as error:
        raise PriceError(f"the price table {path} cannot be read: {error.strerror}") from None
    except PriceError:
        raise
    except (ValueError, RecursionError) as error:
        raise PriceError(f"the price table {path} is not TOML: {error}") from None
    as_of, models = content.get("as_of"), content.get("models")
    if not as_of or not isinstance(models, dict):
        raise PriceError(f'the price table {path} needs as_of = "a date" and [models."NAME"]')
    factor = _price_number(content, "batch_factor", path, "the top", default=1.0)
    return {name: _price(name, row, str(as_of), factor, path) for name, row in models.items()}


def _price(name: str, row: Any, as_of: str, factor: float, path: Path) -> Price:
    if not isinstance(row, dict):
        raise PriceError(f"the price table {path}: {name!r:.80} is to have input and output")
    longest = row.get("max_output_tokens")
    if longest is not None and not (type(longest) is int and longest > 0):
        raise PriceError(f"the price table {path}: max_output_tokens of {name!r:.80} is no count")
    into, out = (_price_number(row, key, path, name) for key in ("input", "output"))
    return Price(name, into, out, as_of, factor, longest)


def _price_number(
    row: Mapping[str, Any], key: str, path: Path, where: str, *, default: float | None = None
) -> float:
    value = row.get(key, default)
    if type(value) not in {int, float} or not math.isfinite(value) or value < 0:
        raise PriceError(
            f"the price table {path}: {key} of {where!r:.80} is to be a number of 0 or more"
        )
    return float(value)


# ---- tokens ----


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """Return about how many tokens a chat-completions request has, its schema included.

    Estimated from characters: a judge may have any tokenizer, and OpenAI's are fetched from the
    network. The estimate lies a few per cent above the count of gpt-4o's (o200k_base) for English,
    and not below it for other scripts.
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
        """What was spent, in US dollars."""
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
            BudgetReached: nothing is under way, and there is no room.
        """
        with self._lock:
            if self.limit is not None:
                if alone and self._open:
                    return False
                if self._spent + self._set_aside + usd > self.limit + _ROUNDING:
                    if self._open:
                        return False
                    raise BudgetReached(
                        f"the budget of ${self.limit:g} (UGC_JUDGE_BUDGET) is reached: "
                        f"${self._spent:.4f} are spent and the next request can cost ${usd:.4f}; "
                        "all that was judged is kept, run again with a larger budget for the rest"
                    )
            self._set_aside += usd
            self._open += 1
            return True

    def settle(self, aside: float, usd: float) -> None:
        """Put what was spent in the place of what was set aside."""
        with self._lock:
            self._set_aside -= aside
            self._spent += usd
            self._open -= 1


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
        self._budget = budget
        self._excess = 0.0  # the endpoint's count of a prompt as a multiple of ours, at most so far
        self._longest = 0  # reply so far, in tokens

    async def reserve(self, body: Mapping[str, Any]) -> Reservation:
        """Set aside what the request ``body`` can cost, once there is room; raises BudgetReached.

        To be used as a context manager around sending it.
        """
        if self._budget.limit is None:
            self._budget.set_aside(0.0)
            return Reservation(self, self._budget, body, 0.0)
        ours = estimated_tokens(body)  # once: room is looked for many times
        while True:
            usd = self._at_most(ours, body, batched=False)
            if self._budget.set_aside(usd, alone=not self._longest):
                return Reservation(self, self._budget, body, usd)
            await asyncio.sleep(_POLL_S)

    def at_most(self, body: Mapping[str, Any], *, batched: bool = False) -> float:
        """Return what a request can cost, in US dollars; 0.0 where no price is known."""
        return self._at_most(estimated_tokens(body), body, batched=batched)

    def _at_most(self, ours: int, body: Mapping[str, Any], *, batched: bool) -> float:
        if self.price is None:
            return 0.0
        prompt = ours * max(_MARGIN, self._excess * _LEARNED_MARGIN)
        longest = max(_SHORTEST_REPLY, _LONGER * self._longest) if self._longest else _FIRST_REPLY
        if self.price.max_output is not None:
            longest = min(longest, self.price.max_output)
        stated = next((body[name] for name in _LIMITS if isinstance(body.get(name), int)), longest)
        return self.price.usd(round(prompt), stated, batched=batched)

    def usage(
        self, body: Mapping[str, Any] | None, reply: ChatReply, *, batched: bool = False
    ) -> Usage:
        """Return what a reply cost, and learn from it; an endpoint that is silent is estimated.

        ``body`` is None where an earlier run handed it in, by a batch.
        """
        ours = 0
        if body is not None and (reply.prompt_tokens is None or self._budget.limit is not None):
            ours = estimated_tokens(body)
        prompt = ours if reply.prompt_tokens is None else reply.prompt_tokens
        completion = TYPICAL_REPLY
        if reply.completion_tokens is not None:
            completion = reply.completion_tokens
        if ours:
            self._excess = max(self._excess, prompt / ours)
        self._longest = max(self._longest, completion, 1)
        usd = self.price.usd(prompt, completion, batched=batched) if self.price else None
        return Usage(prompt, completion, usd)

    def batched(self, body: Mapping[str, Any] | None, reply: ChatReply) -> Usage:
        """Return what a reply from a batch cost, and note it as spent."""
        usage = self.usage(body, reply, batched=True)
        self._budget.spend(usage.usd or 0.0)
        return usage

    def afford(
        self, bodies: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, Mapping[str, Any]], ExitStack]:
        """Choose as many requests of a batch as there is room for, and set that aside.

        Until the ``ExitStack`` is left: by then its replies have been billed one by one.
        """
        room, total, aside = self._budget.room, 0.0, ExitStack()
        chosen: dict[str, Mapping[str, Any]] = {}
        for key, body in bodies.items():
            usd = self.at_most(body, batched=True) if room is not None else 0.0
            if room is not None and total + usd > room:
                break
            total += usd
            chosen[key] = body
        if not chosen and room is not None:
            return {}, aside
        # Others may have been quicker to take the same room.
        if not self._budget.set_aside(total):
            return {}, aside
        aside.callback(self._budget.settle, total, 0.0)
        return chosen, aside

    def unanswered(self, body: Mapping[str, Any]) -> float:
        """Return what a request may have cost that was sent and whose reply never came whole."""
        if self.price is None or self._budget.limit is None:
            return 0.0
        return self.price.usd(estimated_tokens(body), self._longest or TYPICAL_REPLY)


class Reservation:
    """What one request can cost, set aside until it is known what it did cost.

    Left without ``paid`` or ``free``, it counts as a request that was sent and may have to be paid
    for.
    """

    def __init__(self, meter: Meter, budget: Budget, body: Mapping[str, Any], aside: float) -> None:
        self._meter = meter
        self._budget = budget
        self._body = body
        self._aside = aside
        self._usd: float | None = None

    def paid(self, usage: Usage) -> None:
        """Note what the reply cost."""
        self._usd = usage.usd or 0.0

    def free(self) -> None:
        """Note that the endpoint declined, which costs nothing."""
        self._usd = 0.0

    def __enter__(self) -> Reservation:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Settle."""
        usd = self._meter.unanswered(self._body) if self._usd is None else self._usd
        self._budget.settle(self._aside, usd)


# ---- the estimate before a run ----


def describe_estimate(
    judge: str,
    *,
    needed: int,
    stored: int,
    prompt_tokens: int,
    price: Price | None,
    budget: float | None,
    batched: bool,
    repeats: int,
) -> str:
    """Return what judging is expected to take, in one line.

    Args:
        judge: its label.
        needed: judgments, each counted once.
        stored: how many of them are on disk.
        prompt_tokens: of the requests of all the others together.
        price: None where it is not known.
        budget: US dollars that may be spent, None for no limit.
        batched: whether the others will be asked for in batches.
        repeats: judgments of each answer.
    """
    missing, each = needed - stored, f" ({repeats} of each answer)" if repeats > 1 else ""
    said = f"{judge}: {needed} judgments are needed{each}, {stored} are stored"
    if not missing:
        return f"{said}; nothing is to be paid for"
    replies = missing * TYPICAL_REPLY
    said += (
        f", {missing} are to be asked for: about {prompt_tokens:,} tokens (estimated) and "
        f"{replies:,} of replies"
    )
    usd = None if price is None else price.usd(prompt_tokens, replies, batched=batched)
    if price is None or usd is None:
        said += "; what that costs is not known (UGC_JUDGE_PRICES can name a price table)"
    else:
        batch = f", {price.batch_factor:g} of it in batches" if batched else ""
        said += f", about ${usd:.2f} ({price}{batch})"
    if budget is not None:
        said += f"; the budget is ${budget:g}"
        if usd is not None and usd > budget:
            said += f", enough for about {int(missing * budget / usd)} of them"
    return said


def tell(text: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        complain(f"judge: {text}")


# ---- what was spent ----

Entry = dict[str, Any]


def spent(judgment: Judgment) -> Entry | list[Entry] | None:
    """Return what a judgment cost, as a clip's row states it (``judge_spent``).

    One entry: ``stored`` (it was on disk and cost nothing in this run), ``prompt_tokens``,
    ``completion_tokens`` and ``usd`` (null where the price is not known). A list of them for a clip
    that was judged several times; None where nothing was paid.
    """
    if judgment.repeats:
        each = [_entry(repeat) for repeat in judgment.repeats]
        return [entry for entry in each if entry is not None] or None
    return _entry(judgment)


def _entry(judgment: Judgment) -> Entry | None:
    usage = judgment.usage
    if usage is None:
        return None
    return {
        "stored": judgment.stored,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": usage.usd,
    }


def total_spent(items: Sequence[Entry | list[Entry] | None]) -> dict[str, dict[str, Any]]:
    """Add up the entries of all rows; an aggregation of lmms-eval.

    Returns:
        ``new`` and ``stored``, each with ``judgments``, ``prompt_tokens``, ``completion_tokens``,
        ``usd`` (of those whose price is known; null if there is none) and ``without_price``.
    """
    entries = [
        entry for item in items if item for entry in (item if isinstance(item, list) else [item])
    ]
    return {
        "new": _sum(entry for entry in entries if not entry["stored"]),
        "stored": _sum(entry for entry in entries if entry["stored"]),
    }


def _sum(entries: Iterable[Entry]) -> dict[str, Any]:
    listed = list(entries)
    known = [entry["usd"] for entry in listed if entry["usd"] is not None]
    return {
        "judgments": len(listed),
        "prompt_tokens": sum(entry["prompt_tokens"] for entry in listed),
        "completion_tokens": sum(entry["completion_tokens"] for entry in listed),
        "usd": float(sum(known)) if known or not listed else None,
        "without_price": len(listed) - len(known),
    }


def describe_spent(total: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``total_spent`` added up as a line for a person."""
    return f"{_described(total['new'])} in this run, {_described(total['stored'])} in earlier ones"


def _described(part: Mapping[str, Any]) -> str:
    money = "an unknown sum"
    if part["usd"] is not None:
        without = part["without_price"]
        money = f"${part['usd']:.4f}" + (f" and {without} of unknown cost" if without else "")
    tokens = f"{part['prompt_tokens']} + {part['completion_tokens']} tokens"
    return f"{money} for {part['judgments']} judgments ({tokens})"
