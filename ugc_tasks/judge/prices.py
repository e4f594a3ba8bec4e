"""Price tables, and what a run is expected to cost, said before anything is paid for.

The table of this package is ``prices.toml``; a user's own goes before it. Both are TOML: ``as_of``,
a date; ``batch_factor``, what a batched token costs of a single one's price; and
``[models."EXACT NAME"]`` with ``input`` and ``output`` in US dollars a million tokens.
"""

from __future__ import annotations

import math
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import complain
from ugc_tasks.judge.cost import TYPICAL_REPLY, Price
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings

_OUR_PRICES = Path(__file__).with_name("prices.toml")
_MAX_TABLE_BYTES = 1 << 20


def price_of(model: str, own: Path | None = None) -> Price | None:
    """Return the price of ``model``; None where neither the table ``own`` nor ours has it.

    Raises ``JudgeConfigError`` where a table cannot be read, or is malformed anywhere.
    """
    tables = [_table(path) for path in (own, _OUR_PRICES) if path is not None]
    return next((table[model] for table in tables if model in table), None)


def _table(path: Path) -> dict[str, Price]:
    def number(value: Any) -> float:
        if type(value) not in {int, float} or not 0 <= value < math.inf:
            raise ValueError(f"{value!r:.40} is no number of 0 or more")
        return float(value)

    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TABLE_BYTES + 1)
        if len(text) > _MAX_TABLE_BYTES:
            raise ValueError(f"it is larger than {_MAX_TABLE_BYTES} bytes")
        content = tomllib.loads(text.decode())
        as_of, factor = content["as_of"], number(content.get("batch_factor", 1.0))
        return {
            name: Price(number(row["input"]), number(row["output"]), str(as_of), factor)
            for name, row in content["models"].items()
        }
    except OSError as error:
        reason = str(error.strerror)
    except KeyError as error:
        reason = f"there is no {error}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise JudgeConfigError(
        f"UGC_JUDGE_PRICES: the price table {path} cannot be used ({reason:.200}); it is TOML with "
        'as_of = "a date" and [models."NAME"] with input and output, and may have batch_factor'
    )


@dataclass(frozen=True)
class Estimate:
    """What judging is expected to take; as a text, one line for a person.

    Attributes:
        judge: its label.
        needed: judgments, each counted once; ``stored`` of them are on disk.
        prompt_tokens: of the requests of all the others together, estimated.
        price: of the judge's model; None where it is not known.
    """

    judge: str
    settings: JudgeSettings = field(repr=False)
    price: Price | None
    needed: int
    stored: int
    prompt_tokens: int

    @property
    def missing(self) -> int:
        """Judgments that are to be asked for."""
        return self.needed - self.stored

    @property
    def completion_tokens(self) -> int:
        """Tokens of their replies, estimated."""
        return self.missing * TYPICAL_REPLY

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
