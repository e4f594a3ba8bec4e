"""How the rows of clips become metrics: means, counts as texts, and the mean of eight columns."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from ugc_tasks.judge.types import Judgment, Scores, Usage, mean_judgment
from ugc_tasks.lmms.metrics import (
    base_row,
    columns,
    count,
    count_flags,
    count_heard,
    judged_row,
    one_label,
    overall,
    part_of_overall,
    share,
)
from ugc_tasks.results.answer_text import ModelAnswer, model_answer

TEXT = ModelAnswer("text")

# --- the mean of the eight columns ----------------------------------------------------------------


def test_a_row_carries_its_columns_and_their_part_in_the_overall_mean() -> None:
    assert columns({"tone": 50.0}) == {"tone": 50.0, "overall": "1 of 8 columns, mean 50.0"}
    row = columns({"visual": 100.0, "audio": 80.0, "details": 60.0})
    assert row["overall"] == "3 of 8 columns, mean 80.0"


def test_a_tasks_part_is_the_mean_over_its_clips() -> None:
    parts = [columns({"tone": value})["overall"] for value in (100.0, 0.0, 0.0)]
    assert part_of_overall(parts) == f"1 of 8 columns, mean {100 / 3!r}"


def test_the_overall_mean_weighs_columns_alike_not_tasks_and_not_clips() -> None:
    captions = part_of_overall(
        [columns({"visual": 90.0, "audio": 60.0, "details": 90.0})["overall"]]
    )
    others = [part_of_overall([columns({"x": value})["overall"]]) for value in (10, 20, 30, 40, 50)]
    sizes = [1, 1000, 2, 3, 4, 5]
    expected = (90 + 60 + 90 + 10 + 20 + 30 + 40 + 50) / 8
    assert overall([captions, *others], sizes, False) == expected
    assert overall([*others, captions], sizes, False) == expected


def test_fractions_survive_the_way_through_text() -> None:
    third = 100 / 3
    parts = [part_of_overall([columns({"x": third})["overall"]]) for _ in range(8)]
    assert overall(parts, [1] * 8, False) == third


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["3 of 8 columns, mean 80.0", "1 of 8 columns, mean 40.0"], "4 of 8 columns, mean 70.0"),
        (["1 of 8 columns, mean 40.0"], "1 of 8 columns, mean 40.0"),
    ],
)
def test_a_mean_of_fewer_columns_says_of_how_many_it_is(parts: list[str], said: str) -> None:
    assert overall(parts, [5] * len(parts), False) == said


# --- counts ---------------------------------------------------------------------------------------


def test_counts_are_of_what_there_is_to_tell() -> None:
    assert count(["PI-1", "", "PI-3"]) == 2
    assert count([""]) == 0


def test_the_coverage_of_all_clips_is_exactly_one() -> None:
    assert share(["1/999"] * 999) == 1.0
    assert share(["1/4", "0/4", "1/4"]) == 0.5


def test_clips_are_heard_or_nobody_told() -> None:
    assert count_heard(["heard", "no track", "unknown"]) == 1
    assert count_heard(["no", "no"]) == 0
    assert count_heard(["unknown", "unknown"]) == "unknown"


def test_a_label_of_a_mixed_result_names_all_in_it() -> None:
    assert one_label(["b", "a", "b", ""]) == "a + b"
    assert one_label(["", ""]) == "unknown"
    assert one_label(["a + b", "b", "a"]) == "a + b", "a clip's own mixture is no third judge"


def test_names_that_others_chose_are_harmless_in_the_results_table() -> None:
    assert one_label(["gpt\x1b[2J\nfp", "gpt\x1b[2J\nfp"]) == r"gpt\x1b[2J fp"
    assert count_flags(["cut\x1b[2J\u202e x"]) == r"1: 1 cut\x1b[2J\u202e, 1 x"


# --- what a row says of its clip ------------------------------------------------------------------


def test_an_answer_without_a_score_is_counted_as_missing_and_not_as_a_zero() -> None:
    row = base_row("PI-1", model_answer(" \n", "tone"), scored=False, wanted=10)
    assert (row["n"], row["coverage"]) == ("", "0/10")
    assert row["answer_failed"] == "the model gave no answer"
    assert row["clips_heard"] == "unknown"


def test_what_the_model_told_of_its_answer_is_in_the_row() -> None:
    told = {"heard": False, "sound_missing": "no track", "decoding": "greedy", "error": ""}
    row = base_row(
        "PI-1", ModelAnswer("text", generation=told), scored=True, wanted=4, subject="caption"
    )
    assert (row["n"], row["coverage"], row["caption_failed"]) == ("PI-1", "1/4", "")
    assert (row["clips_heard"], row["decoding"]) == ("no track", "greedy")
    assert row["generation"] == told


@pytest.mark.parametrize(
    ("heard", "counted"), [(True, "heard"), (False, "no"), ("yes", "no"), (1, "no"), (None, "no")]
)
def test_only_a_plain_yes_counts_as_heard(heard: object, counted: str) -> None:
    told = ModelAnswer("text", generation={"heard": heard})
    assert base_row("PI-1", told, scored=True, wanted=4)["clips_heard"] == counted


@pytest.mark.parametrize("flags", ["token_limit", None, [1], ["cut", None]])
def test_flags_of_another_form_tell_nothing(flags: object) -> None:
    told = ModelAnswer("text", generation={"flags": flags})
    assert base_row("PI-1", told, scored=True, wanted=4)["flagged"] == "unknown"


def test_what_is_suspicious_of_an_answer_is_in_the_row_and_counted() -> None:
    told = {"flags": ["token_limit", "repetition"]}
    flagged = base_row("PI-1", ModelAnswer("text", generation=told), scored=True, wanted=4)[
        "flagged"
    ]
    clean = base_row("PI-2", ModelAnswer("text", generation={"flags": []}), scored=True, wanted=4)[
        "flagged"
    ]
    silent = base_row("PI-3", TEXT, scored=True, wanted=4)["flagged"]
    assert (flagged, clean, silent) == ("token_limit repetition", "", "unknown")
    assert count_flags([flagged, clean, "token_limit"]) == "2: 2 token_limit, 1 repetition"
    assert count_flags(["repetition", *["token_limit"] * 2]) == "3: 2 token_limit, 1 repetition"
    assert count_flags([clean, clean]) == "0"
    assert count_flags([silent, silent]) == "unknown"
    assert count_flags([silent, flagged]) == "1: 1 token_limit, 1 repetition"


@pytest.mark.parametrize(
    ("answer", "failed"),
    [("text", ("", "the judge was silent")), ("", ("the model gave no answer", ""))],
    ids=["the judge's", "the model's"],
)
def test_a_missing_score_is_one_sides_failure(answer: str, failed: tuple[str, str]) -> None:
    judgment = Judgment("PI-1", None, failure="the judge was silent")
    read = model_answer(answer, "objects")
    row = judged_row("PI-1", read, judgment, label="rubric", wanted=2)
    assert (row["answer_failed"], row["judge_failed"]) == failed
    assert row["n"] == ""


def test_a_judged_row_says_who_judged_and_what_was_said() -> None:
    judgment = Judgment("PI-1", Scores(consistent=1.0), reply="yes!", model="m-1")
    row = judged_row("PI-1", TEXT, judgment, label="rubric:x", wanted=2)
    assert (row["judge"], row["judge_reply"], row["judge_model"]) == ("rubric:x", "yes!", "m-1")
    assert (row["n"], row["judge_failed"]) == ("PI-1", "")


@pytest.mark.parametrize("stored", [False, True])
def test_a_judged_row_says_whether_it_was_paid_for_in_this_run(stored: bool) -> None:
    usage = Usage(700, 18, 0.002)
    judgment = Judgment("PI-1", Scores(consistent=1.0), stored=stored, usage=usage)
    row = judged_row("PI-1", TEXT, judgment, label="paper", wanted=2)
    assert row["judge_stored"] is stored
    assert row["judge_spent"] == {
        "stored": stored, "prompt_tokens": 700, "completion_tokens": 18, "usd": 0.002,
    }  # fmt: skip


def test_a_failure_without_a_word_is_counted_as_one() -> None:
    row = judged_row("PI-1", TEXT, Judgment("PI-1", failure=""), label="paper", wanted=2)
    assert count([row["judge_failed"]]) == 1


def test_whatever_an_endpoint_says_the_row_can_be_written_down() -> None:
    judgment = Judgment("PI-1", Scores(consistent=1.0), reply="half \ud800", model="m\udfff")
    row = judged_row("PI-1", TEXT, judgment, label="paper", wanted=2)
    assert "half ?" in json.dumps(row, ensure_ascii=False, allow_nan=False).encode().decode()


def test_a_clip_that_was_judged_several_times_has_all_of_it_in_its_row() -> None:
    ran: dict[str, Any] = {"model": "m", "usage": Usage(700, 18, 0.002)}
    parts = (
        Judgment("PI-1", Scores(match_score=0.5), reply="half", fingerprint="fp_2", **ran),
        Judgment("PI-1", failure="no object: {", reply="?", fingerprint="fp_1", **ran),
        Judgment("PI-1", Scores(match_score=1.0), reply="all", fingerprint="fp_2", **ran),
    )
    row = judged_row("PI-1", TEXT, mean_judgment(parts), label="paper", wanted=2, value="objects")
    assert row["judge_repeats"] == "2 of 3: no object: {"
    assert row["judge_noise"] == "objects 0.5 1"
    assert row["judge_reply"] == ["half", "?", "all"]
    assert row["judge_ran"] == "m fp_1 + m fp_2"
    assert [each["usd"] for each in row["judge_spent"]] == [0.002] * 3
    assert (row["n"], row["judge_failed"]) == ("PI-1", "")


def test_a_clip_of_which_no_repeat_came_failed_and_has_no_noise() -> None:
    parts = [Judgment("PI-1", failure="no object", model="m"), Judgment("PI-1", failure="401")]
    row = judged_row("PI-1", TEXT, mean_judgment(parts), label="paper", wanted=2)
    assert (row["judge_failed"], row["judge_repeats"]) == ("401", "0 of 2: 401 + no object")
    assert row["judge_ran"] == "m", "of the other nobody said what ran"
    assert "judge_noise" not in row


def test_a_clip_that_was_judged_once_has_no_repeats_in_its_row() -> None:
    judgment = Judgment("PI-1", Scores(consistent=1.0))
    row = judged_row("PI-1", TEXT, judgment, label="paper", wanted=2)
    assert not {"judge_repeats", "judge_noise"} & set(row)


def test_what_was_changed_in_an_answer_before_it_was_sent_is_in_its_row_and_counted() -> None:
    changed = Judgment("PI-1", Scores(consistent=1.0), sanitized=("hidden", "label"))
    rows = [
        judged_row("PI-1", ModelAnswer("A dog."), judgment, label="paper", wanted=2)
        for judgment in (changed, Judgment("PI-1", Scores(consistent=1.0)), None)
    ]
    sanitized = [row["sanitized"] for row in rows]
    assert sanitized == ["hidden label", "", ""]
    assert count_flags(sanitized) == "1: 1 hidden, 1 label"


def test_where_nobody_judges_nobody_fails() -> None:
    row = judged_row("PI-1", TEXT, None, label="none", wanted=2)
    assert (row["judge"], row["judge_failed"], row["n"]) == ("none", "", "")
    assert "judge_reply" not in row


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
