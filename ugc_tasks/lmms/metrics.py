"""The aggregations that the YAML files name: from the rows of clips to a task's figures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.common.display import shown
from ugc_tasks.judge.settings import interval_of
from ugc_tasks.judge.types import SEVERAL
from ugc_tasks.results.reliability import measured
from ugc_tasks.results.rows import PERCENT, SCALE

# A part of the mean of the eight published columns: ``columns`` of them, ``of`` 8, ``mean``.
Part = Mapping[str, Any]


def count(items: Sequence[str]) -> int:
    return sum(1 for item in items if item)


def coverage(items: Sequence[Mapping[str, int]]) -> float:
    return float(sum(Fraction(int(item["scored"]), item["of"]) for item in items))


def count_heard(items: Sequence[str]) -> int | str:
    """Count the clips whose sound the model got; ``unknown`` where no model reported it."""
    if all(item == "unknown" for item in items):
        return "unknown"
    return items.count("heard")


def count_flags(items: Sequence[Sequence[str] | None]) -> dict[str, Any] | None:
    """Count the answers with flags, and each flag, the commonest first; None without a report."""
    reported = [item for item in items if item is not None]
    if not reported:
        return None
    flags = Counter(shown(flag) for item in reported for flag in item)
    return {"answers": sum(bool(item) for item in reported), "flags": dict(flags.most_common())}


def one_label(items: Sequence[str]) -> str:
    """Return the label that all share; of a mixture, all labels."""
    names = {shown(name) for item in items for name in item.split(SEVERAL)}
    return SEVERAL.join(sorted(names - {""})) or "unknown"


def part_of_overall(items: Sequence[Part]) -> dict[str, Any]:
    """Return a task's part in the mean of the eight columns; alone it is not that mean."""
    return {**items[0], "mean": fmean(item["mean"] for item in items)}


def overall(
    metrics: Sequence[Part], sizes: Sequence[int], weight_by_size: bool
) -> float | dict[str, Any]:
    """Return the mean of the eight published columns, or the part there is.

    Source: the benchmark's table, whose last column weighs each of the eight the same.
    """
    there = sum(part["columns"] for part in metrics)
    mean = sum(part["columns"] * part["mean"] for part in metrics) / there
    complete = there == len(COLUMNS)
    return mean if complete else {"columns": there, "of": len(COLUMNS), "mean": mean}


def estimate_interval(items: Sequence[Mapping[str, float]]) -> dict[str, float]:
    from ugc_tasks.estimate.model import interval

    values = [item["average"] for item in items]
    low, high = interval("average", fmean(values), len(values))
    return {"low": low, "high": high}


def caption_noise(items: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    return measured(items, factor=SCALE, points=True, interval=interval_of(os.environ))


def detail_noise(items: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    return measured(items, factor=PERCENT, points=False, interval=interval_of(os.environ))
