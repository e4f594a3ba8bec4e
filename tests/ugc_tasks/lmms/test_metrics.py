"""How the rows of clips become metrics: counts, coverage, and the mean of eight columns."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.lmms.metrics import (
    count,
    coverage,
    failures,
    of_one_task,
    overall,
    part_of_overall,
)
from ugc_tasks.results import rows


def part(number: int, mean: float) -> dict[str, Any]:
    return {"columns": number, "of": 8, "mean": mean}


def task_part(**figures: float) -> dict[str, Any] | None:
    """Return the part of a task of one clip with these figures."""
    return part_of_overall([rows.part_of_overall(figures)])


# --- the mean of the eight columns ----------------------------------------------------------------


def test_a_tasks_part_is_the_mean_over_its_clips_that_have_a_score() -> None:
    parts = [rows.part_of_overall({"tone": value}) for value in (100.0, 0.0, 0.0)]
    assert part_of_overall([*parts, None]) == part(1, 100 / 3)
    assert part_of_overall([None]) is None


def test_the_overall_mean_weighs_columns_alike_not_tasks_and_not_clips() -> None:
    captions = task_part(visual=90.0, audio=60.0, details=90.0)
    others = [task_part(x=value) for value in (10, 20, 30, 40, 50)]
    sizes = [1, 1000, 2, 3, 4, 5]
    expected = (90 + 60 + 90 + 10 + 20 + 30 + 40 + 50) / 8
    assert overall([captions, *others], sizes, False) == expected
    assert overall([*others, captions], sizes, False) == expected


@pytest.mark.parametrize("parts", [[part(3, 80.0), part(1, 40.0)], [None], [part(7, 1.0), None]])
def test_there_is_no_mean_of_fewer_columns(parts: list[dict[str, Any] | None]) -> None:
    assert overall(parts, [5] * len(parts), False) is None


def test_a_group_has_the_figure_of_the_task_that_has_it() -> None:
    assert of_one_task([40.0], [5], False) == 40.0
    assert of_one_task([None], [5], False) is None


# --- counts ---------------------------------------------------------------------------------------


def test_entries_that_are_not_null_are_counted() -> None:
    assert count(["PI-1", None, "PI-3"]) == 2
    assert count([None]) == 0


def test_the_coverage_of_all_clips_is_exactly_one() -> None:
    assert coverage([{"scored": True, "of": 999}] * 999) == 1.0
    assert coverage([{"scored": s, "of": 4} for s in (True, False, True)]) == 0.5


def test_failures_are_counted_by_whose_they_are() -> None:
    mine, judge = {"kind": "caption", "reason": "cut"}, {"kind": "judge", "reason": "401"}
    assert failures([None, judge, mine, judge]) == {"caption": 1, "judge": 2}
    assert failures([None]) == {}


# Table 2 of the benchmark's paper: voice source, tone, OCR x 100, background, objects, audio,
# visual, detail; and the printed average, which is cut, not rounded, to one decimal.
PUBLISHED = {
    "Gemini-2.5-pro": ((71.5, 62.6, 69.3, 51.3, 38.7, 70.8, 75.8, 74.8), 64.3),
    "Gemini-2.5-flash": ((78.2, 64.1, 69.4, 53.6, 43.9, 74.2, 78.8, 77.2), 67.4),
    "Gemma-3n-E4B": ((65.6, 46.2, 12.4, 4.8, 15.9, 54.2, 54.6, 51.2), 38.1),
    "Gemma-3n-E2B": ((37.2, 28.7, 9.5, 9.3, 22.3, 52.0, 52.4, 49.6), 32.6),
    "Qwen2.5-Omni-7B": ((86.6, 44.9, 64.4, 21.6, 15.7, 57.6, 59.4, 57.0), 50.9),
    "Qwen2.5-Omni-3B": ((93.0, 46.9, 56.1, 18.4, 18.3, 48.2, 55.6, 52.6), 48.6),
    "MiniCPM-o-2.6": ((80.9, 29.0, 67.2, 26.1, 9.9, 46.0, 70.4, 62.4), 48.9),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_overall_is_the_published_average_of_the_published_columns(model: str) -> None:
    (voice, tone, ocr, background, objects, audio, visual, detail), printed = PUBLISHED[model]
    by_task = [
        {"visual": visual, "audio": audio, "details": detail},
        {"voice_source": voice},
        {"tone": tone},
        {"ocr": ocr},
        {"background": background},
        {"objects": objects},
    ]
    parts = [task_part(**values) for values in by_task]
    assert {name for values in by_task for name in values} == set(COLUMNS)
    mean = overall(parts, [1] * len(parts), False)
    assert isinstance(mean, float)
    assert math.floor(10 * mean + 1e-9) / 10 == printed
