"""What a judge costs: a dated table in the package, before which a user's own goes.

Both are TOML: ``as_of``, a date; ``batch_factor``, what a batched token costs of a single one's
price; and ``[models."NAME"]`` with ``input`` and ``output`` in US dollars a million tokens, and
``max_output_tokens`` if it is known. A model is found by its exact name, whoever serves it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import UserError

_OURS = Path(__file__).with_name("prices.toml")
_MAX_BYTES = 1 << 20
_MILLION = 1_000_000


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
    tables = ([_table(own)] if own is not None else []) + [_table(_OURS)]
    return next((table[model] for table in tables if model in table), None)


def _table(path: Path) -> dict[str, Price]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise PriceError(f"{path} is no price table: it is larger than {_MAX_BYTES} bytes")
        content = tomllib.loads(text.decode())
    except OSError as error:
        raise PriceError(f"the price table {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, PriceError):
            raise
        raise PriceError(f"the price table {path} is not TOML: {error}") from None
    as_of = content.get("as_of")
    models = content.get("models")
    if not as_of or not isinstance(models, dict):
        raise PriceError(f'the price table {path} needs as_of = "a date" and [models."NAME"]')
    factor = _number(content, "batch_factor", 1.0, path, "the top")
    return {
        name: _price(name, row, as_of=str(as_of), factor=factor, path=path)
        for name, row in models.items()
    }


def _price(name: str, row: Any, *, as_of: str, factor: float, path: Path) -> Price:
    if not isinstance(row, dict):
        raise PriceError(f"the price table {path}: {name!r:.80} is to have input and output")
    longest = row.get("max_output_tokens")
    if longest is not None and not (type(longest) is int and longest > 0):
        raise PriceError(f"the price table {path}: max_output_tokens of {name!r:.80} is no count")
    return Price(
        model=name,
        input=_number(row, "input", None, path, name),
        output=_number(row, "output", None, path, name),
        as_of=as_of,
        batch_factor=factor,
        max_output=longest,
    )


def _number(
    row: Mapping[str, Any], key: str, default: float | None, path: Path, where: str
) -> float:
    value = row.get(key, default)
    if type(value) not in {int, float} or not math.isfinite(value) or value < 0:
        raise PriceError(
            f"the price table {path}: {key} of {where!r:.80} is to be a number of 0 or more"
        )
    return float(value)
