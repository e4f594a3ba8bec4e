"""How far off the offline estimate is for models, and for clips, that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import spearmanr

from benchmarks.offline_data import Judged, Matrix
from benchmarks.offline_fitting import Fitted, Measured, fit
from ugc_tasks.judge.forms import DIMENSIONS

COLUMNS = (*DIMENSIONS, "average")
_SCALE = 20


@dataclass(frozen=True)
class Estimated:
    """A model that the fit did not see: its columns, judged and estimated, 0-100."""

    model: str
    clips: int
    judged: Matrix
    guessed: Matrix

    @property
    def off(self) -> Matrix:
        """By how much the estimate is too high [columns]."""
        return self.guessed - self.judged


def left_out(
    models: Mapping[str, Measured],
    copies: Matrix,
    seen: Callable[[str, str], bool],
    *,
    of: Iterable[str] | None = None,
) -> list[Estimated]:
    """Estimate each model (or each ``of`` them) by a fit to those that ``seen(it, other)`` allows.

    Where the same fit serves several models, it is made once.
    """
    fits: dict[tuple[str, ...], Fitted] = {}
    found = []
    for name in of or models:
        others = tuple(other for other in models if other != name and seen(name, other))
        if others not in fits:
            fits[others] = fit([models[other] for other in others], copies)
        found.append(_estimated(name, fits[others], models[name]))
    return found


def left_out_with_clips(models: Mapping[str, Measured], copies: Matrix) -> list[Estimated]:
    """Estimate each model on every other clip by a fit to the other models' other clips."""
    halves = [{name: part(m, half) for name, m in models.items()} for half in (0, 1)]
    return [
        _estimated(name, fit([halves[0][n] for n in models if n != name], copies), halves[1][name])
        for name in models
    ]


def part(measured: Measured, half: int) -> Measured:
    """Return the even (0) or the odd (1) clips."""
    return Measured(*(matrix[half::2] for matrix in vars(measured).values()))


def columns(scores: Matrix) -> Matrix:
    """Return the columns of the published table [4] from scores [clips, dimensions]."""
    means = _SCALE * scores.mean(0)
    return np.append(means, means.mean())


def half_widths(estimated: Sequence[Estimated]) -> Matrix:
    """Return half of the 95 % interval [columns] from errors of models left out (Student's t)."""
    errors = np.array([each.off for each in estimated])
    quantile = float(stdtrit(len(errors), 0.975))
    return np.asarray(quantile * np.sqrt((errors**2).mean(0)))


def coverage(estimated: Sequence[Estimated]) -> Matrix:
    """Return how many models' columns are in the interval that the other models' errors give."""
    inside = [
        np.abs(each.off) <= half_widths([other for other in estimated if other is not each])
        for each in estimated
    ]
    return np.asarray(np.sum(inside, axis=0), dtype=np.float64)


def table(title: str, estimated: Sequence[Estimated]) -> str:
    """Return a table of published and estimated columns, and how far off they are."""
    lines = [
        f"\n{title}",
        f"{'':22}{'judged V / A / D / average':29}{'estimated':29}{'average off by':>15}",
    ]
    for each in estimated:
        judged = " / ".join(f"{value:.1f}" for value in each.judged)
        guessed = " / ".join(f"{value:.1f}" for value in each.guessed)
        lines.append(f"{each.model:22}{judged:29}{guessed:29}{each.off[-1]:>+15.2f}")
    return "\n".join([*lines, summary(estimated)])


def summary(estimated: Sequence[Estimated]) -> str:
    """Return mean error and rank correlation, by column."""
    errors = np.abs([each.off for each in estimated])
    ranks = [
        spearmanr([e.judged[i] for e in estimated], [e.guessed[i] for e in estimated]).statistic
        for i in range(len(COLUMNS))
    ]
    mean = ", ".join(f"{n} {e:.2f}" for n, e in zip(COLUMNS, errors.mean(0), strict=True))
    rank = ", ".join(f"{n} {r:.3f}" for n, r in zip(COLUMNS, ranks, strict=True))
    worst = f"largest of the average {errors[:, -1].max():.2f}"
    return f"mean error: {mean} ({worst})\nSpearman: {rank}"


def by_clip(models: Mapping[str, Measured], judged: Sequence[Judged], fitted: Fitted) -> str:
    """Return how the clips of one model correlate with their scores, in the mean of the models."""
    found = []
    for each in judged:
        model = models[each.recording.model]
        guess = fitted.predict(model.agreement, model.style).mean(1)
        found.append(np.corrcoef(guess, model.scores.mean(1))[0, 1])
    return f"clips of one model, correlation with their average score: {np.mean(found):.2f}"


def _estimated(name: str, fitted: Fitted, measured: Measured) -> Estimated:
    guess = fitted.predict(measured.agreement, measured.style)
    return Estimated(name, len(guess), columns(measured.scores), columns(guess))
