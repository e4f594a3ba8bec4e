"""A table in the form that is asked for: for a terminal, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Literal, get_args

from ugc_tasks.common.display import shown

Format = Literal["table", "markdown", "latex", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

_LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "−": r"$-$",
    }
)


def render(rows: Sequence[Sequence[str]], form: Format) -> list[str]:
    """Return the lines of a table: the first row is its head, the first column names."""
    rows = [[shown(cell) for cell in row] for row in rows]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(_harmless, row) for row in rows)
        return text.getvalue().splitlines()
    if form == "latex":
        lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in rows]
        columns = "l" + "r" * (len(rows[0]) - 1)
        begin = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
        return [*begin, *lines[1:], r"\bottomrule", r"\end{tabular}"]
    if form == "markdown":
        rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    if form == "table":
        return ["  ".join(row).rstrip() for row in padded]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return ["| " + " | ".join(row) + " |" for row in (padded[0], rule, *padded[1:])]


def _harmless(cell: str) -> str:
    """Return a cell that a spreadsheet does not take for a formula; numbers stay numbers."""
    formula = cell.startswith(("=", "@")) or (cell.startswith(("+", "-")) and not _is_number(cell))
    return f"'{cell}" if formula else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
