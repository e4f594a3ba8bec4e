"""Price tables, and what a run is expected to cost, said before anything is paid for.

The table of this package is ``prices.toml``; a user's own goes before it. Both are TOML: ``as_of``,
a date; ``batch_factor``, what a batched token costs of a single one's price; and
``[models."EXACT NAME"]`` with ``input`` and ``output`` in US dollars a million tokens.
"""

from __future__ import annotations

import math
import sys
import tomllib
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


def describe_estimate(
    judge: str,
    settings: JudgeSettings,
    price: Price | None,
    *,
    needed: int,
    stored: int,
    prompt_tokens: int,
) -> str:
    """Return what judging is expected to take, in one line.

    Of ``needed`` judgments, each counted once, ``stored`` are on disk; ``prompt_tokens`` are those
    of the requests of all the others together.
    """
    repeats, budget, batched = settings.repeats, settings.budget, settings.batch
    missing, each = needed - stored, f" ({repeats} of each answer)" if repeats > 1 else ""
    said = f"{judge}: {needed} judgments are needed{each}, {stored} are stored"
    if not missing:
        return f"{said}; nothing is to be paid for"
    replies = missing * TYPICAL_REPLY
    said += (
        f", {missing} are to be asked for: about {prompt_tokens:,} tokens (estimated) and "
        f"{replies:,} of replies"
    )
    usd = 0.0 if price is None else price.usd(prompt_tokens, replies, batched=batched)
    if price is None:
        said += "; what that costs is not known (UGC_JUDGE_PRICES can name a price table)"
    else:
        batch = f", {price.batch_factor:g} of it in batches" if batched else ""
        said += f", about ${usd:.2f} ({price}{batch})"
    if budget is not None:
        said += f"; the budget is ${budget:g}"
        if usd > budget:
            said += f", enough for about {int(missing * budget / usd)} of them"
    return said


def tell(text: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        complain(f"judge: {text}")
