"""Plots: what is drawn is what the table beside it says, and no name is markup."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from ugc_tasks.report.charts import Dot, Plot, bars, dots, heat_map

HOSTILE = '<script>alert(1)</script>" onload="x'


def shapes(plot: Plot, kind: str) -> list[dict[str, str]]:
    """Return the attributes of a plot's shapes of one class."""
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  our own
    return [dict(each.attrib) for each in root.iter() if each.get("class") == kind]


def texts(plot: Plot) -> list[str]:
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  our own
    return [each.text or "" for each in root.iter() if each.tag == "text"]


def test_bars_are_as_tall_as_their_counts_and_labelled() -> None:
    plot = bars("visual", "What.", ["20", "40", "60"], {"": [2, 1, 0]}, axis="visual, 20 to 100")
    heights = [float(bar["height"]) for bar in shapes(plot, "bar")]
    assert heights[0] == pytest.approx(2 * heights[1])
    assert heights[2] == 0
    assert {"20", "40", "60", "2", "1", "0", "visual, 20 to 100 · bars: clips"} <= set(texts(plot))
    assert plot.head == ("visual, 20 to 100", "clips")
    assert plot.rows == [["20", "2"], ["40", "1"], ["60", "0"]]


def test_bars_of_several_runs_stand_side_by_side_as_shares_of_each() -> None:
    plot = bars("v", "c", ["20", "40"], {"new": [10, 10], "old": [1, 3]}, axis="v")
    other, fourth = shapes(plot, "bar hollow")[1:]  # the first is in the legend
    first, second = shapes(plot, "bar")[1:]
    assert float(first["height"]) == pytest.approx(float(second["height"]))
    assert float(fourth["height"]) == pytest.approx(3 * float(other["height"]), rel=0.01)
    assert float(first["height"]) == pytest.approx(2 * float(other["height"]), rel=0.01)
    assert float(first["x"]) < float(other["x"]) < float(second["x"]) < float(fourth["x"])
    assert plot.head == ("v", "new", "old")
    assert plot.rows == [["20", "10", "1"], ["40", "10", "3"]]
    assert {"new", "old"} <= set(texts(plot)), "a legend"


def test_a_heat_map_counts_what_came_together() -> None:
    pairs = [("40", "20"), ("40", "20"), ("100", "100")]
    plot = heat_map(
        "t", "c", pairs, across=("audio", ["20", "40", "100"]), down=("visual", ["20", "100"])
    )
    assert plot.head == ("visual ↓ audio →", "20", "40", "100")
    assert plot.rows == [["20", "0", "2", "0"], ["100", "0", "0", "1"]]
    shades = [float(cell["fill-opacity"]) for cell in shapes(plot, "cell")]
    assert sorted(shades)[-2:] == [0.27, 0.5]
    assert max(shades) == 0.5, "a number in it can be read"


def test_dots_lie_where_their_values_are() -> None:
    rows = [Dot("new", 50.0, (40.0, 60.0), 7), Dot("published", 75.0, ours=False)]
    plot = dots("average", "What it shows.", rows)
    [ours], [theirs] = shapes(plot, "dot"), shapes(plot, "other")
    [bar] = shapes(plot, "range")
    assert float(bar["x1"]) < float(ours["cx"]) < float(bar["x2"]) < float(theirs["cx"])
    assert float(ours["cx"]) == pytest.approx((float(bar["x1"]) + float(bar["x2"])) / 2, abs=0.1)
    assert plot.rows == [["new", "50.0", "[40.0, 60.0]", "7"], ["published", "75.0", "", ""]]
    assert {"40", "50", "60", "70", "80"} <= set(texts(plot))


def test_an_axis_ends_where_figures_do_and_small_differences_do_not_fill_it() -> None:
    ticks = texts(dots("t", "c", [Dot("a", 99.9, (99.8, 100.0)), Dot("b", 99.7)]))
    assert "100" in ticks
    assert "105" not in ticks
    close = dots("t", "c", [Dot("a", 50.0), Dot("b", 50.1)])
    left, right = shapes(close, "dot")
    assert abs(float(left["cx"]) - float(right["cx"])) < 5


def test_differences_lie_on_both_sides_of_nothing() -> None:
    plot = dots("d", "c", [Dot("a", -2.0), Dot("b", 3.0, (1.0, 5.0))], signed=True)
    [zero] = shapes(plot, "zero")
    left, right = shapes(plot, "dot")
    assert float(left["cx"]) < float(zero["x1"]) < float(right["cx"])
    assert plot.rows == [["a", "-2.0", ""], ["b", "+3.0", "[+1.0, +5.0]"]]
    assert {"−2", "0", "+2"} <= set(texts(plot))


def test_equal_values_are_a_plot_too() -> None:
    for rows in ([Dot("a", 0.0)], [Dot("a", 100.0), Dot("b", 100.0)], []):
        assert dots("t", "c", rows).svg.startswith("<svg")
        assert dots("t", "c", rows, signed=True).svg.startswith("<svg")


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    [name] = [
        t for t in texts(dots("t", "c", [Dot("some-lab/" + "x" * 40 + "-20k", 50.0)])) if "x" in t
    ]
    assert name.startswith("some-lab/")
    assert name.endswith("-20k")
    assert len(name) <= 26


@pytest.mark.parametrize(
    "plot",
    [
        bars(HOSTILE, HOSTILE, [HOSTILE], {HOSTILE: [1], "b": [2]}, axis=HOSTILE, counted=HOSTILE),
        heat_map(
            *(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)]),
            across=(HOSTILE, [HOSTILE]),
            down=(HOSTILE, [HOSTILE]),
        ),
        dots(HOSTILE, HOSTILE, [Dot(HOSTILE, 50.0)]),
    ],
    ids=["bars", "heat map", "dots"],
)
def test_a_name_is_text_and_no_markup(plot: Plot) -> None:
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  our own
    assert {each.tag for each in root.iter()} <= {"svg", "rect", "text", "line", "circle"}
    assert not any(name.startswith("on") for each in root.iter() for name in each.attrib)
