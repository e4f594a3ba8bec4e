"""One table in four forms."""

from __future__ import annotations

import csv

import pytest

from ugc_tasks.results.tables import FORMATS, render

ROWS = [["", "new", "difference"], ["visual", "59.4", "+3.7"], ["average", "60.0", "-0.8"]]


def test_on_a_terminal_numbers_are_on_the_right() -> None:
    assert render(ROWS, "table") == [
        "          new  difference",
        "visual   59.4        +3.7",
        "average  60.0        -0.8",
    ]


def test_markdown_aligns_its_columns() -> None:
    assert render(ROWS, "markdown") == [
        "|         |  new | difference |",
        "| ------- | ---: | ---------: |",
        "| visual  | 59.4 |       +3.7 |",
        "| average | 60.0 |       -0.8 |",
    ]


def test_latex_has_booktabs_rules() -> None:
    assert render(ROWS, "latex") == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & new & difference \\",
        r"\midrule",
        r"visual & 59.4 & +3.7 \\",
        r"average & 60.0 & -0.8 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_is_read_back_as_it_was() -> None:
    assert list(csv.reader(render(ROWS, "csv"))) == ROWS


@pytest.mark.parametrize(
    ("form", "cell", "harmless"),
    [
        ("latex", r"a_b & 5% {x} \y", r"a\_b \& 5\% \{x\} \textbackslash{}y"),
        ("markdown", "a|b", r"a\|b"),
        ("csv", "=1+1", "'=1+1"),
        ("csv", "@x", "'@x"),
        ("csv", "-cmd", "'-cmd"),
        ("csv", "-1.5", "-1.5"),
        *((form, "a\x1b[2Jb", None) for form in FORMATS),
    ],
)
def test_a_name_forges_nothing(form: str, cell: str, harmless: str | None) -> None:
    text = "\n".join(render([["", "x"], [cell, "1"]], form))  # type: ignore[arg-type]
    if harmless is not None:
        assert harmless in text
    assert "\x1b" not in text
    assert "\n" not in text.replace("\n", "", text.count("\n"))
