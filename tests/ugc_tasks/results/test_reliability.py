"""The judge's noise in rows and results: compact texts that figures are made of again."""

from __future__ import annotations

import pytest

from ugc_tasks.judge.types import Judgment, Scores, mean_judgment
from ugc_tasks.results.reliability import as_json, came, count, entries, measured, paragraph, said

ALONE = Judgment("v", Scores(4, 3, 5))
FAILED = Judgment("v", failure="the reply is empty: 0 of 1 objects")


def judged(*grades: tuple[int, int, int]) -> Judgment:
    return mean_judgment([Judgment("v", Scores(*each)) for each in grades])


# ---- a clip's row ----


def test_what_each_judgment_said_stands_in_order_by_dimension() -> None:
    assert (
        said(judged((4, 3, 5), (4, 3, 4), (5, 3, 5))) == "visual 4 4 5; audio 3 3 3; details 5 4 5"
    )


def test_shares_are_short_and_whole_numbers_have_no_point() -> None:
    shares = [Judgment("v", Scores(match_score=x)) for x in (2 / 3, 1.0, 0.0)]
    assert said(mean_judgment(shares), name="objects") == "objects 0.666667 1 0"


def test_how_many_came_has_the_reasons_of_those_that_did_not() -> None:
    assert came(judged((4, 3, 5), (4, 3, 4))) == "2 of 2"
    short = mean_judgment([ALONE, FAILED, FAILED])
    assert came(short) == f"1 of 3: {FAILED.failure}"
    assert said(short) == "visual 4; audio 3; details 5"


def test_a_judgment_that_stands_alone_has_no_entry() -> None:
    assert entries(ALONE) == entries(FAILED) == {}
    assert list(entries(mean_judgment([FAILED, FAILED]))) == ["judge_repeats"]


# ---- the results ----


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (["3 of 3"] * 4, "3 of each clip, all 12 came"),
        (
            ["3 of 3", "2 of 3: 1 of 9: x", "0 of 3: y"],
            "3 of each clip, 5 of 9 came (clips with fewer: 1, with none: 1)",
        ),
        (["3 of 3", "2 of 2"], "2 + 3 of each clip, all 5 came"),
    ],
    ids=["all", "some", "runs that were mixed"],
)
def test_judgments_are_counted_and_clips_that_lack_some(items: list[str], told: str) -> None:
    assert count(items) == told


def test_figures_are_on_the_published_scale_and_the_average_is_each_judgments_own() -> None:
    items = [said(judged((4, 4, 4), (5, 3, 4))), said(judged((1, 1, 1), (1, 1, 1)))]
    noise = measured(items, factor=20, points=True, interval=0.5)
    assert list(noise) == ["visual", "audio", "details", "average"]
    assert noise["visual"].judge_variance == noise["audio"].judge_variance == 100
    assert noise["average"].judge_variance == pytest.approx(0), "what one lost the other gained"
    assert noise["visual"].exact == 0.5
    assert noise["average"].exact == 1


def test_a_single_value_has_no_average_beside_it() -> None:
    noise = measured(["objects 0.5 0.75", "objects 1 1"], factor=100, points=False, interval=0.5)
    assert list(noise) == ["objects"]
    assert noise["objects"].within_one is None


def test_the_paragraph_says_what_its_figures_are() -> None:
    noise = measured(["audio 4 5", "audio 1 1"], factor=20, points=True, interval=0.25)
    heading, _, figures = paragraph(noise).partition(": ")
    assert heading.count(" / ") == figures.count(" / ") == 6
    assert heading.endswith("repeats enough for ±0.25")
    assert figures.startswith("audio 100.0 / 2400.0 / 0.9")
    assert "\n" not in paragraph(noise)


def test_what_nothing_tells_is_a_dash_and_not_a_number() -> None:
    noise = measured(["audio 4"], factor=20, points=True, interval=0.5)
    assert paragraph(noise).endswith(": audio - / - / undefined / - / - / - (-) / -")


def test_machines_get_plain_numbers() -> None:
    items = ["2 of 2", "1 of 2: x", "0 of 2: x"]
    noise = measured(["audio 4 5", "audio 2"], factor=20, points=True, interval=0.5)
    told = as_json(items, noise)
    assert told["values"]["audio"]["judgments"] == 3
    del told["values"]
    assert told == {
        "repeats": 2,
        "judgments_wanted": 6,
        "judgments": 3,
        "clips_with_fewer": 1,
        "clips_with_none": 1,
    }
