"""What judging cost, as rows and results state it.

A row's ``judge_spent`` is one entry, ``{"stored", "prompt_tokens", "completion_tokens", "usd"}``:
``stored`` where the judgment was on disk and cost nothing in this run, ``usd`` null where the price
is not known. A clip that was judged several times has a list of them. It is null where nothing was
paid. A result's ``judge_spent`` adds them up, this run's (``new``) apart from the ``stored``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ugc_tasks.judge.judgment import Judgment

Entry = dict[str, Any]


def spent(judgment: Judgment) -> Entry | list[Entry] | None:
    """Return the entry of a clip's row."""
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
