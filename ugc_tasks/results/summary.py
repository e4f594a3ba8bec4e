"""From score files to the rows of a table: columns, coverage, intervals, differences.

Published columns (visual, audio, details) are the mean on 1-5 rounded to two decimals, times 20:
2.7848 is printed as 55.6. The published average is the exact mean of all, on 0-100, rounded to
two decimals. ``published`` holds that rounding, the columns themselves are exact. The recorded
scores of every model give the printed figures so, but for MiniCPM-o's audio (46.0 in print, 46.2 by
the rule).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Any

from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.estimate import difference_interval, interval
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.results.rows import ESTIMATE, SCALE
from ugc_tasks.results.scores import ClipScores, ScoreFile
from ugc_tasks.results.statistics import mean_estimate, paired_difference

COLUMNS = (*DIMENSIONS, "average")
REFERENCES = 999
"""Captions with a public reference."""

_TOLERANCE = 0.01


@dataclass(frozen=True)
class References:
    """Which clips have a public reference: all ids, or None where the files are not at hand."""

    ids: Collection[str] | None = None

    def has(self, video_id: str) -> bool:
        """Tell whether a clip has a public reference."""
        return video_id not in NO_REFERENCE if self.ids is None else video_id in self.ids


def summarize(scores: ScoreFile, references: References) -> dict[str, Any]:
    """Return the row of one file; plain JSON values, the keys as the README documents them."""
    suffix = ESTIMATE if scores.estimate else ""
    known = {i: clip for i, clip in scores.clips.items() if references.has(i)}
    stray = [video_id for video_id in scores.clips if video_id not in known]
    wanted = scores.wanted or REFERENCES
    if references.ids is not None:
        wanted = len(references.ids)
    row: dict[str, Any] = {
        "file": str(scores.path),
        "n": len(scores.clips),
        "coverage": len(known) / wanted,
        **dict.fromkeys(COLUMNS),
        "ci95": {},
        "judge": scores.judge,
        "estimate": scores.estimate,
        "failed": len(scores.failed),
        "zeros": len(scores.zeros),
        "published": None,
        "without_reference": stray,
        "with_reference": None,
    }
    row |= _columns(list(scores.clips.values()), suffix)
    if scores.clips and not scores.estimate:
        row["published"] = as_published(list(scores.clips.values()))
    if stray:
        row["with_reference"] = {"n": len(known), **_columns(list(known.values()), suffix)}
    return row


def compare(scores: ScoreFile, baseline: ScoreFile) -> dict[str, Any]:
    """Return how a file differs from a baseline, clip by clip, on the clips that both have."""
    result: dict[str, Any] = {"baseline": str(baseline.path), "n": 0, "ci95": {}}
    suffix = ESTIMATE if scores.estimate or baseline.estimate else ""
    for name in COLUMNS:
        difference = paired_difference(_values(scores, name), _values(baseline, name))
        result["only_here"] = list(difference.only_first)
        result["only_in_baseline"] = list(difference.only_second)
        estimate = difference.estimate
        result[name + suffix] = None if estimate is None else estimate.mean
        if estimate is not None:
            result["n"] = estimate.n
            pair = estimate.interval
            if suffix and pair is not None:
                pair = difference_interval(name, estimate.mean, (pair[1] - pair[0]) / 2)
            result["ci95"][name + suffix] = pair and list(pair)
    return result


def as_published(clips: Sequence[ClipScores]) -> dict[str, float]:
    """Return the columns rounded as the published table has them: see the module."""
    rounded = {}
    for name in DIMENSIONS:
        mean = _exact_mean([getattr(clip, name) for clip in clips])
        rounded[name] = float(_half_up(mean / SCALE) * SCALE)
    all_scores = [getattr(clip, name) for clip in clips for name in DIMENSIONS]
    rounded["average"] = float(_half_up(_exact_mean(all_scores)))
    return rounded


def doubts(files: Sequence[ScoreFile]) -> list[str]:
    """Return what a reader of the table must know before comparing its rows, a sentence each."""
    found = []
    judges = {scores.judge or "a judge that its file does not name" for scores in files}
    if len(judges) > 1:
        found.append(
            f"these scores are not of one judge ({'; '.join(sorted(judges))}): numbers of "
            "different judges cannot be compared"
        )
    elif len(models := {who.split()[0] for scores in files for who in scores.ran}) > 1:
        found.append(
            f"under one name these scores are of several judges ({', '.join(sorted(models))}): "
            "numbers of different judges cannot be compared"
        )
    for scores in files:
        if len(scores.ran) > 1:
            found.append(
                f"{scores.path}: the judge changed while judging ({'; '.join(sorted(scores.ran))})"
                ": its means are over scores of all of them"
            )
        if scores.zeros:
            found.append(
                f"{scores.path}: {len(scores.zeros)} clips have a 0, which no judge gives: "
                "failures stored as scores; they count here, as they do in published figures"
            )
        if scores.failed:
            found.append(
                f"{scores.path}: {len(scores.failed)} clips have no score and do not count"
            )
        stated, clips = scores.stated_average, scores.clips.values()
        if stated is not None and abs(stated - fmean(c.average for c in clips)) > _TOLERANCE:
            found.append(
                f"{scores.path}: states an average of {stated:.2f}, its clips give another"
            )
    return found


def _columns(clips: Sequence[ClipScores], suffix: str) -> dict[str, Any]:
    if not clips:
        return {"ci95": {}}
    estimates = {n + suffix: mean_estimate([getattr(c, n) for c in clips]) for n in COLUMNS}
    if suffix:
        # A clip's estimate is off like its neighbour's: their spread says nothing of that.
        means = {name: estimate.mean for name, estimate in estimates.items()}
        n = len(clips)
        return {
            **means,
            "ci95": {c + suffix: list(interval(c, means[c + suffix], n)) for c in COLUMNS},
        }
    return {
        **{name: estimate.mean for name, estimate in estimates.items()},
        "ci95": {n: e.interval and list(e.interval) for n, e in estimates.items()},
    }


def _values(scores: ScoreFile, name: str) -> Mapping[str, float]:
    return {video_id: getattr(clip, name) for video_id, clip in scores.clips.items()}


def _exact_mean(values: Sequence[float]) -> Fraction:
    # Exact, because a mean may lie on the edge between two roundings, as MiniCPM-o's does.
    return sum(map(Fraction, values), Fraction(0)) / len(values)


def _half_up(value: Fraction) -> Fraction:
    """Round to two decimals, a half upwards: 3.515 is printed as 3.52."""
    return Fraction((value * 100 + Fraction(1, 2)).__floor__(), 100)
