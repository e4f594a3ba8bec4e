"""How much of two texts is the same: the four measures of the published OCR column.

Clipped unigram precision (BLEU-1 without brevity penalty) over case-insensitive ASCII words, and
the F-measures of ROUGE-1, -2 and -L with stemming, by the ``rouge-score`` library. A clip's score
is the mean of the four, on 0-1.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import astuple, dataclass
from functools import cache
from statistics import fmean
from typing import Any

from ugc_tasks.ocr.answers import Mode, prediction_text, reference_text

MEASURES = ("unigram_precision", "rouge1", "rouge2", "rougeL")

_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)?")


@dataclass(frozen=True)
class Overlap:
    """The four measures of one clip, each on 0-1."""

    unigram_precision: float
    rouge1: float
    rouge2: float
    rougeL: float

    @property
    def score(self) -> float:
        """Mean of the four."""
        return fmean(astuple(self))


def ocr_overlap(prediction: Any, reference: list[str], mode: Mode) -> Overlap | None:
    """Return how an OCR answer overlaps with the reference; None where ``skip`` leaves it out."""
    text = prediction_text(prediction, mode)
    return None if text is None else overlap(text, reference_text(reference, mode))


def overlap(prediction: str, reference: str) -> Overlap:
    """Return the overlap of two texts that were prepared for comparison."""
    rouge = _scorer().score(reference, prediction)
    return Overlap(
        unigram_precision(prediction, reference),
        *(float(rouge[name].fmeasure) for name in MEASURES[1:]),
    )


def unigram_precision(prediction: str, reference: str) -> float:
    """Return the share of the prediction's words that the reference has, each as often as there."""
    words = Counter(_WORD.findall(prediction))
    if not words:
        return 0.0
    return (words & Counter(_WORD.findall(reference))).total() / words.total()


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(MEASURES[1:]), use_stemmer=True)
