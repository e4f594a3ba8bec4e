"""Whether one run is better than another, clip by clip.

Both runs are compared on the clips that both have a score for: of each clip the difference is
taken, and the mean of these has Student's 95 % interval. p is that of the paired permutation test
(signs of the differences are flipped), which assumes no distribution; that of the paired t test
stands beside it. Where several runs are compared with one, or several dimensions are looked at,
both are corrected by Holm's method (1979) over all of these.

How many clips would be enough for a difference of this size is the usual formula for a paired test
at 5 % and a power of 80 %; that for more judgments a clip takes the judge's own variance out of
that of the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, fmean, stdev, variance
from typing import Any, Literal

from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.estimate.model import difference_interval
from ugc_tasks.results.reliability import Interval, mean_interval
from ugc_tasks.results.scores import ScoreFile

Verdict = Literal["better", "worse", "not distinguishable", "not comparable"]

LEVEL = 0.05
_POWER = NormalDist().inv_cdf(1 - LEVEL / 2) + NormalDist().inv_cdf(0.8)
_RESAMPLES = 4999
_MOST_REPEATS = 100


@dataclass(frozen=True)
class Difference:
    """One figure of a run minus that of another, on 0-100, over the clips that both have.

    Attributes:
        new, old: the two means.
        ci95: of the difference; None below two clips.
        p, p_t: of the permutation test and of the t test, None where there is none; ``p_holm`` is
            ``p``, corrected for all comparisons that are made at once.
        enough_clips: clips that would tell a difference of this size; None where it is 0.
        enough_repeats: judgments a clip that would tell it on these clips; None where none would,
            or the judge's noise is not known.
    """

    figure: str
    n: int
    new: float
    old: float
    difference: float
    ci95: Interval | None
    p: float | None
    p_t: float | None
    p_holm: float | None = None
    enough_clips: int | None = None
    enough_repeats: int | None = None

    @property
    def verdict(self) -> Verdict:
        if self.p_holm is None:  # an estimate, whose own error is in the interval
            certain = self.ci95 is not None and self.ci95[0] * self.ci95[1] > 0
        else:
            certain = self.p_holm < LEVEL
        if not certain:
            return "not distinguishable"
        return "better" if self.difference > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """A run and another.

    Attributes:
        figures: by name, the mean of the task last (``average``); empty if not comparable.
        slices: the same figure of parts of the clips, by kind of slice and name of the part.
        only_new, only_old: clips that one of them alone has a score for.
        left_out: clips without a public reference, which no comparison counts.
        why_not: why they cannot be compared; empty where they can.
        notes: what a reader must know, a sentence each.
    """

    new: ScoreFile
    old: ScoreFile
    figures: Mapping[str, Difference]
    slices: Mapping[str, Mapping[str, Difference]]
    only_new: tuple[str, ...] = ()
    only_old: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    why_not: str = ""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> Difference | None:
        """The figure that the verdict is about."""
        return list(self.figures.values())[-1] if self.figures else None

    @property
    def verdict(self) -> Verdict:
        return self.whole.verdict if self.whole else "not comparable"


Slices = Mapping[str, Mapping[str, Sequence[str]]]
"""By kind of slice, the clips of each of its parts."""


def compare(
    new: ScoreFile, olds: Sequence[ScoreFile], slices: Slices | None = None
) -> list[Comparison]:
    """Compare a run with each of others; ``slices`` are of clips that may be in either."""
    found = [_compared(new, old, slices or {}) for old in olds]
    return _corrected(found)


def compare_all(runs: Sequence[ScoreFile]) -> list[Comparison]:
    """Compare each run with each after it, corrected over all pairs."""
    return _corrected([_compared(a, b, {}) for a, b in combinations(runs, 2)])


def _compared(new: ScoreFile, old: ScoreFile, slices: Slices) -> Comparison:
    shared = [i for i in new.clips if i in old.clips]
    left_out = tuple(i for i in shared if i in NO_REFERENCE)
    shared = [i for i in shared if i not in NO_REFERENCE]
    only_new = tuple(i for i in new.clips if i not in old.clips)
    only_old = tuple(i for i in old.clips if i not in new.clips)
    why_not = _why_not(new, old, shared)
    if why_not:
        return Comparison(new, old, {}, {}, only_new, only_old, left_out, why_not)
    figures = {name: _difference(name, new, old, shared) for name in new.figures}
    main = list(figures)[-1]
    parts = {
        kind: {
            part: _difference(main, new, old, clips)
            for part, ids in groups.items()
            if len(
                clips := [
                    i for i in ids if i in new.clips and i in old.clips and i not in NO_REFERENCE
                ]
            )
            > 1
        }
        for kind, groups in slices.items()
    }
    return Comparison(
        *(new, old, figures, parts, only_new, only_old, left_out), notes=tuple(_notes(new, old))
    )


def _why_not(new: ScoreFile, old: ScoreFile, shared: Sequence[str]) -> str:
    if new.task != old.task:
        return f"one is of the task {new.task}, the other of {old.task}"
    if new.estimate != old.estimate:
        return "one is an estimate from the texts, the other a judge's"
    if new.judge and old.judge and new.judge != old.judge:
        return f"they were judged by different judges, {new.judge} and {old.judge}"
    ran = [{who.split()[0] for who in run.ran if who.split()} for run in (new, old)]
    if all(ran) and ran[0] != ran[1]:
        named = " and ".join(", ".join(sorted(names)) for names in ran)
        return f"the models that judged them were not the same: {named}"
    if len(shared) < 2:
        return f"they share {len(shared)} clips with a score"
    return ""


def _notes(new: ScoreFile, old: ScoreFile) -> list[str]:
    notes = []
    silent = [run for run in (new, old) if SPECS[run.task].judged and not run.judge]
    if silent:
        notes.append(
            "the judge is not stated in "
            + " and ".join(run.path.name for run in silent)
            + ": that it is the same is taken for granted"
        )
    if new.estimate:
        notes.append("both are estimates from the texts: no judge was asked")
    return notes


def _difference(name: str, new: ScoreFile, old: ScoreFile, clips: Sequence[str]) -> Difference:
    ours, theirs = ([run.clips[i][name] for i in clips] for run in (new, old))
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, ci95 = mean_interval(apart)
    p = p_t = None
    if new.estimate:
        if ci95 is not None and new.task == "caption":
            ci95 = difference_interval(name, mean, (ci95[1] - ci95[0]) / 2)
    else:
        p, p_t = _tests(apart)
    clips_needed = repeats_needed = None
    spread = stdev(apart)
    if mean and spread:
        clips_needed = max(2, math.ceil((_POWER * spread / mean) ** 2))
        noise = [_noise(name, run, clips) for run in (new, old)]
        if noise[0] is not None and noise[1] is not None:
            repeats_needed = _repeats(variance(apart), noise[0], noise[1], mean, len(apart))
    return Difference(
        figure=name,
        n=len(apart),
        new=fmean(ours),
        old=fmean(theirs),
        difference=mean,
        ci95=ci95,
        p=p,
        p_t=p_t,
        enough_clips=clips_needed,
        enough_repeats=repeats_needed,
    )


def _tests(apart: Sequence[float]) -> tuple[float, float]:
    """Return p of the paired permutation test, always from the same signs, and of the t test."""
    if not any(apart):
        return 1.0, 1.0
    import numpy as np
    from scipy import stats

    def mean(sample: Any, axis: int = -1) -> Any:
        return np.mean(sample, axis=axis)

    permuted = stats.permutation_test(
        (np.asarray(apart),),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=500,
        rng=np.random.default_rng(0),
    )
    constant = max(apart) - min(apart) < 1e-12
    return float(permuted.pvalue), 0.0 if constant else float(stats.ttest_1samp(apart, 0).pvalue)


def _noise(name: str, run: ScoreFile, clips: Sequence[str]) -> tuple[float, float] | None:
    """Return the judge's variance in one judgment of a figure, and the judgments a clip has."""
    spreads, counts = [], []
    for video_id in clips:
        said = [s for s in run.judgments(video_id) if s]
        said = [{value: s[value] * run.points(value) for value in s} for s in said]
        values = [
            fmean(s.values()) if name == "average" else s.get(name, fmean(s.values())) for s in said
        ]
        if len(values) > 1:
            spreads.append(variance(values))
        counts.append(len(values))
    return (fmean(spreads), fmean(counts)) if spreads else None


def _repeats(
    whole: float, new: tuple[float, float], old: tuple[float, float], mean: float, n: int
) -> int | None:
    """Return the judgments a clip at which ``n`` clips would tell a difference of ``mean``."""
    clips_alone = max(0.0, whole - new[0] / new[1] - old[0] / old[1])
    for repeats in range(1, _MOST_REPEATS + 1):
        spread = clips_alone + (new[0] + old[0]) / repeats
        if (_POWER**2) * spread / mean**2 <= n:
            return repeats
    return None


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Put Holm's correction on all p of the figures; parts of the clips are corrected by kind."""
    from dataclasses import replace

    every = [(c, name) for c, comparison in enumerate(comparisons) for name in comparison.figures]
    whole = {(c, list(comparisons[c].figures)[-1]) for c, _ in every}
    fixed: dict[tuple[int, str], float | None] = {}
    for family in (whole, set(every) - whole):  # what the verdict is about, and the dimensions
        keys = [key for key in every if key in family]
        fixed |= dict(zip(keys, holm([comparisons[c].figures[n].p for c, n in keys]), strict=True))
    result = []
    for c, comparison in enumerate(comparisons):
        figures = {
            name: replace(each, p_holm=fixed[c, name]) for name, each in comparison.figures.items()
        }
        slices = {}
        for kind, parts in comparison.slices.items():
            corrected = holm([each.p for each in parts.values()])
            slices[kind] = {
                part: replace(each, p_holm=p)
                for (part, each), p in zip(parts.items(), corrected, strict=True)
            }
        result.append(replace(comparison, figures=figures, slices=slices))
    return result


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected by Holm's step-down method; None stays None."""
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[i] = highest
    return corrected


def sentence(comparison: Comparison) -> str:
    """Return the verdict as one sentence for a person."""
    new, old, whole = comparison.new.name, comparison.old.name, comparison.whole
    if whole is None:
        return f"{new} and {old} cannot be compared: {comparison.why_not}"
    size = f"{abs(whole.difference):.1f}"
    if whole.verdict != "not distinguishable":
        half = (whole.ci95[1] - whole.ci95[0]) / 2 if whole.ci95 else math.nan
        return (
            f"{new} is {whole.verdict} than {old} by {size} ± {half:.1f} on {whole.n} shared clips"
        )
    told = []
    if whole.enough_clips is not None:
        told.append(f"{whole.enough_clips:,} clips")
    if whole.enough_repeats is not None:
        told.append(f"{whole.enough_repeats} judgments a clip")
    would = f": {' or '.join(told)} would tell a difference of {size}" if told else ""
    return f"{new} and {old} are not distinguishable on {whole.n} shared clips{would}"
