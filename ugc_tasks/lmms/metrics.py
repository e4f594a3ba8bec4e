"""The metrics that the YAML files name: from the rows of clips to a task's figures.

lmms-eval gives each the values of one key of all rows. Facts of the run that are no metrics are in
``results/facts.py``. Short: most keys are plain means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.results.facts import mean
from ugc_tasks.results.rows import ESTIMATE, Scale, figures_of

# A part of the mean of the eight published columns: ``columns`` of them, ``of`` 8, ``mean``.
Part = Mapping[str, Any]


def of_captions(scale: Scale | None) -> list[dict[str, Any]]:
    """Return the metrics of captions judged on ``scale``, None for the published one."""
    names = figures_of("caption", scale)
    # The offline profile's: an estimate from the texts, never under the name of a score.
    estimates = () if scale else tuple(name + ESTIMATE for name in names)
    found: dict[str, Any] = dict.fromkeys((*names, *estimates), mean)
    found |= {} if {*COLUMNS}.isdisjoint(names) else {"overall": part_of_overall}
    found |= {"n": count, "coverage": coverage, "failure": failures}
    return [
        {"metric": name, "aggregation": of_rows, "higher_is_better": name != "failure"}
        for name, of_rows in found.items()
    ]


def count(items: Sequence[str | None]) -> int:
    """Count what is not null."""
    return sum(item is not None for item in items)


def coverage(items: Sequence[Mapping[str, int]]) -> float:
    """Return the share of all clips of the task that has a score."""
    return float(sum(Fraction(int(item["scored"]), item["of"]) for item in items))


def failures(items: Sequence[Mapping[str, str] | None]) -> dict[str, int]:
    """Count the clips that failed, by whose failure it was."""
    return dict(sorted(Counter(item["kind"] for item in items if item is not None).items()))


def part_of_overall(items: Sequence[Part | None]) -> dict[str, Any] | None:
    """Return a task's part in the mean of the eight columns; alone it is not that mean."""
    parts = [item for item in items if item is not None]
    return {**parts[0], "mean": mean([part["mean"] for part in parts])} if parts else None


def overall(
    metrics: Sequence[Part | None], sizes: Sequence[int], weight_by_size: bool
) -> float | None:
    """Return the mean of the eight published columns; None unless all eight are there.

    Source: the benchmark's table, whose last column weighs each of the eight the same.
    """
    parts = [part for part in metrics if part is not None]
    if sum(part["columns"] for part in parts) != len(COLUMNS):
        return None
    return float(sum(part["columns"] * part["mean"] for part in parts) / len(COLUMNS))


def of_one_task(
    metrics: Sequence[float | None], sizes: Sequence[int], weight_by_size: bool
) -> float | None:
    """Return the figure of the only task of the group that has it."""
    return mean(metrics)
