"""Plots: what is drawn is what the table beside it says, and no name is markup."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from ugc_tasks.report.charts import Dot, Plot, by_slice, dots, heat_map, histogram

HOSTILE = '<script>alert(1)</script>" onload="x'


def shapes(plot: Plot, kind: str) -> list[dict[str, str]]:
    """Return the attributes of a plot's shapes of one class."""
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  our own
    return [dict(each.attrib) for each in root.iter() if each.get("class") == kind]


def test_a_histogram_counts_what_is_in_each_bin() -> None:
    plot = histogram("visual", [20.0, 29.9, 30.0, 100.0], (20, 30, 90))
    assert plot.rows == [["20", "2"], ["30", "1"], ["90", "1"]]
    heights = [float(bar["height"]) for bar in shapes(plot, "bar")]
    assert heights[0] == pytest.approx(2 * heights[1]) == pytest.approx(2 * heights[2])
    assert plot.caption.startswith("visual: mean 45.0 [")
    assert plot.caption.endswith("4 clips.")


def test_a_score_under_the_lowest_bin_is_in_it() -> None:
    assert histogram("tone", [0.0], (20, 30)).rows == [["20", "1"], ["30", "0"]]


def test_a_heat_map_counts_pairs_of_points() -> None:
    plot = heat_map("visual", "audio", [(20, 40), (20, 40), (100, 100)])
    assert plot.head == ("audio", "1", "2", "3", "4", "5")
    assert plot.rows[1] == ["2", "2", "0", "0", "0", "0"]
    assert plot.rows[4] == ["5", "0", "0", "0", "0", "1"]
    shades = [float(cell["fill-opacity"]) for cell in shapes(plot, "bar")]
    assert sorted(shades)[-2:] == [0.5, 1.0]


def test_dots_lie_where_their_values_are() -> None:
    rows = [Dot("new", 50.0, (40.0, 60.0), 7), Dot("published", 75.0, ours=False)]
    plot = dots("average", "What it shows.", rows)
    [ours], [theirs] = shapes(plot, "dot"), shapes(plot, "other")
    [bar] = shapes(plot, "range")
    assert float(bar["x1"]) < float(ours["cx"]) < float(bar["x2"]) < float(theirs["cx"]) + 60
    assert float(ours["cx"]) == pytest.approx((float(bar["x1"]) + float(bar["x2"])) / 2)
    assert plot.rows == [["new", "50.0", "[40.0, 60.0]", "7"], ["published", "75.0", "", ""]]


def test_differences_lie_on_both_sides_of_nothing() -> None:
    plot = dots("d", "c", [Dot("a", -2.0), Dot("b", 3.0)], signed=True)
    [zero] = shapes(plot, "mean")
    left, right = shapes(plot, "dot")
    assert float(left["cx"]) < float(zero["x1"]) < float(right["cx"])
    assert [row[1] for row in plot.rows] == ["-2.0", "+3.0"]


def test_parts_of_the_clips_have_their_means() -> None:
    clips = {f"PI-{i}": {"average": 20.0 * i} for i in range(1, 5)}
    slices = {"sound": {"silent": ["PI-1", "PI-2"], "with sound": ["PI-3", "PI-4", "PI-9"]},
              "tone": {"Positive": ["PI-1"]}}  # fmt: skip
    [plot] = by_slice("average", clips, slices)
    assert [row[:2] for row in plot.rows] == [["silent", "30.0"], ["with sound", "70.0"]]
    assert [row[3] for row in plot.rows] == ["2", "2"]


@pytest.mark.parametrize(
    "plot",
    [
        histogram(HOSTILE, [20.0], (20,)),
        heat_map(HOSTILE, HOSTILE, [(20, 20)]),
        dots(HOSTILE, HOSTILE, [Dot(HOSTILE, 50.0)]),
    ],
    ids=["histogram", "heat map", "dots"],
)
def test_a_name_is_text_and_no_markup(plot: Plot) -> None:
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  our own
    assert {each.tag for each in root.iter()} <= {"svg", "rect", "text", "line", "circle"}
    assert not any(name.startswith("on") for each in root.iter() for name in each.attrib)
