"""How well a new judge's figures go over to an old judge's scale: agreement, error and verdict.

``line.py`` has the map. Its honest error is that of models which are left out one by one, with all
that is estimated, the choice of scale too, made without them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ugc_tasks.bridge.line import Line, Paired, about_mean, line_of
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
_TOLD = 1.96

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
    lines = [_straight(x, y) for x, y in zip(new.T, old.T, strict=True)]
    figures = {
        name: {
            **_agreement(old[:, i], new[:, i]),
            "kappa": _kappa(*(np.concatenate([c[side][:, i] for c in clips]) for side in (0, 1))),
            "shift": lines[i][0],
            "slope": lines[i][1],
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
        restated, half = rest.restate(line.new[model], line.n[model])
        off.append(np.abs(restated - old[model]))
        holds.append(off[-1] <= half)
    return np.array(off), np.array(holds) if len(old) >= FEWEST else None


def _straight(x: Array, y: Array) -> tuple[float, float]:
    """Return shift and slope of the line through the models, for orientation."""
    apart = x - x.mean()
    slope = float(apart @ y / max(1e-9, apart @ apart))
    return float(y.mean()) - slope * float(x.mean()), slope


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
        np.concatenate([about_mean(getattr(p, s))[:, 3] for p in paired]) for s in ("old", "new")
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
