"""How the offline estimate is fitted: three steps, none of which sees more than it needs.

1. What agreement is worth is learnt *within* models: every model has a level of its own, so that
   only clips of one model are compared and how a model writes cannot pass for agreement. Captions
   held against another clip's reference, and references held against themselves, are added with
   the scores that they deserve, so that the fit knows both ends of the scale.
2. Some models stand above the curve that the others share. Which captions look like theirs is
   learnt from how they are written alone (logistic regression; the label of a caption is how far
   up its model stands, 0 to 1).
3. The level, and what looking like those is worth, are fitted to the models' mean scores.

Everything is a least-squares fit through ``1 + 4 / (1 + exp(-z))``, by Gauss-Newton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

STRANGER = (1.1, 1.4, 1.1)
"""What a caption of another clip is taken to get: there is music in most clips."""
COPY = (4.9, 4.9, 4.9)
"""What the reference itself is taken to get."""

# Chosen by hand on the leave-one-model-out figures of twelve models, once; they are flat around.
RIDGE = 0.01
STRANGER_WEIGHT = 0.2  # all strangers together, where the judged clips together weigh 1
COPY_WEIGHT = 0.05
ORDINARY_WEIGHT = 10.0  # how much worse it is to take an ordinary caption for one of the others
_STEP = 2.0  # the longest step of a coefficient, so that the first ones do not overshoot


@dataclass(frozen=True)
class Measured:
    """A model's clips as the fit sees them.

    Attributes:
        agreement, style: measures [clips, features].
        strangers: agreement of its captions with other clips' references.
        scores: what they were given [clips, dimensions].
    """

    agreement: Matrix
    style: Matrix
    strangers: Matrix
    scores: Matrix


@dataclass(frozen=True)
class Fitted:
    """A fitted estimate, for measures as they are: nothing is left to be scaled."""

    levels: Matrix  # [dimensions]
    above: Matrix  # [dimensions]
    agreement: Matrix  # [features, dimensions]
    style: Matrix  # [1 + features]

    def predict(self, agreement: Matrix, style: Matrix) -> Matrix:
        """Return estimated scores [clips, dimensions], 1 to 5."""
        looks = _sigmoid(self.style[0] + style @ self.style[1:])
        return _score(self.levels + agreement @ self.agreement + looks[:, None] * self.above)


def fit(models: Sequence[Measured], copies: Matrix) -> Fitted:
    """Fit the estimate to ``models``; ``copies`` is the agreement of references with themselves."""
    pooled = np.concatenate([model.agreement for model in models])
    centre, spread = pooled.mean(0), pooled.std(0) + 1e-9
    scaled = [
        Measured(
            (m.agreement - centre) / spread, m.style, (m.strangers - centre) / spread, m.scores
        )
        for m in models
    ]
    within = [_fit_within(scaled, (copies - centre) / spread, d) for d in range(len(COPY))]
    slopes = np.array([slope for slope, _ in within]).T
    standing = np.mean([level for _, level in within], axis=0)
    style = _fit_style(models, standing)
    looks = [_sigmoid(style[0] + model.style @ style[1:]) for model in models]
    top = [_fit_top(scaled, looks, slopes, d) for d in range(len(COPY))]
    agreement = slopes / spread[:, None]
    return Fitted(
        levels=np.array([level for level, _ in top]) - centre @ agreement,
        above=np.array([above for _, above in top]),
        agreement=agreement,
        style=style,
    )


def _fit_within(
    models: Sequence[Measured], copies: Matrix, dimension: int
) -> tuple[Matrix, Matrix]:
    """Step 1: return slopes [features] and the models' levels [models]."""
    features, count = copies.shape[1], len(models)
    parts = []
    for index, model in enumerate(models):
        own = np.zeros(count)
        own[index] = 1.0
        targets = np.full(len(model.strangers), STRANGER[dimension])
        parts.append((model.agreement, own, model.scores[:, dimension], 1 / count))
        parts.append((model.strangers, own, targets, STRANGER_WEIGHT / count))
    average = np.full(count, 1 / count)
    parts.append((copies, average, np.full(len(copies), COPY[dimension]), COPY_WEIGHT))
    rows = [
        (np.hstack([inputs, np.tile(level, (len(inputs), 1))]), targets, weight / len(inputs))
        for inputs, level, targets, weight in parts
    ]
    ridge = np.r_[np.full(features, RIDGE), np.full(count, RIDGE / 5)]
    found = _least_squares(rows, ridge)
    return found[:features], found[features:]


def _fit_style(models: Sequence[Measured], standing: Matrix) -> Matrix:
    """Step 2: return intercept and slopes of looking like a model that stands above the others."""
    ordinary = float(np.median(standing))
    up = np.clip((standing - ordinary) / max(1e-9, float(standing.max()) - ordinary), 0.0, 1.0)
    pooled = np.concatenate([model.style for model in models])
    centre, spread = pooled.mean(0), pooled.std(0) + 1e-9
    weights = np.zeros(pooled.shape[1] + 1)
    ridge = np.r_[1e-6, np.full(pooled.shape[1], RIDGE)]
    inputs = [np.hstack([np.ones((len(m.style), 1)), (m.style - centre) / spread]) for m in models]
    for _ in range(30):
        curvature, slope = np.diag(ridge), -ridge * weights
        for each, label in zip(inputs, up, strict=True):
            chance = _sigmoid(each @ weights)
            importance = label / up.sum() + (1 - label) * ORDINARY_WEIGHT / (1 - up).sum()
            importance /= len(each)
            curvature = curvature + importance * (each * (chance * (1 - chance))[:, None]).T @ each
            slope = slope + importance * each.T @ (label - chance)
        weights = weights + _shorten(_solved(curvature, slope))
    slopes = weights[1:] / spread
    return np.append(weights[0] - centre @ slopes, slopes)


def _fit_top(
    models: Sequence[Measured], looks: Sequence[Matrix], slopes: Matrix, dimension: int
) -> tuple[float, float]:
    """Step 3: return the level, and what looking like the best is worth."""
    found = np.zeros(2)
    ridge = np.array([1e-6, 1e-3])
    for _ in range(20):
        curvature, slope = np.diag(ridge), -ridge * found
        for model, look in zip(models, looks, strict=True):
            inputs = np.column_stack([np.ones(len(look)), look])
            guess = _score(model.agreement @ slopes[:, dimension] + inputs @ found)
            change = (inputs * _steepness(guess)[:, None]).mean(0)
            missing = model.scores[:, dimension].mean() - guess.mean()
            curvature = curvature + np.outer(change, change) / len(models)
            slope = slope + change * missing / len(models)
        found = found + _shorten(_solved(curvature, slope))
    return float(found[0]), float(found[1])


def _least_squares(rows: Sequence[tuple[Matrix, Matrix, float]], ridge: Matrix) -> Matrix:
    """Fit scores through the curve; ``rows`` are inputs, scores, and the weight of each."""
    found: Matrix = np.zeros(len(ridge))
    for _ in range(15):
        curvature, slope = np.diag(ridge), -ridge * found
        for inputs, targets, weight in rows:
            guess = _score(inputs @ found)
            change = inputs * _steepness(guess)[:, None]
            curvature = curvature + weight * change.T @ change
            slope = slope + weight * change.T @ (targets - guess)
        found = found + _shorten(_solved(curvature, slope))
    return found


def _solved(curvature: npt.NDArray[Any], slope: npt.NDArray[Any]) -> Matrix:
    return np.asarray(np.linalg.solve(curvature, slope), dtype=np.float64)


def _shorten(step: Matrix) -> Matrix:
    return step * min(1.0, _STEP / max(1e-12, float(np.abs(step).max())))


def _sigmoid(z: Matrix) -> Matrix:
    return 1 / (1 + np.exp(-z))


def _score(z: Matrix) -> Matrix:
    return 1 + 4 * _sigmoid(z)


def _steepness(score: Matrix) -> Matrix:
    return (score - 1) * (5 - score) / 4
