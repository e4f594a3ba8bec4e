"""How sure figures are: means over clips, and a judge that was asked more than once.

Means over clips get Student's t interval, the clips taken as independent; that of a figure on 0-100
ends there, since no mean can lie beyond: so much is certain, and the truth is covered as often.
Shares of right answers get Wilson's interval (1927), which is as good near 0 and 1, where the
constant answers of this benchmark are.

Where ``UGC_JUDGE_REPEATS`` is above 1, the model is ``m + c_i + e_ij`` for the judgments of clip
``i``: clips differ (``c``), and the judge differs from itself (``e``). Both variances come from one
analysis of variance; clips may have different numbers of judgments, because some failed. The noise
is of ``e`` alone: what another pass of the same judge over the same answers would change, not how
far the mean of *other* clips would be, nor whether the judge is right.

Sources:
    Searle, Casella, McCulloch: Variance Components (1992), chapter 3: the ANOVA estimators of the
    one-way random model with unequal numbers of observations.
    Krippendorff: Computing Krippendorff's Alpha-Reliability (2011), for the interval level, where
    both disagreements are sums of squares. A table of all pairs of values would grow with the
    square of the number of different values, which a judge of shares can choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import NormalDist, fmean, stdev
from typing import Any

Interval = tuple[float, float]
Table = Sequence[Sequence[float]]

HIGHEST = 100.0  # of figures; the lowest is 0

_LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
_EVEN = 0.005  # points: nobody sees that such an interval is lopsided
_SAME = 1e-9  # points: means of the same grades may differ in their last bit
_COLUMNS = ("judge's variance", "clips'", "alpha", "exact", "within one", "of the mean", "enough")


def mean_interval(values: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the mean of ``values``, at least one, and Student's 95 % interval, None below two."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("a mean needs at least one value, and finite ones")
    mean, n = fmean(values), len(values)
    if n < 2:
        return mean, None
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + _LEVEL) / 2)) * stdev(values, mean) / math.sqrt(n)
    return mean, (mean - half, mean + half)


def figure_interval(values: Sequence[float]) -> tuple[float, Interval | None]:
    """Return ``mean_interval`` of a figure on 0-100, cut off where the figure ends."""
    mean, pair = mean_interval(values)
    return mean, pair and (max(0.0, pair[0]), min(HIGHEST, pair[1]))


def stated(value: float, interval: Sequence[float] | None, form: str = ".1f") -> str:
    """Return a value with its interval: ± if it lies in the middle, else both ends in brackets."""
    if interval is None:
        return f"{value:{form}}"
    low, high = interval
    if abs((high - value) - (value - low)) < _EVEN:
        return f"{value:{form}} ±{(high - low) / 2:{form.lstrip('+')}}"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def share_interval(count: int, n: int) -> Interval:
    """Return Wilson's 95 % interval of the share ``count`` of ``n``, on 0-1."""
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} is no share")
    share, z = count / n, _Z
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def noise_of(table: Table, *, point: float | None, interval: float) -> dict[str, Any]:
    """Return how noisy the judgments of ``table`` are.

    Args:
        table: the judgments of each clip, each a number of points on 0-100.
        point: a point of the judge's scale, in those of ``table``; None where it has none.
        interval: the half-width, in points, that ``enough`` is for.

    Returns:
        The figures below, variances in squared points and shares on 0-1. One that cannot be
        computed is None, as most are where no clip has two judgments.

        * ``clips``, ``judgments``: how many of them.
        * ``judge_variance``: of the judgments of one clip about that clip's own level.
        * ``clip_variance``: of the clips' levels; 0 where the judge's noise explains all.
        * ``alpha``: Krippendorff's; 1 is agreement, 0 is chance. None where all are the same.
        * ``exact``: pairs of judgments of one clip that are equal, of all such pairs.
        * ``within_one``: those at most ``point`` apart.
        * ``standard_error``: of the mean over the clips, by the judge's noise alone; points.
        * ``half_width``: the mean lies within so many points of what endless repeats would give, in
          95 of 100 runs (the variance is taken for known, which it is not for a few clips).
        * ``share_of_mean``: the judge's share of the mean's variance, the clips being a sample.
        * ``enough``: judgments a clip at which ``half_width`` is at most ``interval``.
    """
    if not table or not all(table) or not all(math.isfinite(x) for row in table for x in row):
        raise ValueError("noise is computed from at least one clip, each with finite judgments")
    clips = len(table)
    judge, between = _variances(table)
    exact, within = _agreeing(table, point)
    error = share = enough = None
    if judge is not None:
        # The mean over clips of their means: a clip with fewer judgments is as heavy and noisier.
        a_clip = judge * sum(1 / len(row) for row in table) / clips
        error = math.sqrt(a_clip / clips)
        enough = max(1, math.ceil(judge * (_Z / interval) ** 2 / clips))
        if between is not None and a_clip + between > 0:
            share = a_clip / (a_clip + between)
    return {
        "clips": clips,
        "judgments": sum(map(len, table)),
        "judge_variance": judge,
        "clip_variance": between,
        "alpha": _alpha([row for row in table if len(row) > 1]),
        "exact": exact,
        "within_one": within,
        "standard_error": error,
        "half_width": None if error is None else _Z * error,
        "share_of_mean": share,
        "enough": enough,
        "interval": interval,
    }


def _variances(table: Table) -> tuple[float | None, float | None]:
    """Return the variance within clips and between them."""
    clips, total = len(table), sum(map(len, table))
    if total == clips:
        return None, None
    within = sum(map(_squares, table)) / (total - clips)
    if clips < 2:
        return within, None
    mean = math.fsum(x for row in table for x in row) / total
    between = math.fsum(len(row) * (math.fsum(row) / len(row) - mean) ** 2 for row in table)
    size = (total - sum(len(row) ** 2 for row in table) / total) / (clips - 1)
    return within, max(0.0, (between / (clips - 1) - within) / size)


def _alpha(table: Table) -> float | None:
    """Return alpha of clips with two judgments or more; None where it is not defined."""
    values = [x for row in table for x in row]
    if not values or max(values) - min(values) < _SAME:
        return None
    # Mean squared differences of pairs are twice the variances: of one clip, and of all values.
    observed = math.fsum(len(row) * _squares(row) / (len(row) - 1) for row in table) / len(values)
    return 1 - observed * (len(values) - 1) / _squares(values)


def _agreeing(table: Table, point: float | None) -> tuple[float | None, float | None]:
    """Return the shares of pairs that are equal, and at most ``point`` apart."""
    apart = [abs(a - b) for row in table for a, b in combinations(row, 2)]
    if not apart:
        return None, None
    near = None if point is None else fmean(each <= point + _SAME for each in apart)
    return fmean(each <= _SAME for each in apart), near


def _squares(values: Sequence[float]) -> float:
    """Return the sum of squared distances from the mean."""
    mean = math.fsum(values) / len(values)
    return math.fsum((x - mean) ** 2 for x in values)


def total_repeats(pairs: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Count the judgments of all clips: of each, how many came and how many were wanted."""
    return {
        "repeats": max(wanted for _, wanted in pairs),
        "judgments_wanted": sum(wanted for _, wanted in pairs),
        "judgments": sum(came for came, _ in pairs),
        "clips_with_fewer": sum(0 < came < wanted for came, wanted in pairs),
        "clips_with_none": sum(not came for came, _ in pairs),
    }


def describe_repeats(total: Mapping[str, int]) -> str:
    """Return what ``total_repeats`` counted as a line for a person."""
    each = f"{total['repeats']} of each clip"
    if total["judgments"] == total["judgments_wanted"]:
        return f"{each}, all {total['judgments']} came"
    return (
        f"{each}, {total['judgments']} of {total['judgments_wanted']} came (clips with fewer: "
        f"{total['clips_with_fewer']}, with none: {total['clips_with_none']})"
    )


def measured(
    items: Sequence[Mapping[str, Sequence[float]]], *, factor: float, points: bool, interval: float
) -> dict[str, dict[str, Any]]:
    """Return ``noise_of`` each value of the clips' judgments, and of the ``average`` of several.

    One point of the judge's is ``factor`` on 0-100; ``points``: whether it goes by whole points.
    """
    tables: dict[str, list[list[float]]] = {}
    for item in items:
        clip = {name: [factor * value for value in values] for name, values in item.items()}
        if len(clip) > 1:
            clip["average"] = [fmean(each) for each in zip(*clip.values(), strict=True)]
        for name, values in clip.items():
            tables.setdefault(name, []).append(values)
    point = factor if points else None
    return {name: noise_of(each, point=point, interval=interval) for name, each in tables.items()}


def table(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the figures of :func:`measured` as lines of a table for a person."""

    def shown(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    rows = [["", *_COLUMNS]]
    for name, noise in values.items():
        half, alpha = noise["half_width"], noise["alpha"]
        rows.append(
            [
                name,
                shown(noise["judge_variance"], ".1f"),
                shown(noise["clip_variance"], ".1f"),
                "undefined" if alpha is None else f"{alpha:.3f}",
                shown(noise["exact"], ".0%"),
                shown(noise["within_one"], ".0%"),
                ("-" if half is None else f"±{half:.2f}")
                + f" ({shown(noise['share_of_mean'], '.0%')})",
                shown(noise["enough"], "d"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])]) for r in rows]
    interval = next(iter(values.values()))["interval"]
    return [*lines, f"(enough: repeats for ±{interval:g} of the mean, the judge's noise alone)"]
