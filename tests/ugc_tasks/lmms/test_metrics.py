"""How the rows of clips become metrics: counts, coverage, and the mean of eight columns."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ugc_tasks.estimate.model import interval
from ugc_tasks.lmms.metrics import (
    caption_noise,
    count,
    count_flags,
    count_heard,
    coverage,
    detail_noise,
    estimate_interval,
    one_label,
    overall,
    part_of_overall,
)
from ugc_tasks.results.rows import columns


def part(number: int, mean: float) -> dict[str, Any]:
    return {"columns": number, "of": 8, "mean": mean}


# --- the mean of the eight columns ----------------------------------------------------------------


def test_a_row_carries_its_columns_and_their_part_in_the_overall_mean() -> None:
    assert columns({"tone": 50.0}) == {"tone": 50.0, "overall": part(1, 50.0)}
    row = columns({"visual": 100.0, "audio": 80.0, "details": 60.0})
    assert row["overall"] == part(3, 80.0)


def test_a_tasks_part_is_the_mean_over_its_clips() -> None:
    parts = [columns({"tone": value})["overall"] for value in (100.0, 0.0, 0.0)]
    assert part_of_overall(parts) == part(1, 100 / 3)


def test_the_overall_mean_weighs_columns_alike_not_tasks_and_not_clips() -> None:
    captions = part_of_overall(
        [columns({"visual": 90.0, "audio": 60.0, "details": 90.0})["overall"]]
    )
    others = [part_of_overall([columns({"x": value})["overall"]]) for value in (10, 20, 30, 40, 50)]
    sizes = [1, 1000, 2, 3, 4, 5]
    expected = (90 + 60 + 90 + 10 + 20 + 30 + 40 + 50) / 8
    assert overall([captions, *others], sizes, False) == expected
    assert overall([*others, captions], sizes, False) == expected


@pytest.mark.parametrize(
    ("parts", "mean"),
    [([part(3, 80.0), part(1, 40.0)], part(4, 70.0)), ([part(1, 40.0)], part(1, 40.0))],
)
def test_a_mean_of_fewer_columns_says_how_many(
    parts: list[dict[str, Any]], mean: dict[str, Any]
) -> None:
    assert overall(parts, [5] * len(parts), False) == mean


# --- counts ---------------------------------------------------------------------------------------


def test_entries_that_are_not_empty_are_counted() -> None:
    assert count(["PI-1", "", "PI-3"]) == 2
    assert count([""]) == 0


def test_the_coverage_of_all_clips_is_exactly_one() -> None:
    assert coverage([{"scored": True, "of": 999}] * 999) == 1.0
    assert coverage([{"scored": s, "of": 4} for s in (True, False, True)]) == 0.5


def test_clips_with_audio_are_counted_if_the_model_reports_it() -> None:
    assert count_heard(["heard", "no track", "unknown"]) == 1
    assert count_heard(["no", "no"]) == 0
    assert count_heard(["unknown", "unknown"]) == "unknown"


def test_a_label_of_a_mixed_result_names_all_in_it() -> None:
    assert one_label(["b", "a", "b", ""]) == "a + b"
    assert one_label(["", ""]) == "unknown"
    assert one_label(["a + b", "b", "a"]) == "a + b", "a clip's own mixture is no third judge"


def test_names_that_others_chose_are_harmless_in_the_results_table() -> None:
    assert one_label(["gpt\x1b[2J\nfp", "gpt\x1b[2J\nfp"]) == r"gpt\x1b[2J fp"
    assert count_flags([["cut\x1b[2J\u202e"]]) == {
        "answers": 1,
        "flags": {r"cut\x1b[2J\u202e": 1},
    }


def test_flags_are_counted_with_the_answers_that_have_some() -> None:
    both, one, clean = ["token_limit", "repetition"], ["token_limit"], list[str]()
    counted = count_flags([both, clean, one])
    assert counted == {"answers": 2, "flags": {"token_limit": 2, "repetition": 1}}
    assert list(counted["flags"]) == ["token_limit", "repetition"], "the most common first"
    assert next(iter(count_flags([["repetition"], one, one])["flags"])) == "token_limit"
    assert count_flags([clean, clean]) == {"answers": 0, "flags": {}}


def test_where_no_model_reports_flags_there_is_no_count_of_them() -> None:
    assert count_flags([None, None]) is None
    assert count_flags([None, ["repetition"]]) == {"answers": 1, "flags": {"repetition": 1}}


# --- figures of the whole -------------------------------------------------------------------------


def test_the_estimated_average_has_an_interval_around_it() -> None:
    low, high = interval("average", 80.0, 2)
    assert estimate_interval([{"average": 70.0}, {"average": 90.0}]) == {"low": low, "high": high}


def test_the_noise_of_the_judge_is_on_the_scale_of_the_results() -> None:
    captions = caption_noise([{"audio": [4, 5]}])
    assert captions["audio"]["judge_variance"] == 200, "grades of 20 points, one apart"
    assert captions["audio"]["within_one"] == 1.0
    shares = detail_noise([{"background": [1, 0, 1, 1]}])
    assert shares["background"]["judge_variance"] == 2500, "0 and 100 apart"
    assert shares["background"]["within_one"] is None, "no points to be within one of"


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
    parts = [part_of_overall([columns(values)["overall"]]) for values in by_task]
    mean = overall(parts, [1] * len(parts), False)
    assert isinstance(mean, float)
    assert math.floor(10 * mean + 1e-9) / 10 == printed


@pytest.mark.parametrize("wanted", [1.0, 5.0])
def test_the_noise_says_how_many_repeats_are_enough_for_the_interval_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: float
) -> None:
    monkeypatch.setenv("UGC_JUDGE_INTERVAL", str(wanted))
    captions = caption_noise([{"visual": [4, 5]}, {"visual": [3, 4]}])
    shares = detail_noise([{"objects": [0.5, 1]}, {"objects": [0, 0.5]}])
    assert captions["visual"]["interval"] == shares["objects"]["interval"] == wanted
