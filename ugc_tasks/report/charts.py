"""Plots as SVG text, each with the figures that it shows as a table.

Drawn by hand: a library of plots would be larger than the whole report. Text that is not ours goes
through ``escape``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from ugc_tasks.results.reliability import Interval, mean_interval

WIDTH = 360
_LEFT, _RIGHT, _TOP, _ROW = 130, 12, 18, 20


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        title: what it is of.
        caption: what it shows, one sentence.
        svg: the drawing.
        head, rows: its figures as a table.
    """

    title: str
    caption: str
    svg: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def histogram(title: str, values: Sequence[float], bins: Sequence[float]) -> Plot:
    """Draw how often each score was given; ``bins`` are their lower bounds on 0-100."""
    counts = [0] * len(bins)
    for value in values:
        counts[max(i for i, low in enumerate(bins) if value >= low or i == 0)] += 1
    most, height = max(counts, default=0) or 1, 120
    step = (WIDTH - 2 * _RIGHT) / len(bins)
    parts = []
    for i, count in enumerate(counts):
        tall = (height - 36) * count / most
        x = _RIGHT + i * step
        parts.append(_rect(x + 2, height - 18 - tall, step - 4, tall, "bar"))
        parts.append(_text(x + step / 2, height - 4, f"{bins[i]:g}", "middle"))
        parts.append(_text(x + step / 2, height - 22 - tall, str(count), "middle"))
    mean, pair = mean_interval(values)
    said = f"{title}: mean {mean:.1f}" + (f" [{pair[0]:.1f}, {pair[1]:.1f}]" if pair else "")
    rows = [[f"{low:g}", str(count)] for low, count in zip(bins, counts, strict=True)]
    return Plot(
        title, f"{said}, {len(values)} clips.", _svg(height, parts, said), ("from", "clips"), rows
    )


def heat_map(across: str, down: str, pairs: Sequence[tuple[float, float]]) -> Plot:
    """Draw how often two dimensions had which scores together, on the judge's five points."""
    counts = Counter((_point(a), _point(b)) for a, b in pairs)
    most, cell, left = max(counts.values(), default=1), 40, 60
    parts = [_text(left + 2.5 * cell, 12, across, "middle"), _text(4, 34, down, "start")]
    for x in range(1, 6):
        parts.append(_text(left + (x - 0.5) * cell, 26, str(x), "middle"))
        parts.append(_text(left - 8, 30 + (x - 0.4) * cell, str(x), "end"))
        for y in range(1, 6):
            count = counts[x, y]
            shade = f'fill-opacity="{count / most:.3f}"'
            parts.append(
                _rect(
                    left + (x - 1) * cell,
                    30 + (y - 1) * cell,
                    cell - 2,
                    cell - 2,
                    "bar",
                    more=shade,
                )
            )
            if count:
                parts.append(
                    _text(left + (x - 0.5) * cell, 30 + (y - 0.4) * cell, str(count), "middle")
                )
    said = f"{across} against {down}, on the judge's points."
    rows = [[str(y), *(str(counts[x, y]) for x in range(1, 6))] for y in range(1, 6)]
    return Plot(
        f"{across} and {down}",
        said,
        _svg(30 + 5 * cell, parts, said),
        (down, "1", "2", "3", "4", "5"),
        rows,
    )


def _point(value: float) -> int:
    return min(5, max(1, round(value / 20)))


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: a value with its interval, if any; ``ours``: to be seen first."""

    name: str
    value: float
    interval: Interval | None = None
    n: int | None = None
    ours: bool = True


def dots(title: str, caption: str, rows: Sequence[Dot], *, signed: bool = False) -> Plot:
    """Draw values with their intervals on 0-100, or ``signed`` about 0."""
    bounds = [bound for row in rows for bound in (row.interval or (row.value, row.value))]
    low, high = (min([*bounds, 0.0]), max([*bounds, 0.0])) if signed else (0.0, 100.0)
    span = (high - low) or 1.0
    wide = WIDTH - _LEFT - _RIGHT

    def place(value: float) -> float:
        return _LEFT + wide * (min(high, max(low, value)) - low) / span

    height = _TOP + _ROW * len(rows) + 6
    parts = []
    for tick in [low + span * part / 4 for part in range(5)]:
        parts.append(_line(place(tick), _TOP - 4, place(tick), height, "axis"))
        parts.append(_text(place(tick), 10, f"{tick:.0f}", "middle"))
    if signed:
        parts.append(_line(place(0), _TOP - 4, place(0), height, "mean"))
    for i, row in enumerate(rows):
        y = _TOP + _ROW * (i + 0.5)
        kind = "" if row.ours else "other-"
        parts.append(_text(_LEFT - 6, y + 4, _short(row.name), "end"))
        if row.interval:
            parts.append(
                _line(place(row.interval[0]), y, place(row.interval[1]), y, f"{kind}range")
            )
        mark = "dot" if row.ours else "other"
        parts.append(f'<circle class="{mark}" cx="{place(row.value):.1f}" cy="{y:.1f}" r="4"/>')
    table = [
        [
            row.name,
            f"{row.value:{'+' if signed else ''}.1f}",
            "" if row.interval is None else f"[{row.interval[0]:.1f}, {row.interval[1]:.1f}]",
            "" if row.n is None else str(row.n),
        ]
        for row in rows
    ]
    return Plot(
        title, caption, _svg(height, parts, caption), ("", "value", "95 % interval", "clips"), table
    )


def by_slice(
    figure: str, clips: Mapping[str, Mapping[str, float]], slices: Mapping[str, Mapping[str, Any]]
) -> list[Plot]:
    """Draw the mean of a figure in the parts of each slice."""
    plots = []
    for kind, groups in slices.items():
        rows = []
        for part, ids in groups.items():
            values = [clips[i][figure] for i in ids if i in clips]
            if values:
                rows.append(Dot(part, fmean(values), mean_interval(values)[1], len(values)))
        if len(rows) > 1:
            plots.append(
                dots(f"{figure} by {kind}", f"{figure} by {kind}, with 95 % intervals.", rows)
            )
    return plots


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, kind: str, *, more: str = "") -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {size} {more}/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{kind}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
