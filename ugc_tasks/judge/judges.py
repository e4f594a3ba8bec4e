"""What is known of the models that judge: their price, their parameters, their last day.

The table of this package is ``judges.toml``, which says what its keys mean; a user's own goes
before it, key by key. What an endpoint states of a model's last day goes before both.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.judge.cost import Price
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings

SOON_DAYS = 90
"""Days before its last one on which a run says that the judge will end."""

_OURS = Path(__file__).with_name("judges.toml")
_MAX_TABLE_BYTES = 1 << 20
_SAMPLING = {"temperature", "top_p"}  # taken by a model that does not think
_GONE = re.compile(
    r"deprecat|retired|sunset|discontinu|shut ?down|end[ -]of[ -]life|no longer (?:available|serv)"
    r"|decommission",
    re.IGNORECASE,
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


# ---- the table ----


@dataclass(frozen=True)
class Known:
    """What is known of a model; empty where nothing is.

    Attributes:
        refuses: parameters that it declines.
        efforts: the values of ``reasoning_effort`` that it takes; empty where that is not known.
        shutdown: its last day; None where none is known.
        successor: what its provider recommends instead, if anything.
        provider, host: whose ``shutdown`` that is; empty for everybody's.
    """

    price: Price | None = None
    reasons: bool = False
    refuses: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    shutdown: date | None = None
    successor: str = ""
    provider: str = ""
    host: str = ""


def known(model: str, own: Path | None = None) -> Known:
    """Return what the table ``own`` and ours know of ``model``.

    Raises ``JudgeConfigError`` where a table cannot be read, or is malformed anywhere.
    """
    mine = _table(own).get(model, {}) if own is not None else {}
    ours = _table(_OURS).get(model, {})
    if "price" in mine:
        ours = {name: value for name, value in ours.items() if name != "price"}
    if "shutdown" in mine:  # of its own provider, or everybody's
        ours = {n: v for n, v in ours.items() if n not in {"provider", "host", "successor"}}
    return Known(**{**ours, **mine})


def price_of(model: str, own: Path | None = None) -> Price | None:
    """Return the price of ``model``, None where it is not known; raises as ``known`` does."""
    return known(model, own).price


def _table(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the fields of ``Known`` that a table states, by model."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TABLE_BYTES + 1)
        if len(text) > _MAX_TABLE_BYTES:
            raise ValueError(f"it is larger than {_MAX_TABLE_BYTES} bytes")
        return _parsed(text)
    except OSError as error:
        reason = str(error.strerror)
    except KeyError as error:
        reason = f"there is no {error}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise JudgeConfigError(
        f"UGC_JUDGE_PRICES: the table {path} cannot be used ({reason:.200}); it is TOML with "
        'as_of = "a date" and [models."NAME"] with input and output, and may have batch_factor and '
        "the other keys of ugc_tasks/judge/judges.toml"
    )


@lru_cache(maxsize=4)
def _parsed(text: bytes) -> Mapping[str, Mapping[str, Any]]:
    content = tomllib.loads(text.decode())
    as_of, factor = content["as_of"], _number(content.get("batch_factor", 1.0))
    providers = content.get("providers", {})
    rows: dict[str, dict[str, Any]] = {}
    for name, stated in content["models"].items():
        if not isinstance(stated, dict):
            raise ValueError(f"{name:.80} is no table of what is known of it")
        base = rows[stated["same_as"]] if "same_as" in stated else {}
        rows[name] = {**base, **{key: stated[key] for key in stated.keys() - {"same_as"}}}
    return {name: _fields(row, providers, str(as_of), factor) for name, row in rows.items()}


def _fields(row: Mapping[str, Any], providers: Any, as_of: str, factor: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if row.keys() & {"input", "output", "cached_input"}:
        cached = row.get("cached_input")
        found["price"] = Price(
            _number(row["input"]),
            _number(row["output"]),
            str(row.get("as_of", as_of)),
            _number(row.get("batch_factor", factor)),
            None if cached is None else _number(cached),
        )
    if "reasons" in row:
        if type(row["reasons"]) is not bool:
            raise ValueError(f"reasons is {row['reasons']!r:.40}, which is neither true nor false")
        found["reasons"] = row["reasons"]
    for key, name, kind in (
        ("refuses", "refuses", frozenset),
        ("reasoning_effort", "efforts", tuple),
    ):
        if key in row:
            if not isinstance(row[key], list) or not all(isinstance(v, str) for v in row[key]):
                raise ValueError(f"{key} is {row[key]!r:.40}, which is no list of names")
            found[name] = kind(row[key])
    if "shutdown" in row:
        found["shutdown"] = day_of(row["shutdown"])
        if found["shutdown"] is None and row["shutdown"] is not False:
            raise ValueError(f"shutdown is {row['shutdown']!r:.40}, which is no day (2027-01-14)")
    if "successor" in row:
        found["successor"] = shown(row["successor"], 80)
    if "provider" in row:
        provider = providers[row["provider"]]
        found |= {"provider": shown(provider["title"], 40), "host": str(provider["host"])}
    return found


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not 0 <= value < math.inf:
        raise ValueError(f"{value!r:.40} is no number of 0 or more")
    return float(value)


def day_of(value: Any) -> date | None:
    """Return the day that a date, a text or a time in seconds states; None where it states none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, str) and (found := _DAY.match(value.strip())):
            return date.fromisoformat(found[0])
        if type(value) in {int, float} and value > 0:
            seconds = value / 1000 if value > 1e11 else value
            return datetime.fromtimestamp(seconds, UTC).date()
    return None


# ---- what is sent ----


def accepted(
    model: str, parameters: Mapping[str, Any], about: Known
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters that ``model`` takes, and by name why others are not sent as stated.

    Raises ``JudgeConfigError`` for a ``reasoning_effort`` that it is known not to take.
    """
    effort = parameters.get("reasoning_effort")
    if effort is not None and about.efforts and effort not in about.efforts:
        raise JudgeConfigError(
            f"{model} takes no reasoning_effort {effort!r:.40}; it takes "
            f"{', '.join(about.efforts)} (ugc_tasks/judge/judges.toml, or a table of your own in "
            "UGC_JUDGE_PRICES)"
        )
    refused = about.refuses - (_SAMPLING if effort == "none" else set())
    sent, changed = dict[str, Any](), dict[str, str]()
    for name, value in parameters.items():
        if name not in refused:
            sent[name] = value
        elif name == "max_tokens" and "max_completion_tokens" not in refused:
            sent.setdefault("max_completion_tokens", value)
            changed[name] = f"{model} takes max_completion_tokens in its place"
        else:
            changed[name] = f"{model} takes none" + (" while it reasons" * (name in _SAMPLING))
    return sent, changed


# ---- until when it answers ----


@dataclass(frozen=True)
class Lifetime:
    """Until when ``model`` answers at an endpoint: ``last``, None where no end is known.

    ``anywhere`` is the last day that a table has of it, whoever's it is; ``address`` the variable
    that says where it is.
    """

    model: str
    today: date
    last: date | None = None
    successor: str = ""
    provider: str = ""
    anywhere: date | None = None
    ways_on: str = ""
    address: str = "OPENAI_BASE_URL"

    @property
    def over(self) -> bool:
        """Whether its last day is past."""
        return self.last is not None and self.today > self.last

    @property
    def soon(self) -> str:
        """Return a line on its end, empty where that is past or further off than 90 days."""
        if self.last is None or not 0 <= (days := (self.last - self.today).days) <= SOON_DAYS:
            return ""
        when = f"in {days} days" if days > 1 else ("today", "tomorrow")[days]
        named = f"; {self._named}" if self._named else ""
        return (
            f"{self.model} is shut down on {self.last} ({when}){named}. Judgments that are on disk "
            "stay of use; what is worth asking it before: docs/judges.md"
        )

    @property
    def end(self) -> str:
        """Return a sentence on why it is not asked any more, and the ways on."""
        return f"{self.model} was shut down on {self.last}: {self.ways_on}"

    @property
    def _named(self) -> str:
        by = self.provider or "its provider"
        return f"{by} names {self.successor} as its successor" if self.successor else ""

    def not_served(self, said: str) -> str:
        """Return what it means that an endpoint has no such model, in whose words ``said``."""
        deployed = self.address != "OPENAI_BASE_URL"  # under a name that is the user's
        if self.anywhere is not None and self.today > self.anywhere and not deployed:
            return f"it was shut down on {self.anywhere}: {self.ways_on}"
        if _GONE.search(said):
            return f"it has been retired: {self.ways_on}"
        models = _table(_OURS)  # of one that is in it, the name is right
        near = get_close_matches(self.model, models, n=2, cutoff=0.8)
        near = [] if deployed or self.model in models else near
        advice = f"it does not serve this judge; check {self.address} and UGC_JUDGE_MODEL"
        return f"{advice} ({self.model}; is {' or '.join(near)} meant?)" if near else advice


def lifetime(
    model: str,
    settings: JudgeSettings,
    *,
    stated: Any = None,
    has_estimate: bool = True,
    subject: str = "caption",
) -> Lifetime:
    """Return until when ``model`` answers; ``stated`` is what its endpoint says of it, if it does.

    ``subject`` is what it is to judge, of which there may be a free estimate.
    """
    about = known(model, settings.prices)
    host = settings.endpoint.partition("/")[0].partition(":")[0]
    last = about.shutdown if about.host in {"", host} else None
    if isinstance(stated, Mapping) and "shutdown_date" in stated:
        last = day_of(stated["shutdown_date"]) or (last if stated["shutdown_date"] else None)
    named = f" ({about.provider or 'its provider'} names {about.successor})" * bool(about.successor)
    option = "--profile " if settings.command == "score" else "UGC_JUDGE_PROFILE="
    ways = f", or take the free estimate ({option}offline)" * has_estimate
    if settings.command == "lmms-eval":
        ways += f", or write {subject}s only (UGC_JUDGE_PROFILE=none)"
    return Lifetime(
        model,
        settings.today or datetime.now(UTC).date(),
        last,
        about.successor,
        about.provider,
        about.shutdown,
        f"choose another judge with UGC_JUDGE_MODEL{named}, whose numbers `ugc-videocap bridge` "
        f"can set beside those of this one{ways}",
        settings.names.get("OPENAI_BASE_URL", "OPENAI_BASE_URL"),
    )


def model_stated(body: bytes) -> Any:
    """Return what the answer to ``GET /models/{id}`` states of a model, whatever it is."""
    with suppress(ValueError, RecursionError):
        content = json.loads(body)
        inner = content.get("data") if isinstance(content, dict) else None
        return inner if isinstance(inner, dict) else content
    return None
