"""95 % intervals of means over clips, and of differences between two models.

Means get Student's t interval over the clips, which are taken as independent. Shares of right
answers get Wilson's interval (1927), which stays inside 0-1 near its ends, where the constant
answers of this benchmark are. Two models are compared clip by clip, on the clips that both have:
clips differ far more from each other than the models do, and that cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` values with its 95 % interval; ``interval`` is None below two values."""

    mean: float
    n: int
    interval: tuple[float, float] | None

    @property
    def half_width(self) -> float | None:
        """Half of the interval's width, which is what a ± says of a symmetric one."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2


@dataclass(frozen=True)
class Difference:
    """How much larger one model's values are than another's, on the clips that both have.

    Attributes:
        estimate: mean of the differences by clip; None where no clip is common.
        only_first, only_second: clips that only one of them has, and that do not count.
    """

    estimate: Estimate | None
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def mean_estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of ``values`` with Student's t interval.

    Raises ``ValueError`` where there is no value, or one that is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("a mean needs at least one value, and finite ones")
    mean, n = fmean(values), len(values)
    if n < 2:
        return Estimate(mean, n, None)
    half = _t_quantile(n - 1) * stdev(values, mean) / math.sqrt(n)
    return Estimate(mean, n, (mean - half, mean + half))


def share_estimate(count: int, n: int) -> Estimate:
    """Return the share ``count`` of ``n``, on 0-1, with Wilson's interval.

    Raises ``ValueError`` where ``count`` is no number from 0 to ``n``, or ``n`` is 0.
    """
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} is no share")
    share = count / n
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, n, (max(0.0, middle - half), min(1.0, middle + half)))


def paired_difference(first: Mapping[str, float], second: Mapping[str, float]) -> Difference:
    """Return ``first - second`` over the clips that both have; the others are named."""
    common = [video_id for video_id in first if video_id in second]
    differences = [first[video_id] - second[video_id] for video_id in common]
    return Difference(
        estimate=mean_estimate(differences) if differences else None,
        only_first=tuple(video_id for video_id in first if video_id not in second),
        only_second=tuple(video_id for video_id in second if video_id not in first),
    )


def _t_quantile(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
