"""The four measures, by hand on small texts and by the published figures on recorded answers."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

import pytest

from tests.support.growth import assert_linear
from tests.support.reference import reference_dir
from ugc_tasks.ocr.answers import MAX_CHARS
from ugc_tasks.ocr.overlap import ocr_overlap, overlap, unigram_precision


def test_equal_texts_overlap_wholly_and_different_ones_not_at_all() -> None:
    assert overlap("one two three", "one two three").score == 1.0
    assert overlap("one two three", "four five six").score == 0.0
    assert overlap("", "one two").score == 0.0


def test_a_word_counts_as_often_as_the_reference_has_it() -> None:
    assert unigram_precision("go go go go", "go go stop") == 0.5


def test_words_are_ascii_words_with_their_apostrophe() -> None:
    assert unigram_precision("don't stop", "don't stop") == 1.0
    assert unigram_precision("don t", "don't") == 0.0
    assert unigram_precision("привет", "привет") == 0.0


def test_rouge_is_the_f_measure_of_stems() -> None:
    found = overlap("running dogs", "run dog now")
    assert found.unigram_precision == 0.0, "no stemming there"
    assert found.rouge1 == pytest.approx(2 * (1 * 2 / 3) / (1 + 2 / 3))
    assert found.rouge2 == pytest.approx(2 * (1 * 1 / 2) / (1 + 1 / 2))
    assert found.rougeL == found.rouge1
    assert found.score == pytest.approx((found.rouge1 + found.rouge2 + found.rougeL) / 4)


def test_order_matters_for_the_longest_common_subsequence() -> None:
    found = overlap("three two one", "one two three")
    assert (found.rouge1, found.rouge2) == (1.0, 0.0)
    assert found.rougeL == pytest.approx(1 / 3)


def test_an_answer_that_is_left_out_has_no_overlap_to_tell() -> None:
    assert ocr_overlap("", ["text"], "skip") is None
    empty = ocr_overlap("", ["text"], "score")
    assert empty is not None
    assert empty.score == 0.0


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
        ("ocr_omni3b.jsonl", 0.5753, 669, 0.5608),
    ],
)
def test_recorded_answers_give_the_published_figures_in_both_modes(
    file: str, skip: float, skip_n: int, score: float
) -> None:
    lines = (reference_dir() / "ocr" / file).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]

    def figures(mode: Any) -> tuple[float, int]:
        every = (ocr_overlap(row["predict_ocr"], row["ocr"], mode) for row in rows)
        found = [one.score for one in every if one is not None]
        return round(fmean(found), 4), len(found)

    assert figures("skip") == (skip, skip_n)
    assert figures("score") == (score, 826)
