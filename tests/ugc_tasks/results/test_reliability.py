"""How far a judge agrees with itself: what came of the repeats, and the figures of them."""

from __future__ import annotations

import pytest

from ugc_tasks.results.reliability import describe_repeats, measured, table, total_repeats


def repeats(came: int, wanted: int) -> dict[str, int]:
    return {"came": came, "wanted": wanted}


@pytest.mark.parametrize(
    ("items", "counts", "line"),
    [
        ([repeats(3, 3)] * 4, (3, 12, 12, 0, 0), "3 of each clip, all 12 came"),
        (
            [repeats(3, 3), repeats(2, 3), repeats(0, 3)],
            (3, 9, 5, 1, 1),
            "3 of each clip, 5 of 9 came (clips with fewer: 1, with none: 1)",
        ),
        (
            [repeats(3, 3), repeats(2, 2)],
            (3, 5, 5, 0, 0),
            "3 of each clip, all 5 came",
        ),
    ],
    ids=["all", "some", "runs that were mixed"],
)
def test_judgments_are_counted_and_clips_that_lack_some(
    items: list[dict[str, int]], counts: tuple[int, ...], line: str
) -> None:
    total = total_repeats(items)
    names = ("repeats", "judgments_wanted", "judgments", "clips_with_fewer", "clips_with_none")
    assert total == dict(zip(names, counts, strict=True))
    assert describe_repeats(total) == line


def test_figures_are_on_the_published_scale_and_the_average_is_each_judgments_own() -> None:
    items = [
        {"visual": [4, 5], "audio": [4, 3], "details": [4, 4]},
        {"visual": [1, 1], "audio": [1, 1], "details": [1, 1]},
    ]
    noise = measured(items, factor=20, points=True, interval=0.5)
    assert list(noise) == ["visual", "audio", "details", "average"]
    assert noise["visual"]["judge_variance"] == noise["audio"]["judge_variance"] == 100
    assert noise["average"]["judge_variance"] == pytest.approx(0), "what one lost the other gained"
    assert noise["visual"]["exact"] == 0.5
    assert noise["average"]["exact"] == 1


def test_a_single_value_has_no_average_beside_it() -> None:
    items = [{"objects": [0.5, 0.75]}, {"objects": [1, 1]}]
    noise = measured(items, factor=100, points=False, interval=0.5)
    assert list(noise) == ["objects"]
    assert noise["objects"]["within_one"] is None


def test_the_table_has_a_line_for_each_value_and_says_what_is_enough() -> None:
    noise = measured([{"audio": [4, 5]}, {"audio": [1, 1]}], factor=20, points=True, interval=0.25)
    head, line, foot = table(noise)
    assert head.split()[:2] == ["judge's", "variance"]
    assert line.split()[:3] == ["audio", "100.0", "2400.0"]
    assert "±0.25" in foot


def test_a_figure_that_cannot_be_computed_is_a_dash() -> None:
    noise = measured([{"audio": [4]}], factor=20, points=True, interval=0.5)
    assert noise["audio"]["judgments"] == 1
    assert table(noise)[1].split() == ["audio", "-", "-", "undefined", "-", "-", "-", "(-)", "-"]
