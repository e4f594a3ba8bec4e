"""OCR answers: the text that they come to, its overlap with the reference, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import assert_linear
from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.ocr.overlap import (
    MAX_CHARS,
    ocr_overlap,
    overlap,
    prediction_text,
    reference_text,
    score,
    unigram_precision,
)
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers
from ugc_tasks.results.scoring import Report, SavedRun

TEXTS = ["Wait, WHAT?", "it's 5 o'clock"]
READ = "wait what it's 5 o'clock"


@pytest.mark.parametrize(
    "prediction",
    [
        TEXTS,
        {"ocr": TEXTS},
        json.dumps(TEXTS),
        json.dumps({"ocr": TEXTS}),
        json.dumps({"ocr": TEXTS}, indent=2),
        f"```json\n{json.dumps({'ocr': TEXTS})}\n```",
        f"```\n{json.dumps(TEXTS)}```",
        {"ocr": json.dumps(TEXTS)},
        {"ocr": TEXTS, "bg_ocr": ["more"]},
        {"ocr": " ".join(TEXTS)},
    ],
)
def test_lists_and_json_are_read_alike_in_both_modes(prediction: Any) -> None:
    assert prediction_text(prediction, "score") == READ
    assert prediction_text(prediction, "skip") == READ


def test_broken_json_is_compared_as_it_stands_or_by_what_is_quoted() -> None:
    broken = '{"ocr": ["Wait, WHAT?", "it\'s 5 o\'clock", "and th'
    assert prediction_text(broken, "score") == f"{READ} and th"
    # The name of the field is a quoted text too, in the script whose mode this is.
    assert prediction_text(broken, "skip") == f"ocr {READ}"


def test_prose_is_compared_as_it_stands_or_by_what_is_quoted() -> None:
    prose = 'The sign says "Wait!" and later "WHAT?".'
    assert prediction_text(prose, "score") == "the sign says wait and later what"
    assert prediction_text(prose, "skip") == "wait what"
    assert prediction_text("There is a sign.", "skip") is None


@pytest.mark.parametrize("empty", ["", None, [], {"ocr": []}, '{"ocr": []}', "```json\n[]\n```"])
def test_an_empty_answer_is_no_overlap_in_the_one_mode_and_left_out_in_the_other(
    empty: Any,
) -> None:
    assert prediction_text(empty, "score") == ""
    assert prediction_text(empty, "skip") is None


@pytest.mark.parametrize("blank", [{}, "{}", {"ocr": [""]}, [" "]])
def test_an_answer_of_another_form_is_not_left_out(blank: Any) -> None:
    assert prediction_text(blank, "score") == ""
    assert prediction_text(blank, "skip") == ""


def test_numbers_in_a_list_are_texts_and_the_rest_is_passed_over() -> None:
    assert prediction_text([2024, "Paris", None, True, ["x"], 1.5], "score") == "2024 paris 15"


def test_line_breaks_separate_words_also_where_they_are_escaped_twice() -> None:
    assert prediction_text(["one\ntwo\\nthree"], "score") == "one two three"
    assert prediction_text(["one\ntwo\\nthree\\tfour"], "skip") == "one two three four"


def test_the_reference_keeps_its_punctuation_in_one_mode() -> None:
    assert reference_text(["Sen.Sanders", "Yes, No?"], "score") == "sen.sanders yes, no?"
    assert reference_text(["Sen.Sanders", "Yes, No?"], "skip") == "sensanders yes no"


@pytest.mark.parametrize("mode", ["score", "skip"])
def test_of_an_endless_answer_a_bounded_part_is_compared(mode: Any) -> None:
    text = prediction_text(["NINJA"] * 100_000, mode)
    assert text is not None
    assert len(text) == MAX_CHARS == 32_768
    assert text.startswith("ninja ninja")


@pytest.mark.parametrize("mode", ["score", "skip"])
@pytest.mark.parametrize("deep", ["[" * 50_000, '{"ocr":' * 50_000, '"ocr":' * 50_000])
def test_deep_nesting_is_text_like_any_other(mode: Any, deep: str) -> None:
    text = prediction_text(deep, mode)
    assert text is None or len(text) <= MAX_CHARS


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("ocr"), inner, max_size=1),
    max_leaves=6,
)


@given(JSON | st.text(), st.sampled_from(["score", "skip"]))
def test_no_answer_breaks_the_reading(prediction: Any, mode: Any) -> None:
    text = prediction_text(prediction, mode)
    assert text is None or text == text.lower() or not text.isascii()
    assert mode == "skip" or text is not None


# --- The four measures, by hand on small texts and by the published figures on record ---


def test_equal_texts_overlap_wholly_and_different_ones_not_at_all() -> None:
    assert overlap("one two three", "one two three")["score"] == 1.0
    assert overlap("one two three", "four five six")["score"] == 0.0
    assert overlap("", "one two")["score"] == 0.0


def test_a_word_counts_as_often_as_the_reference_has_it() -> None:
    assert unigram_precision("go go go go", "go go stop") == 0.5


def test_words_are_ascii_words_with_their_apostrophe() -> None:
    assert unigram_precision("don't stop", "don't stop") == 1.0
    assert unigram_precision("don t", "don't") == 0.0
    assert unigram_precision("привет", "привет") == 0.0


def test_rouge_is_the_f_measure_of_stems() -> None:
    found = overlap("running dogs", "run dog now")
    assert found["unigram_precision"] == 0.0, "no stemming there"
    assert found["rouge1"] == pytest.approx(2 * (1 * 2 / 3) / (1 + 2 / 3))
    assert found["rouge2"] == pytest.approx(2 * (1 * 1 / 2) / (1 + 1 / 2))
    assert found["rougeL"] == found["rouge1"]
    assert found["score"] == pytest.approx(
        (found["rouge1"] + found["rouge2"] + found["rougeL"]) / 4
    )


def test_order_matters_for_the_longest_common_subsequence() -> None:
    found = overlap("three two one", "one two three")
    assert (found["rouge1"], found["rouge2"]) == (1.0, 0.0)
    assert found["rougeL"] == pytest.approx(1 / 3)


def test_an_answer_that_is_left_out_has_no_overlap() -> None:
    assert ocr_overlap("", ["text"], "skip") is None
    empty = ocr_overlap("", ["text"], "score")
    assert empty is not None
    assert empty["score"] == 0.0


def test_time_grows_with_the_answer_and_not_with_its_square() -> None:
    truth = ["b a " * 80]
    assert_linear(lambda text: ocr_overlap(text, truth, "score"), "a b " * 250, "a b " * 2_000)


def test_an_endless_answer_is_cut_before_it_is_compared() -> None:
    truth = ["b a " * 80]
    endless = ocr_overlap("a b " * 1_000_000, truth, "score")
    assert endless == ocr_overlap(("a b " * 10_000)[:MAX_CHARS], truth, "score")


@pytest.mark.parametrize(
    ("file", "skip", "skip_n", "score"),
    [
        ("gemini-2.5-flash.jsonl", 0.7138, 794, 0.6938),
        ("gemma_e2b_ocr_output_cleaned.jsonl", 0.0950, 825, 0.0975),
        ("ocr_omni3b.jsonl", 0.5753, 669, None),  # 0.5608: cli/test_score.py
    ],
)
def test_recorded_answers_give_the_published_figures_in_both_modes(
    file: str, skip: float, skip_n: int, score: float | None
) -> None:
    lines = (reference_dir() / "ocr" / file).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]

    def figures(mode: Any) -> tuple[float, int]:
        every = (ocr_overlap(row["predict_ocr"], row["ocr"], mode) for row in rows)
        found = [one["score"] for one in every if one is not None]
        return round(fmean(found), 4), len(found)

    assert figures("skip") == (skip, skip_n)
    if score is not None:
        assert figures("score") == (score, 826)


# --- Saved OCR answers, scored ---

ANSWERS = {
    "PI-1": SavedAnswer({"ocr": ["one two"]}, reference=["one two"]),
    "PI-2": SavedAnswer("", reference=["three"]),
    "PI-3": SavedAnswer('["four"]', reference=["five"]),
}


def request(folder: Path, answers: Any, mode: str = "score", **changed: Any) -> SavedRun:
    home = Home(root=None, videos=folder, cache=folder / "cache", allow_partial=False)
    saved = SavedAnswers(folder / "saved.jsonl", answers)
    return SavedRun(**({"task": "ocr", "answers": saved, "home": home, "environ": {},
                       "mode": mode} | changed))  # fmt: skip


def scored(folder: Path, answers: Any, mode: str = "score", **changed: Any) -> Report:
    return score(request(folder, answers, mode, **changed))


def test_an_empty_answer_counts_in_one_mode_and_is_left_out_in_the_other(tmp_path: Path) -> None:
    report = scored(tmp_path, ANSWERS)
    assert (report.n, report.facts["skipped"]) == (3, 0)
    assert report.metrics["ocr"] == pytest.approx(100 / 3)
    report = scored(tmp_path, ANSWERS, "skip")
    assert (report.n, report.facts["skipped"]) == (2, 1)
    assert report.metrics["ocr"] == pytest.approx(50)
    assert report.items[1]["skipped"] == "no list of texts in the answer"
    assert report.complete(), "left out as the mode has it"


def test_the_score_is_the_mean_of_its_four_measures(tmp_path: Path) -> None:
    report = scored(tmp_path, ANSWERS)
    measures = [value for name, value in report.metrics.items() if name != "ocr"]
    assert len(measures) == 4
    assert report.metrics["ocr"] == pytest.approx(sum(m or 0 for m in measures) / 4)
    assert set(report.ci95) == set(report.metrics)


def test_a_failure_is_no_zero(tmp_path: Path) -> None:
    broken = ANSWERS | {"PI-3": SavedAnswer("", error="blocked", reference=["five"])}
    report = scored(tmp_path, broken)
    assert (report.n, report.failed) == (2, 1)
    assert report.metrics["ocr"] == pytest.approx(50)
    assert (report.items[0]["ocr"], report.items[0]["score"]) == (100.0, 1.0)
    assert report.items[2]["ocr"] is report.items[2]["score"] is None
    assert report.items[2]["failure"] == {"kind": "answer", "reason": "blocked"}
    assert not report.complete()


def test_references_in_the_answers_file_stand_in_for_annotations_and_that_is_said(
    tmp_path: Path,
) -> None:
    report = scored(tmp_path, ANSWERS)
    assert report.facts["references"] == "the answers' own file"
    assert "saved.jsonl itself; --references names others" in report.notes[0]


def test_annotations_at_hand_go_before_what_the_answers_file_says(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-3", "ocr": ["four"]}, {"video_id": "PI-4", "ocr": ["six"]}]
    (tmp_path / "ocr.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for where in (
        {"references": tmp_path},
        {"home": Home(root=tmp_path, videos=tmp_path, cache=tmp_path, allow_partial=False)},
    ):
        report = scored(tmp_path, ANSWERS, **where)
        assert (report.n, report.pairing.unknown, report.pairing.missing) == (
            1,
            ("PI-1", "PI-2"),
            ("PI-4",),
        )
        # One word alike: three measures of 1, and ROUGE-2 has no pair of words to find.
        assert report.metrics["ocr"] == 75


def test_references_that_were_asked_for_and_are_not_there_are_missed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ocr\.jsonl is not in .*: put it there as published"):
        scored(tmp_path, ANSWERS, references=tmp_path)


def test_without_any_reference_there_is_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"ocr\.jsonl could not be downloaded from "):
        scored(tmp_path, ANSWERS | {"PI-4": SavedAnswer("x")})


def test_a_reference_in_the_answers_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"saved\.jsonl: PI-1 needs a list of texts in 'ocr'"):
        scored(tmp_path, {"PI-1": SavedAnswer("x", reference="text")})
