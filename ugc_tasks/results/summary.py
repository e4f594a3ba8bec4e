"""From score files to the rows of a table: columns, coverage, intervals, differences.

Published columns (visual, audio, details) are the mean on 1-5 rounded to two decimals, times 20:
2.7848 is printed as 55.6. The published average is the exact mean of all, on 0-100, rounded to
two decimals. The recorded scores of every model give the printed figures so (``published``), but
for MiniCPM-o's audio (46.0 in print, 46.2 by the rule).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from statistics import fmean
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.estimate.model import difference_interval, interval
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.results.reliability import figure_interval, mean_interval, stated
from ugc_tasks.results.rows import ESTIMATE, SCALE
from ugc_tasks.results.scores import ClipScores, ScoreFile

COLUMNS = (*DIMENSIONS, "average")
REFERENCES = 999  # captions with a public reference
_TOLERANCE = 0.01


def summarize(scores: ScoreFile, references: Collection[str] | None = None) -> dict[str, Any]:
    """Return the row of one file; plain JSON values, the keys as docs/commands.md has them.

    ``references`` are the clips with a public reference; None: as is known of the published files.
    """
    clips, names = list(scores.clips.values()), scores.figures
    if references is None:
        wanted = scores.wanted or REFERENCES
        stray = [video_id for video_id in scores.clips if video_id in NO_REFERENCE]
    else:
        wanted = len(references)
        stray = [video_id for video_id in scores.clips if video_id not in references]
    known = [clip for video_id, clip in scores.clips.items() if video_id not in stray]
    of_known = {"n": len(known), **_columns(known, names, estimate=scores.estimate)}
    return {
        "file": str(scores.path),
        "n": len(clips),
        "coverage": len(known) / wanted,
        **dict.fromkeys(names),
        **_columns(clips, names, estimate=scores.estimate),
        "judge": scores.judge,
        "estimate": scores.estimate,
        "failed": len(scores.failed) - len(scores.zeros),
        "zeros": len(scores.zeros),
        "with_zeros": _with_zeros(scores),
        "published": (
            as_published(clips) if clips and not scores.estimate and not scores.scale else None
        ),
        "without_reference": stray,
        "with_reference": of_known if stray else None,
    }


def _with_zeros(scores: ScoreFile) -> dict[str, Any] | None:
    """Return the figures with failures counted as 0, as scripts of the field do; None without."""
    if not scores.zeros:
        return None
    clips = [*scores.clips.values(), *scores.zeros.values()]
    return {"n": len(clips), **_columns(clips, COLUMNS, estimate=False)}


def _columns(
    clips: Sequence[ClipScores], names: Sequence[str], *, estimate: bool
) -> dict[str, Any]:
    """Return the mean of each column, and under ``ci95`` their intervals."""
    means: dict[str, float] = {}
    intervals: dict[str, list[float] | None] = {}
    for name in names if clips else ():
        mean, pair = figure_interval([clip[name] for clip in clips])
        label = name
        if estimate:
            # The estimate is off in the same way for all clips: their spread does not show it.
            pair, label = interval(name, mean, len(clips)), name + ESTIMATE
        means[label], intervals[label] = mean, pair and list(pair)
    return {**means, "ci95": intervals}


def compare(scores: ScoreFile, baseline: ScoreFile) -> dict[str, Any]:
    """Return how a file differs from a baseline, clip by clip, on the clips that both have.

    Raises ``DataError`` where their figures are not the same.
    """
    one_scale([scores, baseline])
    here, there = scores.clips, baseline.clips
    common = [video_id for video_id in here if video_id in there]
    result: dict[str, Any] = {
        "baseline": str(baseline.path),
        "n": len(common),
        "ci95": {},
        "only_here": [video_id for video_id in here if video_id not in there],
        "only_in_baseline": [video_id for video_id in there if video_id not in here],
    }
    estimate = scores.estimate or baseline.estimate
    for name in scores.figures:
        label = name + ESTIMATE if estimate else name
        result[label] = None
        if common:
            mean, pair = mean_interval([here[i][name] - there[i][name] for i in common])
            if estimate and pair:
                pair = difference_interval(name, mean, (pair[1] - pair[0]) / 2)
            result[label], result["ci95"][label] = mean, pair and list(pair)
    return result


def one_scale(files: Sequence[ScoreFile]) -> None:
    """Raise ``DataError`` unless the figures of all files have the same names."""
    first = files[0]
    for other in files[1:]:
        if other.figures != first.figures:
            raise DataError(
                f"the figures of {first.path} are {', '.join(first.figures)}, those of "
                f"{other.path} {', '.join(other.figures)}: one table cannot have both, show them "
                "apart"
            )


def as_published(clips: Sequence[ClipScores]) -> dict[str, float]:
    """Return the columns rounded as the published table has them: see the module."""
    columns = {name: _rounded([clip[name] for clip in clips], SCALE) for name in DIMENSIONS}
    return {**columns, "average": _rounded([clip[name] for clip in clips for name in DIMENSIONS])}


def _rounded(values: Sequence[float], unit: int = 1) -> float:
    """Return the mean in units of so many points, at two decimals, a half upwards, in points."""
    # Exact, because a mean may lie on the edge between two roundings, as MiniCPM-o's does.
    mean = sum(map(Fraction, values), Fraction(0)) / len(values) / unit
    return float(Fraction((mean * 100 + Fraction(1, 2)).__floor__(), 100) * unit)


def doubts(files: Sequence[ScoreFile]) -> list[str]:
    """Return what a reader of the table must know before comparing its rows, a sentence each."""
    found = []
    judges = {scores.judge or "a judge that its file does not name" for scores in files}
    models = {who.split()[0] for scores in files for who in scores.ran}
    incomparable = "numbers of different judges cannot be compared"
    if len(judges) > 1:
        found.append(
            f"these scores are not of one judge ({'; '.join(sorted(judges))}): {incomparable}"
        )
    elif len(models) > 1:
        found.append(
            f"under one name these scores are of several judges ({', '.join(sorted(models))}): "
            f"{incomparable}"
        )
    for scores in files:
        ran, zeros = sorted(scores.ran), len(scores.zeros)
        failed = len(scores.failed) - zeros
        stated, clips = scores.stated_average, [*scores.clips.values(), *scores.zeros.values()]
        false = stated is not None and abs(stated - fmean(c["average"] for c in clips)) > _TOLERANCE
        sentences = {
            f"the judge changed while judging ({'; '.join(ran)}): its means are over scores of all "
            "of them": len(ran) > 1,
            f"{zeros} clips have a 0, which no judge gives: failures stored as scores; they are "
            "left out, and the figures with them stand beside": zeros,
            f"{failed} clips have no score and do not count": failed,
            f"states an average of {stated or 0:.2f}, its clips give another": false,
        }
        found += [f"{scores.path}: {said}" for said, applies in sentences.items() if applies]
    return found


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = COLUMNS) -> list[str]:
    """Return rows of ``summarize``, with their ``difference`` if any, as lines for a person."""
    lines = [["file", "n", "coverage", *names, "judge"]]
    for row in rows:
        judge = shown(row["judge"] or "not stated") + (" (ESTIMATE)" if row["estimate"] else "")
        lines.append(_cells(shown(row["file"]), row, names, f"{row['coverage']:.3f}", judge))
        if row["with_reference"]:
            lines.append(_cells("  clips with a public reference", row["with_reference"], names))
        if row["with_zeros"]:
            lines.append(_cells("  with failures counted as 0", row["with_zeros"], names))
        if difference := row.get("difference"):
            minus = f"  minus {shown(difference['baseline'])}"
            lines.append(_cells(minus, difference, names, sign="+"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _cells(
    first: str,
    row: Mapping[str, Any],
    names: Sequence[str],
    coverage: str = "",
    judge: str = "",
    *,
    sign: str = "",
) -> list[str]:
    figures = []
    for name in names:
        label = name if row.get(name) is not None else name + ESTIMATE
        value, pair = row.get(label), row["ci95"].get(label)
        figures.append("-" if value is None else stated(value, pair, f"{sign}.2f"))
    return [first, str(row["n"]), coverage, *figures, judge]
