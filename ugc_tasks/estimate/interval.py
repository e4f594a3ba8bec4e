"""How far the mean of estimates may be from the mean that the judge would give."""

from __future__ import annotations

import math
from statistics import NormalDist

from ugc_tasks.estimate.weights import load_weights

_LOWEST, _HIGHEST = 20.0, 100.0


def interval(column: str, mean: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, the estimated ``column`` over ``n`` clips, 20-100.

    Two errors add up: that of the estimate for a model it was not fitted to, which more clips do
    not lessen (from the errors of the recorded models, each left out of the fit in its turn), and
    that of having judged ``n`` clips and not all. It holds for models of a kind that is among the
    recorded ones; the benchmark's table says how much further off others are.

    Args:
        column: ``visual``, ``audio``, ``details`` or ``average``.
        mean: the estimate.
        n: clips in it, at least one.
    """
    spread = load_weights().spread[column]
    sampling = NormalDist().inv_cdf(0.975) * spread.clip / math.sqrt(n)
    half = math.hypot(spread.model, sampling)
    return max(_LOWEST, mean - half), min(_HIGHEST, mean + half)


def difference_interval(column: str, mean: float, half: float) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, one model's estimated ``column`` minus another's.

    Both estimates are off, each by its own. Models of one kind are off alike, so between two
    checkpoints of one model this is wider than it need be.

    Args:
        column: ``visual``, ``audio``, ``details`` or ``average``.
        mean: the difference of the estimates.
        half: half of the interval that the clips alone give.
    """
    wide = math.hypot(half, math.sqrt(2) * load_weights().spread[column].model)
    return mean - wide, mean + wide
