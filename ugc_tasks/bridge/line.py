"""The map from a new judge's figures to an old judge's, and how far an unseen model may lie off it.

Both judges have scored answers of the same models to the same clips. What is bridged is a model's
*mean*, so models are the observations: of each dimension the old means are regressed on the new.
What the models cannot tell for certain is not chosen but averaged over, each possibility weighted
by how well it explains the models (the restricted likelihood):

- how far models lie off the line beyond what their clips explain (random effects of models), and
  how much of that is the same in all three dimensions;
- how much the slopes of the dimensions differ: they are pooled as far as the models allow it, so
  that a bridge over few models learns each slope from all dimensions;
- whether the line is in points or in log-odds of the place between lowest and highest grade, since
  judges bend towards the ends of a scale. The two part where there were no models, and the interval
  grows there.

The clips' part of the error is known: it is the new judge's noise over the number of clips, which
may be another for the run than for the bridge. What models differ by is never taken to be less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ugc_tasks.judge.parsing import DIMENSIONS

Array = Any  # numpy's, of floats

LEVEL = 0.95
_LOWEST, _HIGHEST = 20.0, 100.0
_ENDS = (0.01, 0.99)
_TOGETHER = np.array([-0.45, 0, 0.35, 0.7, 0.97])  # correlations of effects on the dimensions
_SLOPES = np.array([0.03, 0.1, 0.3, 1.0])  # sds of the slopes about their mean, in shares of it
_APART = 3.0  # at most, a slope over the mean one, where noise is told from it
_EFFECTS = 12  # values of the models' effects that are tried
_FARTHEST = 8.0  # the largest of them, in standard deviations of what is off separate lines
_LEAST = 0.02  # points; of what is off a line
_FLAT = 1e-4  # precision of the prior of the mean slope, which is next to none


@dataclass(frozen=True)
class Paired:
    """A model's clips that both judges have scored: ``old`` and ``new`` are clips x dimensions."""

    model: str
    clips: Sequence[str]
    old: Array
    new: Array


@dataclass(frozen=True)
class Both:
    """What clips of a run that both judges scored tell of the old judge's means of all its clips.

    Attributes:
        means: by dimension.
        variance: dimensions x dimensions, of the error of these.
    """

    means: Array
    variance: Array

    @classmethod
    def of(cls, new: Array, scored: Array, old: Array) -> Both:
        """Correct the old judge's means of the clips ``scored`` by what the new one gave to all.

        ``new`` are all clips x dimensions, ``scored`` which of them the old judge scored, ``old``
        its scores of these: a random part of them, or the correction is off. (Prediction-powered
        inference with a tuned slope, which is the regression estimator of survey sampling.)
        """
        from scipy.special import stdtrit

        middle = new[scored].mean(0)
        apart, away = new[scored] - middle, new.mean(0) - middle
        slopes = np.linalg.pinv(apart) @ (old - old.mean(0))
        left = old - old.mean(0) - apart @ slopes
        df = max(1, len(scored) - 1 - len(DIMENSIONS))
        clips = (1 - len(scored) / len(new)) / len(scored)
        clips += float(away @ np.linalg.pinv(apart.T @ apart) @ away)
        # Few clips: as wide as Student's interval, in a normal distribution.
        wider = (stdtrit(df, (1 + LEVEL) / 2) / stdtrit(math.inf, (1 + LEVEL) / 2)) ** 2
        variance = left.T @ left / df * clips * wider
        return cls(old.mean(0) + away @ slopes, variance + _LEAST**2 * np.eye(len(away)))


@dataclass(frozen=True)
class Line:
    """The map of models' means, with all that its error needs.

    Attributes:
        new, old: means, models x dimensions, on 0-100.
        n: clips of each model.
        noise: dimensions x dimensions, the variance of the new judge's score of a clip that the
            old judge's scores do not explain.
        spread: by figure, the variance of the old judge's scores of a model's clips.
        lowest: the lowest grade of the new judge and of the old one, in points.
    """

    new: Array
    old: Array
    n: Array
    noise: Array
    spread: Array
    lowest: tuple[float, float]

    def restate(self, means: Array, n: float, both: Both | None = None) -> tuple[Array, Array]:
        """Return figures of ``n`` clips on the old scale, and the half-widths of their intervals.

        The interval is of what the old judge's figures of these very answers are.
        """
        log_weights, values, covariances = self._possible(means, n)
        if both is not None:
            off = both.means - values
            whole = covariances + both.variance
            gain = covariances @ np.linalg.inv(whole)
            log_weights = log_weights + _log_density(off, whole)
            values = values + (gain @ off[..., None])[..., 0]
            covariances = covariances - gain @ covariances
        weights = np.exp(log_weights - log_weights.max())
        values = np.column_stack([values, values.mean(1)])
        variances = np.diagonal(covariances, axis1=1, axis2=2)
        variances = np.column_stack([variances, covariances.mean((1, 2))])
        return _interval(weights / weights.sum(), values, np.sqrt(np.maximum(variances, 1e-12)))

    def place(self, means: Array) -> tuple[Array, Array]:
        """Return means of the dimensions on the old scale, and how steep the map is there."""
        n = float(np.mean(self.n))
        here, above, below = (self.restate(means + step, n)[0][:3] for step in (0, 0.5, -0.5))
        return here, above - below

    def without(self, model: int) -> Line:
        keep = np.arange(len(self.n)) != model
        return replace(self, new=self.new[keep], old=self.old[keep], n=self.n[keep])

    def _possible(self, means: Array, n: float) -> tuple[Array, Array, Array]:
        """Return all possibilities: log weight, means on the old scale, covariance of the error."""
        found = []
        for odds in (False, True):
            sides = [
                _Scale(low, side.mean(0), odds)
                for low, side in zip(self.lowest, (self.new, self.old), strict=True)
            ]
            x, y = sides[0].values(self.new), sides[1].values(self.old)
            weights, values, covariances = _regressions(
                x, y, self.noise / self.n[:, None, None], sides[0].values(means), self.noise / n
            )
            # Densities are of points on either scale.
            weights = weights + np.log(sides[1].steepness(self.old)).sum()
            points = sides[1].points(values)
            steep = 1 / sides[1].steepness(points)
            found.append((weights, points, covariances * steep[:, :, None] * steep[:, None, :]))
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))


@dataclass(frozen=True)
class _Scale:
    """Points, or log-odds in units such that one is a point at ``middle`` (by dimension)."""

    lowest: float
    middle: Array
    odds: bool

    def _share(self, points: Array) -> Array:
        return np.clip((points - self.lowest) / (_HIGHEST - self.lowest), *_ENDS)

    @property
    def _unit(self) -> Array:
        share = self._share(self.middle)
        return (_HIGHEST - self.lowest) * share * (1 - share)

    def _log_odds(self, points: Array) -> Array:
        share = self._share(points)
        return np.log(share / (1 - share))

    def values(self, points: Array) -> Array:
        if not self.odds:
            return points
        return self.middle + self._unit * (self._log_odds(points) - self._log_odds(self.middle))

    def points(self, values: Array) -> Array:
        if not self.odds:
            return values
        odds = self._log_odds(self.middle) + (values - self.middle) / self._unit
        return self.lowest + (_HIGHEST - self.lowest) / (1 + np.exp(-odds))

    def steepness(self, points: Array) -> Array:
        """Return how much a value grows with a point."""
        if not self.odds:
            return np.ones_like(points)
        share = self._share(points)
        return self._unit / ((_HIGHEST - self.lowest) * share * (1 - share))


def _regressions(
    x: Array, y: Array, noise: Array, at: Array, noise_at: Array
) -> tuple[Array, Array, Array]:
    """Return the lines of ``y`` on ``x`` (models x dimensions) under each possibility.

    ``noise``: by model, the covariance of its ``x`` that is due to clips. Returned are the log
    weights of the possibilities, the values at ``at`` and the covariances of their errors.
    """
    size = len(DIMENSIONS)
    one, middle = np.eye(size), x.mean(0)
    x, at = x - middle, at - middle
    about = y - y.mean(0)
    squares = np.maximum((x**2).sum(0), 1e-9)
    slopes = (x * about).sum(0) / squares
    off = about - x * slopes
    slope = float((x * about).sum() / squares.sum())
    slopes = slope * np.clip(slopes / (slope or 1.0), 1 / _APART, _APART)
    steep = np.outer(slopes, slopes)
    noise, noise_at = steep * noise, steep * noise_at
    least = float(np.trace(noise.mean(0))) / size + _LEAST**2
    most = float((off**2).sum()) / (size * max(1, len(x) - 2)) + least
    whole = np.geomspace(least, _FARTHEST**2 * most, _EFFECTS)  # variances: effects and noise
    prior = -0.5 * np.log(whole)  # 1 / s² for the standard deviation s
    together = (1 - _TOGETHER)[:, None, None] * one + _TOGETHER[:, None, None]
    effects = ((whole - least)[:, None, None, None] * together).reshape(-1, size, size)
    apart = effects[:, None] + noise + _LEAST**2 * one  # possibilities x models x 3 x 3
    inverse = np.linalg.inv(apart)
    # A model's regressors are [1, x] in each dimension: three intercepts, three slopes.
    design = np.concatenate([np.broadcast_to(one, (len(x), size, size)), x[:, :, None] * one], 2)
    weighted = np.einsum("mda,gmde->gmae", design, inverse)
    normal = np.einsum("gmae,meb->gab", weighted, design)
    right = np.einsum("gmae,me->ga", weighted, y)
    total = np.einsum("md,gmde,me->g", y, inverse, y) + np.linalg.slogdet(apart)[1].sum(1)
    # The prior of the slopes: about their mean, which is free.
    pooled = np.zeros((len(_SLOPES), 2 * size, 2 * size))
    spread = (_SLOPES * max(abs(slope), _LEAST)) ** 2
    pooled[:, size:, size:] = (one - 1 / size) / spread[:, None, None] + _FLAT / size
    precision = normal[:, None] + pooled
    line = np.linalg.solve(
        precision, np.broadcast_to(right[:, None, :, None], (*precision.shape[:3], 1))
    )
    explained = (line[..., 0] * right[:, None]).sum(-1)
    log_weights = -0.5 * (
        total[:, None] - explained + np.linalg.slogdet(precision)[1] + (size - 1) * np.log(spread)
    )
    log_weights = log_weights + np.repeat(prior, len(_TOGETHER))[:, None]
    regressors = np.concatenate([one, np.diag(at)], 1)
    values = (regressors @ line)[..., 0]
    covariances = regressors @ np.linalg.solve(
        precision, np.broadcast_to(regressors.T, (*precision.shape[:3], size))
    )
    covariances = covariances + effects[:, None] + noise_at + _LEAST**2 * one
    return log_weights.ravel(), values.reshape(-1, size), covariances.reshape(-1, size, size)


def _log_density(off: Array, variance: Array) -> Array:
    """Return the normal log density of each row of ``off``, up to a constant."""
    distance = (off * np.linalg.solve(variance, off[..., None])[..., 0]).sum(-1)
    return -0.5 * (distance + np.linalg.slogdet(variance)[1])


def _interval(weights: Array, means: Array, sds: Array) -> tuple[Array, Array]:
    """Return the mean of a mixture of normals, by column, and the half-width of its interval."""
    from scipy.special import ndtr

    kept = weights > 1e-7
    weights, means, sds = weights[kept], means[kept], sds[kept]
    middle = weights @ means
    low, high = np.zeros_like(middle), np.abs(means - middle).max(0) + 5 * sds.max(0)
    for _ in range(30):
        half = (low + high) / 2
        inside = weights @ (
            ndtr((middle + half - means) / sds) - ndtr((middle - half - means) / sds)
        )
        low, high = np.where(inside < LEVEL, half, low), np.where(inside < LEVEL, high, half)
    return middle, high


def line_of(paired: Sequence[Paired]) -> Line:
    """Return the map of models that both judges have scored, at least three."""
    new, old = (np.array([getattr(p, name).mean(0) for p in paired]) for name in ("new", "old"))
    counts = np.array([len(p.clips) for p in paired], float)
    sides = ([p.new for p in paired], [p.old for p in paired])
    # The published scale begins at 20; one that goes lower is taken to begin at 0.
    low_new, low_old = (
        _LOWEST if min(float(np.min(clips)) for clips in side) >= _LOWEST else 0.0 for side in sides
    )
    groups = [about_mean(p.old) for p in paired]
    free = sum(len(group) - 1 for group in groups)
    spread = sum((group**2).sum(0) for group in groups) / max(1, free)
    return Line(new, old, counts, _noise(paired), spread, (low_new, low_old))


def about_mean(clips: Array) -> Array:
    """Return clips x figures, each about its mean over the clips."""
    apart = clips - clips.mean(0)
    return np.column_stack([apart, apart.mean(1)])


def _noise(paired: Sequence[Paired]) -> Array:
    """Return the variance of the new judge's score of a clip that the old scores do not explain.

    What a clip does to the scores of all models alike shifts the line, and is no noise.
    """
    known = {
        clip: number
        for number, clip in enumerate(dict.fromkeys(c for p in paired for c in p.clips))
    }
    ids = np.array([known[clip] for p in paired for clip in p.clips])
    shared, free = np.bincount(ids), len(ids) - len(paired)
    together = len(ids) >= 2 * len(shared)
    sides = []
    for name in ("old", "new"):
        apart = np.concatenate([about_mean(getattr(p, name))[:, :3] for p in paired])
        if together:
            sums = np.array([np.bincount(ids, column) for column in apart.T])
            apart = apart - (sums / shared).T[ids]
        sides.append(apart)
    free -= (len(shared) - 1) * together
    left = sides[1] - sides[0] @ np.linalg.lstsq(sides[0], sides[1], rcond=None)[0]
    return left.T @ left / max(1, free)
