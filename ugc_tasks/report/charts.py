"""Plots as SVG text, each with the figures that it shows as a table.

Drawn by hand: a library of plots would be larger than the whole report. Text that is not ours goes
through ``escape``. Which plots a report has is in ``plots.py``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ugc_tasks.results.reliability import Interval

WIDTH = 360
_RIGHT, _TOP, _ROW = 12, 18, 20
_MOST_NAME = 26  # letters beside a dot plot
_LETTER = 6.6  # width of one, about, at 11 px
_SERIES = ("bar", "bar hollow", "bar pale")  # how several runs are told apart, in grey as well
_NARROWEST = 16  # of a bar that has room for its count
_LEAST_SPAN = 10.0  # points that an axis has at least, so that noise does not fill it


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


def bars(
    title: str,
    caption: str,
    bins: Sequence[str],
    series: Mapping[str, Sequence[int]],
    *,
    axis: str,
    counted: str = "clips",
) -> Plot:
    """Draw how many there are in each bin; those of several series stand beside each other.

    Args:
        bins: what each bin counts, as its label.
        series: by name, the count of each bin; a single one needs no name.
        axis: what the bins are of; ``counted``: what is counted.
    """
    several = len(series) > 1
    totals = [sum(counts) or 1 for counts in series.values()]
    # Runs of different size are compared by shares.
    scale = totals if several else [1]
    most = max((c / s for cs, s in zip(series.values(), scale, strict=True) for c in cs), default=0)
    top = 14 + (14 * len(series) + 4 if several else 0)
    tall, step = 90, (WIDTH - 2 * _RIGHT) / len(bins)
    wide = (step - 4) / len(series)
    foot, tight = top + tall, "small" if several else ""
    parts = []
    for number, (name, counts) in enumerate(series.items()):
        kind = _SERIES[number % len(_SERIES)]
        if several:
            y = 4 + 14 * number
            parts.append(_rect(_RIGHT, y, 10, 10, kind))
            parts.append(_text(_RIGHT + 16, y + 9, _short(name, 52), "start"))
        for i, count in enumerate(counts):
            height = tall * (count / scale[number]) / (most or 1)
            x = _RIGHT + i * step + 2 + number * wide
            parts.append(_rect(x, foot - height, max(1.0, wide - several), height, kind))
            if wide >= _NARROWEST:
                parts.append(_text(x + wide / 2, foot - height - 3, str(count), "middle", tight))
    parts.append(_line(_RIGHT, foot, WIDTH - _RIGHT, foot, "foot"))
    small = "small" if max(map(len, bins)) * _LETTER > step else ""
    for i, label in enumerate(bins):
        parts.append(_text(_RIGHT + (i + 0.5) * step, foot + 13, label, "middle", small))
    parts.append(_text(WIDTH / 2, foot + 27, f"{axis} · bars: {counted}", "middle", "axis-name"))
    head = (axis, *(series if several else [counted]))
    rows = [[label, *(str(c[i]) for c in series.values())] for i, label in enumerate(bins)]
    return Plot(title, caption, _svg(foot + 32, parts, caption), head, rows)


def heat_map(
    title: str,
    caption: str,
    pairs: Sequence[tuple[str, str]],
    *,
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
) -> Plot:
    """Draw how often two things came together; ``across`` and ``down``: a name, and its values."""
    counts = Counter(pairs)
    most, left, height = max(counts.values(), default=1), 112, 30
    columns, rows = list(across[1]), list(down[1])
    widest = max((len(word) for name in columns for word in name.split()), default=0)
    cell = min(max(48.0, _LETTER * widest + 8), (WIDTH - left - 4) / max(1, len(columns)))
    letters = max(3, int(cell / _LETTER))
    middle = left + len(columns) * cell / 2
    parts = [_text(middle, 11, f"{across[0]} →", "middle", "axis-name")]
    # A name of several words stands on two lines.
    top = 26 + 13 * any(" " in name for name in columns)
    parts.append(_text(left - 8, top, f"{down[0]} ↓", "end", "axis-name"))
    for x, name in enumerate(columns):
        first, _, rest = name.rpartition(" ")
        for line, text in ((top - 13, first), (top, rest)):
            parts.append(_text(left + (x + 0.5) * cell - 1, line, _short(text, letters), "middle"))
    for y, row in enumerate(rows):
        at = top + 6 + y * height
        parts.append(_text(left - 8, at + height / 2 + 3, _short(row, 16), "end"))
        for x, column in enumerate(columns):
            count = counts[column, row]
            # At most half of the accent, so that the number in it can be read in both schemes.
            shade = f'fill-opacity="{0.04 + 0.46 * count / most:.3f}"'
            at_x = left + x * cell
            parts.append(_rect(at_x, at, cell - 2, height - 2, "cell", more=shade))
            if count:
                parts.append(_text(at_x + cell / 2 - 1, at + height / 2 + 3, str(count), "middle"))
    table = [[row, *(str(counts[column, row]) for column in columns)] for row in rows]
    return Plot(
        title,
        caption,
        _svg(top + 8 + len(rows) * height, parts, caption),
        (f"{down[0]} ↓ {across[0]} →", *columns),
        table,
    )


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: a value with its interval, if any; ``ours``: to be seen first."""

    name: str
    value: float
    interval: Interval | None = None
    n: int | None = None
    ours: bool = True


def dots(title: str, caption: str, rows: Sequence[Dot], *, signed: bool = False) -> Plot:
    """Draw values on 0-100 with their intervals, or differences (``signed``) about 0."""
    ticks, form = _axis(rows, signed=signed)
    low, high = ticks[0], ticks[-1]
    names = [_short(row.name, _MOST_NAME) for row in rows]
    left = 14 + _LETTER * max(8, *map(len, names)) if names else 0
    wide = WIDTH - left - _RIGHT

    def place(value: float) -> float:
        return left + wide * (min(high, max(low, value)) - low) / (high - low)

    height = _TOP + _ROW * len(rows) + 6
    parts = []
    for tick in ticks:
        zero = signed and tick == 0
        parts.append(_line(place(tick), _TOP - 4, place(tick), height, "zero" if zero else "axis"))
        parts.append(_text(place(tick), 10, _tick(tick, form), "middle"))
    for i, row in enumerate(rows):
        y = _TOP + _ROW * (i + 0.5)
        kind = "" if row.ours else "other-"
        parts.append(_text(left - 8, y + 4, names[i], "end"))
        if row.interval:
            ends = place(row.interval[0]), place(row.interval[1])
            parts.append(_line(ends[0], y, ends[1], y, f"{kind}range"))
        mark = "dot" if row.ours else "other"
        parts.append(f'<circle class="{mark}" cx="{place(row.value):.1f}" cy="{y:.1f}" r="4"/>')
    sign = "+" if signed else ""
    with_n = any(row.n is not None for row in rows)
    table = [
        [
            row.name,
            f"{row.value:{sign}.1f}",
            f"[{pair[0]:{sign}.1f}, {pair[1]:{sign}.1f}]" if (pair := row.interval) else "",
            *(["" if row.n is None else str(row.n)] if with_n else []),
        ]
        for row in rows
    ]
    head = ("", "difference" if signed else "value", "95 % interval", *(["clips"] * with_n))
    return Plot(title, caption, _svg(height, parts, caption), head, table)


def _tick(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", "−") if value else "0"


def _axis(rows: Sequence[Dot], *, signed: bool) -> tuple[list[float], str]:
    """Return round ticks around all that is drawn, and the format of their labels."""
    ends = [bound for row in rows for bound in (row.value, *(row.interval or ()))]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    if signed:
        low, high = min(low, 0.0), max(high, 0.0)
        least = 0.5
    else:
        least = _LEAST_SPAN
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [round(step * i, 6) for i in range(first, last + 1)]
    if not signed:
        ticks = [tick for tick in ticks if 0 <= tick <= 100]
    digits = max(0, -math.floor(math.log10(step)))
    return [tick + 0.0 for tick in ticks], f"{'+' if signed else ''}.{digits}f"


def _short(name: str, most: int) -> str:
    """Return a name of at most so many letters; names of models differ at their ends."""
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


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


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'
