"""How figures of a new judge are restated on an old judge's scale, and how far that is off.

Both judges have scored answers of the same models to the same clips. What is bridged is a model's
*mean*, so the models are the observations: of each dimension the old means are regressed on the new
ones. Scales have ends, and judges bend towards them: with six models or more, the line is in
log-odds of the place between lowest and highest grade, if models that are left out are then off by
much less than on a line in points. The bridged average is the mean of the bridged dimensions. An
unseen model lies off the line as the bridge's own models do, plus what the line itself is uncertain
by: Student's prediction interval with ``models - 2`` degrees of freedom. However many clips there
are, few models make it wide. Where a bridge had fewer clips than the run (or more), the part of the
error that is the clips' is put in for the run's number of clips.

Each residual counts as what it would be without its own pull on the line where that is more (HC2):
the models at the ends show what a line misses.

What else was tried, on recorded scores and two dozen simulated judges (``docs/judges.md``): points
alone (up to three times the error where a judge bends its scale), log-odds alone (wider where a
judge is strict), the grades passed through a monotone curve first (better than points by a tenth).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ugc_tasks.judge.parsing import DIMENSIONS

Array = Any  # numpy's, of floats

FIGURES = (*DIMENSIONS, "average")
FEWEST = 4
"""Models of a bridge: with three, nothing is left to tell how far it is off without one of them."""
WIDEST = 3.0
"""Points: a bridged average that is less sure than ± this stands beside no other."""
LEAST_ORDER = 0.7
_CHANCE = 0.05
_APART = 0.01
_LEVEL = 0.95
_TOLD = 1.96
_FEWEST_BENT = 6
_MUCH_LESS = 0.4  # of squared errors; choosing by less makes intervals hold less often
_LOWEST, _HIGHEST = 20.0, 100.0
_ENDS = (0.01, 0.99)
_LOWEST_SHARE = 0.02  # of a residual that its own pull on the line leaves

RULE = (
    f"unfit, unless there are at least {FEWEST} models, the new judge tells them apart (F test, "
    f"p < {_APART}), its grades of a model's clips go with the old judge's (r above chance, "
    f"one-sided 97.5 %), and the models' averages go together (Pearson, one-sided p < {_CHANCE}). "
    f"Then levels, if the 95 % interval of the bridged average of an unseen model, in the middle "
    f"of the bridge's, is at most ±{WIDEST:g} points and at most the standard deviation of the "
    f"models' old averages, and a model that is left out is off by at most {WIDEST / 2:g} points "
    f"on average. Else ranks, if of the pairs of models that the old judge tells apart (95 %) it "
    f"orders so many alike that Kendall's tau is at least {LEAST_ORDER}. Else unfit"
)


@dataclass(frozen=True)
class Paired:
    """A model's clips that both judges have scored: ``old`` and ``new`` are clips x dimensions."""

    model: str
    clips: Sequence[str]
    old: Array
    new: Array


@dataclass(frozen=True)
class Line:
    """The map of models' means, with all that its error needs.

    Attributes:
        new, old: means, models x dimensions, on 0-100.
        n: clips of each model.
        within: by figure, the variance of a clip about the line of its model: of the clips' part
            in a model's error.
        spread: by figure, the variance of the old judge's scores of a model's clips.
        lowest: the lowest grade of the new judge and of the old one, in points.
        bent: whether the line is in log-odds; else in points.
    """

    new: Array
    old: Array
    n: Array
    within: Array
    spread: Array
    lowest: tuple[float, float]
    bent: bool = False

    @property
    def df(self) -> int:
        # One more is gone where the scale was chosen by the same models.
        return len(self.new) - 2 - self.bent

    def _from_points(self, means: Array, side: int) -> Array:
        """Return means as the line has them; ``side`` is 0 for the new judge, 1 for the old."""
        return _log_odds(means, self.lowest[side]) if self.bent else means

    def _steepness(self, means: Array, side: int) -> Array:
        """Return how many points a step of 1 on the line's scale is."""
        if not self.bent:
            return np.ones_like(means)
        share, width = _share(means, self.lowest[side]), _HIGHEST - self.lowest[side]
        return width * share * (1 - share)

    def _to_points(self, values: Array) -> Array:
        """Return what the line gives as points of the old judge."""
        low = self.lowest[1]
        return low + (_HIGHEST - low) / (1 + np.exp(-values)) if self.bent else values

    @property
    def _on_line(self) -> tuple[Array, Array]:
        return self._from_points(self.new, 0), self._from_points(self.old, 1)

    def chosen(self) -> Line:
        """Return this line in log-odds if models that are left out are off by much less, or points.

        What a model would be off by if it were left out is its residual over what its own pull on
        the line leaves.
        """

        def off(line: Line) -> float:
            total = 0.0
            for x, y, true in zip(*(m.T for m in line._on_line), self.old.T, strict=True):
                design, solve = _design(x)
                left = np.maximum(1 - np.einsum("ij,ji->i", design, solve), _LOWEST_SHARE)
                without = y - (y - design @ (solve @ y)) / left
                total += float(((line._to_points(without) - true) ** 2).sum())
            return total

        points, odds = (replace(self, bent=bent) for bent in (False, True))
        few = len(self.n) < _FEWEST_BENT
        return points if few or off(odds) > _MUCH_LESS * off(points) else odds

    def coefficients(self) -> Array:
        """Return intercept and slope on the line's own scale, dimensions x 2."""
        new, old = self._on_line
        return np.array([_design(x)[1] @ y for x, y in zip(new.T, old.T, strict=True)])

    def place(self, means: Array) -> tuple[Array, Array]:
        """Return means of the dimensions on the old scale, and how steep the map is there."""
        lines = self.coefficients()
        restated = self._to_points(lines[:, 0] + lines[:, 1] * self._from_points(means, 0))
        steep = self._steepness(restated, 1) / self._steepness(means, 0)
        return restated, lines[:, 1] * steep

    def restate(self, means: Array, n: float) -> tuple[Array, Array]:
        """Return figures of ``n`` clips on the old scale, and the half-widths of their intervals.

        The interval is of what the old judge's figures of these very answers are.
        """
        from scipy.special import stdtrit

        new, old = self._on_line
        designs, lines = [_design(x) for x in new.T], self.coefficients()
        restated, _ = self.place(means)
        residual = np.array(
            [y - d[0] @ line for y, d, line in zip(old.T, designs, lines, strict=True)]
        )
        left = np.array([1 - np.einsum("ij,ji->i", d[0], d[1]) for d in designs])
        bent = residual / np.sqrt(np.maximum(left, _LOWEST_SHARE))
        places = self._from_points(means, 0)
        pull = np.array([np.array([1.0, x]) @ d[1] for x, d in zip(places, designs, strict=True)])
        shared = pull @ pull.T
        steep = self._steepness(restated, 1)
        in_points = np.outer(steep, steep)
        per_clip = float(np.mean(1 / self.n))
        found = []
        for apart in (residual @ residual.T / self.df, bent @ bent.T / len(self.new)):
            covariance = apart * in_points
            own = np.append(np.diag(covariance), covariance.mean())
            # More clips can take away the clips' part; at most all of it is theirs.
            own = np.maximum(
                own + self.within * (1 / n - per_clip), own * min(1.0, 1 / (n * per_clip))
            )
            line = covariance * shared
            found.append(own + np.append(np.diag(line), line.mean()))
        half = stdtrit(self.df, (1 + _LEVEL) / 2) * np.sqrt(np.maximum(*found))
        return np.append(restated, restated.mean()), half

    def without(self, model: int) -> Line:
        keep = np.arange(len(self.n)) != model
        return replace(self, new=self.new[keep], old=self.old[keep], n=self.n[keep]).chosen()


def _log_odds(means: Array, lowest: float) -> Array:
    share = _share(means, lowest)
    return np.log(share / (1 - share))


def _share(means: Array, lowest: float) -> Array:
    """Return where means lie between the lowest and the highest grade, on 0-1, not at the ends."""
    return np.clip((means - lowest) / (_HIGHEST - lowest), *_ENDS)


def _design(x: Array) -> tuple[Array, Array]:
    """Return the regressors (1 and ``x``), and what makes coefficients of observations."""
    design = np.column_stack([np.ones(len(x)), x])
    return design, np.linalg.pinv(design)


def line_of(paired: Sequence[Paired]) -> Line:
    """Return the map of models that both judges have scored, at least three."""
    new, old = (np.array([getattr(p, name).mean(0) for p in paired]) for name in ("new", "old"))
    counts = np.array([len(p.clips) for p in paired], float)
    sides = ([p.new for p in paired], [p.old for p in paired])
    # The published scale begins at 20; one that goes lower is taken to begin at 0.
    low_new, low_old = (
        _LOWEST if min(float(np.min(clips)) for clips in side) >= _LOWEST else 0.0 for side in sides
    )
    line = Line(new, old, counts, np.zeros(4), np.zeros(4), (low_new, low_old)).chosen()
    left = [_about_mean(p.old - line.place(m)[1] * p.new) for p, m in zip(paired, new, strict=True)]
    spread = [_about_mean(p.old) for p in paired]
    return replace(line, within=_pooled(left), spread=_pooled(spread))


def _about_mean(clips: Array) -> Array:
    """Return clips x figures, each about its mean over the clips."""
    apart = clips - clips.mean(0)
    return np.column_stack([apart, apart.mean(1)])


def _pooled(groups: Sequence[Array]) -> Array:
    free = sum(len(group) - 1 for group in groups)
    return sum((group**2).sum(0) for group in groups) / max(1, free)


def fit(paired: Sequence[Paired]) -> dict[str, Any]:
    """Return what is said of a bridge over ``paired`` models: figures, verdict and reasons."""
    if len(paired) < 3:
        few = f"{len(paired)} models are in both: a line takes three, a bridge {FEWEST}"
        return {"figures": {}, "line": None, "verdict": "unfit", "reasons": [few]}
    line = line_of(paired)
    old, new = (np.column_stack([m, m.mean(1)]) for m in (line.old, line.new))
    clips = [
        tuple(np.column_stack([side, side.mean(1)]) for side in (p.old, p.new)) for p in paired
    ]
    off, holds = _left_out(line, old)
    _, half = line.restate(line.new.mean(0), float(np.mean(line.n)))
    lines = [_design(x)[1] @ y for x, y in zip(new.T, old.T, strict=True)]
    figures = {
        name: {
            **_agreement(old[:, i], new[:, i]),
            "kappa": _kappa(*(np.concatenate([c[side][:, i] for c in clips]) for side in (0, 1))),
            "shift": float(lines[i][0]),
            "slope": float(lines[i][1]),
            "left_out_error": {"mean": float(off[:, i].mean()), "largest": float(off[:, i].max())},
            "coverage95": None if holds is None else float(holds[:, i].mean()),
            "half_width": float(half[i]),
        }
        for i, name in enumerate(FIGURES)
    }
    verdict, reasons = _verdict(paired, figures["average"], old[:, 3], new[:, 3])
    return {"figures": figures, "line": line, "verdict": verdict, "reasons": reasons}


def _left_out(line: Line, old: Array) -> tuple[Array, Array | None]:
    """Return how far each model is off where it is left out, and whether its interval holds."""
    off, holds = [], []
    for model in range(len(old)):
        rest = line.without(model)
        restated, _ = rest.place(line.new[model])
        off.append(np.abs(np.append(restated, restated.mean()) - old[model]))
        if rest.df > 0:
            holds.append(off[-1] <= rest.restate(line.new[model], line.n[model])[1])
    return np.array(off), np.array(holds) if holds else None


def _agreement(old: Array, new: Array) -> dict[str, float | None]:
    """Return how the models' means go together; None where all of one judge's are the same."""
    from scipy import stats

    if np.ptp(old) < 1e-9 or np.ptp(new) < 1e-9:
        return dict.fromkeys(("pearson", "spearman", "kendall"))
    return {
        "pearson": float(stats.pearsonr(old, new)[0]),
        "spearman": float(stats.spearmanr(old, new)[0]),
        "kendall": float(stats.kendalltau(old, new)[0]),
    }


def _kappa(old: Array, new: Array) -> float | None:
    """Return Cohen's kappa with quadratic weights, which needs no table of the grades."""
    chance = old.var() + new.var() + (old.mean() - new.mean()) ** 2
    return None if chance < 1e-9 else float(1 - np.mean((old - new) ** 2) / chance)


def _verdict(
    paired: Sequence[Paired], average: Mapping[str, Any], old: Array, new: Array
) -> tuple[str, list[str]]:
    """Return the verdict by ``RULE``, and what stands in the way of a better one."""
    few = [f"{len(paired)} models are few: a bridge takes {FEWEST}"] * (len(paired) < FEWEST)
    unfit = [*few, *_not_told(paired), *_not_together(old, new)]
    if unfit:
        return "unfit", unfit
    half, spread = average["half_width"], float(np.std(old, ddof=1))
    reasons = []
    if half > WIDEST:
        reasons.append(f"a bridged average is sure to ±{half:.1f} points only")
    if half > spread:
        reasons.append(
            f"±{half:.1f} points is more than the models' old averages differ by ({spread:.1f})"
        )
    if (mean := average["left_out_error"]["mean"]) > WIDEST / 2:
        reasons.append(f"models that are left out are off by {mean:.1f} points on average")
    if not reasons:
        return "levels", []
    order, told = _order(paired)
    if order < LEAST_ORDER:
        reasons.append(
            f"of the {told} pairs of models that the old judge tells apart it orders too many "
            f"otherwise ({order:.2f} on Kendall's scale)"
        )
    return ("ranks" if order >= LEAST_ORDER else "unfit"), reasons


def _not_told(paired: Sequence[Paired]) -> list[str]:
    """Return what is wrong with the new judge's grades, whatever the models."""
    from scipy import stats

    reasons = []
    if stats.f_oneway(*(p.new.mean(1) for p in paired)).pvalue >= _APART or all(
        np.ptp(p.new) == 0 for p in paired
    ):
        reasons.append("the new judge does not tell the models apart")
    sides = [
        np.concatenate([_about_mean(getattr(p, s))[:, 3] for p in paired]) for s in ("old", "new")
    ]
    together = 0.0 if min(map(np.std, sides)) < 1e-9 else float(np.corrcoef(*sides)[0, 1])
    # Clips that several models share are counted once.
    clips = len({clip for p in paired for clip in p.clips})
    if math.atanh(min(together, 0.999)) * math.sqrt(max(0, clips - 3)) < stats.norm.ppf(0.975):
        reasons.append("its grades of a model's clips do not go with the old judge's")
    return reasons


def _not_together(old: Array, new: Array) -> list[str]:
    """Return what is wrong with how the averages of the models go together."""
    from scipy import stats

    if np.ptp(old) < 1e-9 or np.ptp(new) < 1e-9:
        return ["all models have the same average"]
    if (p := stats.pearsonr(old, new, alternative="greater").pvalue) >= _CHANCE:
        return [f"the models' averages do not go together (p {p:.2f})"]
    return []


def _order(paired: Sequence[Paired]) -> tuple[float, int]:
    """Return how far the new judge orders as the old one does the pairs that that one tells apart.

    From -1 to 1, as Kendall's tau is, and how many pairs these are.
    """
    right = told = 0
    for one, other in combinations(paired, 2):
        a, b = (p.old.mean(1) for p in (one, other))
        # Clips are shared: taking them as independent is the careful side.
        error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        if abs(a.mean() - b.mean()) > _TOLD * error:
            told += 1
            right += (a.mean() > b.mean()) == (one.new.mean() > other.new.mean())
    return (2 * right / told - 1 if told else 0.0), told
