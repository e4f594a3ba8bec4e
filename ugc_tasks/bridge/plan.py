"""What a bridge would cost, and how wide its error would be, before anything is asked.

The new judge is not known yet. It is simulated as one that is stricter, grades in a narrower
range, differs from the old judge on every clip by most of a point of 1 to 5 (some of it in all
dimensions alike), and favours or disfavours each model by some 0.4 points of 100 a dimension.
``NOISE`` has the figures, which are assumed: a judge that differs more makes a wider bridge. The
old judge's scores are the recorded ones where they are on this machine; else they are drawn with
the variances of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ugc_tasks.bridge.line import Paired, line_of
from ugc_tasks.bridge.recorded import at_hand, check_dimensions, old_scores
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import RECORDED
from ugc_tasks.judge.judge import open_judge
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.results.rows import SCALE
from ugc_tasks.results.scores import ScoreFile
from ugc_tasks.results.scoring import estimate_judged
from ugc_tasks.results.summary import REFERENCES

WITHIN = 1.5
"""Points on 0-100 that the bridged average of an unseen model is to be sure to."""
RECORDED_SD = {
    "mean": 60.0, "model": 8.0, "own": 4.2, "clip": 9.0, "rest": 13.0, "dimension": 7.0
}  # fmt: skip
"""Points on 0-100: of the recorded scores of twelve models (``own``: of a model's dimensions about
its level, with heavy tails; ``rest``: of a model's clip)."""
NOISE = {"shift": -0.4, "slope": 0.85, "grade": 0.6, "halo": 0.4, "model": 0.02}
"""Of the simulated new judge, in points of its scale of 1 to 5."""
_SIZES = (200, 300, 400, 600, 999)  # below, noise bends the line and intervals hold less often
_DRAWS = 12
_CAPTION, _REFERENCE = 1200, 1130  # characters, on average, of recorded captions and references

Array = Any


def drawn_scores(models: int, clips: int, random: np.random.Generator) -> Array:
    """Return grades of an old judge, models x clips x dimensions, as the recorded ones vary."""
    sd = RECORDED_SD
    level = random.normal(0, sd["model"], (models, 1, 1))
    own = random.standard_t(5, (models, 1, 3)) * sd["own"] * math.sqrt(3 / 5)
    clip = random.normal(0, sd["clip"], (1, clips, 1))
    rest = random.normal(0, sd["rest"], (models, clips, 1))
    side = random.normal(0, sd["dimension"], (models, clips, 3))
    return graded((sd["mean"] + level + own + clip + rest + side) / SCALE)


def graded(values: Array) -> Array:
    """Return whole grades from 1 to 5."""
    return np.clip(np.rint(values), 1, 5)


def simulated_judge(old: Array, random: np.random.Generator) -> Array:
    """Return the grades of a new judge of the answers that got ``old``."""
    models, clips, _ = old.shape
    noise = random.normal(0, NOISE["grade"], old.shape)
    noise += random.normal(0, NOISE["halo"], (models, clips, 1))
    noise += random.normal(0, NOISE["model"], (models, 1, 3))
    return graded(3 + NOISE["slope"] * (old - 3) + NOISE["shift"] + noise)


def simulate(
    old: Array, bridged: Sequence[int], clips: int, *, draws: int = _DRAWS, seed: int = 0
) -> dict[str, float]:
    """Return how wide a bridge over the models ``bridged`` and so many clips would be.

    An unseen model is one of the others; where there is none, each is left out in turn.
    """
    random = np.random.default_rng(seed)
    others = [m for m in range(len(old)) if m not in bridged]
    halves, errors, holds = [], [], []
    for _ in range(draws):
        new = simulated_judge(old, random)
        chosen = random.permutation(old.shape[1])[:clips]
        ids = [str(clip) for clip in chosen]
        line = line_of(
            [Paired(str(m), ids, *(SCALE * x[m][chosen] for x in (old, new))) for m in bridged]
        )
        for unseen in others or bridged:
            seen = line if others else line.without(list(bridged).index(unseen))
            values, half = seen.restate(SCALE * new[unseen].mean(0), old.shape[1])
            halves.append(half[3])
            errors.append(abs(values[3] - SCALE * old[unseen].mean()))
            holds.append(errors[-1] <= half[3])
    return {
        "half_width": float(np.median(halves)),
        "error": float(np.mean(errors)),
        "coverage95": float(np.mean(holds)),
    }


def _old(scores: Mapping[str, ScoreFile], models: Sequence[str]) -> tuple[Array, list[int], bool]:
    """Return old scores to simulate on, the models that are bridged, and if these are real."""
    if all(model in scores for model in models):
        names = [*models, *(m for m in scores if m not in models)]
        shared = [i for i in scores[names[0]].clips if all(i in scores[m].clips for m in names)]
        values = [[[scores[m].clips[i][d] for d in DIMENSIONS] for i in shared] for m in names]
        return np.array(values) / SCALE, list(range(len(models))), True
    random = np.random.default_rng(1)
    drawn = drawn_scores(len(models) + 6, REFERENCES, random)
    return drawn, list(range(len(models))), False


def enough_clips(scores: Mapping[str, ScoreFile], models: Sequence[str]) -> int:
    """Return the fewest clips of each model with which a bridge is sure to ``WITHIN``, or all."""
    old, bridged, _ = _old(scores, models)
    found = (n for n in _SIZES if simulate(old, bridged, n)["half_width"] <= WITHIN)
    return min(next(found, _SIZES[-1]), len(old[0]))


def plan(
    environ: Mapping[str, str], home: Home, models: Sequence[str] | None, clips: int | None
) -> dict[str, Any]:
    """Return what a bridge to the recorded judge would cost and how sure it would be."""
    models = list(dict.fromkeys(models or RECORDED))
    if len(models) < 4:
        raise DataError("--models: a bridge takes at least four models")
    check_dimensions(environ, home)
    scores = old_scores(list(RECORDED), home.cache, fetch=False)
    old, bridged, real = _old(scores, models)
    if clips is not None and not 10 <= clips <= old.shape[1]:
        raise DataError(f"--clips: from 10 to {old.shape[1]}, not {clips}")
    wanted = clips or enough_clips(scores, models)
    wide = simulate(old, bridged, wanted)
    runs = at_hand(environ, home, models, wanted)
    cost = estimate_judged(list(runs.values())) if runs else _typical(environ, home, models, wanted)
    facts = {
        "models": models,
        "clips": wanted,
        "simulated_on": "recorded scores" if real else "drawn scores",
        **wide,
        "cost": cost.as_json() if cost else None,
    }
    few = "" if wide["half_width"] <= WITHIN else f", more than the ±{WITHIN:g} that is wished for"
    said = [
        f"{len(models)} models, {wanted} clips of each",
        f"the bridged average of an unseen model: ±{wide['half_width']:.1f} (95 %){few}; "
        f"mean error {wide['error']:.1f}; simulated on {facts['simulated_on']}",
        str(cost) if cost else "no judge is asked, so it costs nothing",
        *([] if runs else ["the captions are not on this machine: their usual length was taken"]),
    ]
    return {**facts, "said": said}


def _typical(environ: Mapping[str, str], home: Home, models: Sequence[str], clips: int) -> Any:
    """Return what judging texts of the usual length would cost."""
    words = "a caption of the usual length and words, "
    items = [
        JudgeItem(
            f"PI-{clip}",
            f"{model} {clip} {words * 99}"[:_CAPTION],
            f"{clip} {words * 99}"[:_REFERENCE],
        )
        for model in models
        for clip in range(clips)
    ]
    with open_judge(environ, home=home.root, cache=home.cache, command="dry-run") as judge:
        return judge.estimate(items)
