"""The judge's noise, as it stands in rows and results where ``UGC_JUDGE_REPEATS`` is above 1.

A row has two entries, both texts: ``judge_repeats``, how many of the clip's judgments came (``3 of
3``, or ``2 of 3: why the other did not``), and ``judge_noise``, what each of them said on the
judge's own scale (``visual 4 4 5; audio 3 3 3; details 5 4 5``). A clip that was judged once has
neither, so nothing of this is in a result of single judgments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ugc_tasks.judge.agreement import Noise, noise_of
from ugc_tasks.judge.judgment import Judgment
from ugc_tasks.judge.repeats import SEVERAL

REPEATS = "judge_repeats"
NOISE = "judge_noise"
AVERAGE = "average"

_COLUMNS = ("judge's variance", "clips'", "alpha", "exact", "within one", "of the mean", "enough")
_HEADING = (
    "variance of the judge / of the clips / alpha / exact / within one / of the mean "
    "(judge's share) / repeats enough for ±{interval:g}"
)


def came(judgment: Judgment) -> str:
    """Return the entry ``judge_repeats`` of a row; empty for a judgment that stands alone."""
    if not judgment.repeats:
        return ""
    failures = [each.failure for each in judgment.repeats if each.failure is not None]
    wanted = len(judgment.repeats)
    said = f"{wanted - len(failures)} of {wanted}"
    return f"{said}: {SEVERAL.join(sorted(set(failures)))}" if failures else said


def said(judgment: Judgment, *, name: str | None = None) -> str:
    """Return the entry ``judge_noise`` of a row; empty where no repeat was scored.

    ``name`` is what a judgment's only value is called in the results, if not as the judge does.
    """
    scored = [each.scores for each in judgment.repeats if each.scores is not None]
    if not scored:
        return ""
    return "; ".join(
        " ".join([name or value, *(f"{scores[value]:.6g}" for scores in scored)])
        for value in scored[0]
    )


def entries(judgment: Judgment, *, name: str | None = None) -> dict[str, str]:
    """Return both entries of a row, those that there are."""
    both = {REPEATS: came(judgment), NOISE: said(judgment, name=name)}
    return {key: entry for key, entry in both.items() if entry}


def count(items: Sequence[str]) -> str:
    """Tell how many judgments were wanted and came; an aggregation of ``judge_repeats``.

    Returns:
        ``3 of each clip, all 2997 came``, or such as ``3 of each clip, 2993 of 2997 came (clips
        with fewer: 1, with none: 1)``.
    """
    pairs = [_counts(item) for item in items]
    got, wanted = (sum(column) for column in zip(*pairs, strict=True))
    each = SEVERAL.join(str(k) for k in sorted({k for _, k in pairs}))
    if got == wanted:
        return f"{each} of each clip, all {wanted} came"
    fewer = sum(0 < came < k for came, k in pairs)
    none = sum(not came for came, _ in pairs)
    lack = f"clips with fewer: {fewer}, with none: {none}"
    return f"{each} of each clip, {got} of {wanted} came ({lack})"


def measured(
    items: Sequence[str], *, factor: float, points: bool, interval: float
) -> dict[str, Noise]:
    """Return how noisy each value is, and where there are several their ``average``.

    Args:
        items: entries ``judge_noise`` of clips, none of them empty.
        factor: how many points on 0-100 one of the judge's is.
        points: whether the judge goes by whole points.
        interval: see ``noise_of``.
    """
    tables: dict[str, list[list[float]]] = {}
    for item in items:
        clip = _values(item, factor)
        if len(clip) > 1:
            clip[AVERAGE] = [fmean(each) for each in zip(*clip.values(), strict=True)]
        for name, values in clip.items():
            tables.setdefault(name, []).append(values)
    point = factor if points else None
    return {name: noise_of(t, point=point, interval=interval) for name, t in tables.items()}


def paragraph(noise: Mapping[str, Noise]) -> str:
    """Return the figures as one text: what they are, then those of each value."""
    interval = next(iter(noise.values())).interval
    each = "; ".join(f"{name} {_figures(figures)}" for name, figures in noise.items())
    return f"{_HEADING.format(interval=interval)}: {each}"


def table(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the figures of :func:`as_json` as lines of a table for a person."""
    noise = {name: Noise(**figures) for name, figures in values.items()}
    cells = [["", *_COLUMNS], *([name, *_cells(figures)] for name, figures in noise.items())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    interval = next(iter(noise.values())).interval
    return [*lines, f"(enough: repeats for ±{interval:g} of the mean, the judge's noise alone)"]


def as_json(items: Sequence[str], noise: Mapping[str, Noise]) -> dict[str, Any]:
    """Return the figures as plain JSON values; ``items`` are the entries ``judge_repeats``."""
    pairs = [_counts(item) for item in items]
    return {
        "repeats": max(wanted for _, wanted in pairs),
        "judgments_wanted": sum(wanted for _, wanted in pairs),
        "judgments": sum(came for came, _ in pairs),
        "clips_with_fewer": sum(0 < came < wanted for came, wanted in pairs),
        "clips_with_none": sum(not came for came, _ in pairs),
        "values": {name: dataclasses.asdict(figures) for name, figures in noise.items()},
    }


def _figures(noise: Noise) -> str:
    return " / ".join(_cells(noise))


def _cells(noise: Noise) -> tuple[str, ...]:
    half = "-" if noise.half_width is None else f"±{noise.half_width:.2f}"
    return (
        _number(noise.judge_variance, ".1f"),
        _number(noise.clip_variance, ".1f"),
        "undefined" if noise.alpha is None else f"{noise.alpha:.3f}",
        _number(noise.exact, ".0%"),
        _number(noise.within_one, ".0%"),
        f"{half} ({_number(noise.share_of_mean, '.0%')})",
        _number(noise.enough, "d"),
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _counts(item: str) -> tuple[int, int]:
    got, _, wanted = item.partition(":")[0].split()
    return int(got), int(wanted)


def _values(item: str, factor: float) -> dict[str, list[float]]:
    """Read a row's entry: on 0-100, by name."""
    words = (part.split() for part in item.split("; "))
    return {name: [float(number) * factor for number in numbers] for name, *numbers in words}
