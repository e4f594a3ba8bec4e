"""From a judgment of a background or objects answer to the metrics of its clip.

An answer without a judgment has no score: it is missing from the means and counted. The authors'
scripts count a request that failed and a reply that does not parse as a 0 instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ugc_tasks.judge.settings import interval_of
from ugc_tasks.judge.types import Judgment
from ugc_tasks.lmms.metrics import judged_row
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.reliability import Noise, measured, paragraph

PERCENT = 100
"""A judgment of 0-1 on the published scale of 0-100."""

VALUES: Mapping[str, str] = MappingProxyType({"background": "consistent", "objects": "match_score"})
"""The value of a judgment that is a question's score, by question."""


def score_of(question: str, judgment: Judgment) -> float | None:
    """Return the score (0-100) of one answer, None where it was not judged.

    ``background``: 100 where answer and reference tell of the same changes, else 0, so that the
    mean is the published accuracy. ``objects``: the share of the reference's objects that the
    answer has; the published figure is the mean of the clips' shares, long lists counting as much
    as short ones. Raises ``KeyError`` for another question, and for a judgment of another one.
    """
    value = VALUES[question]
    return None if judgment.scores is None else judgment.scores[value] * PERCENT


def answer_metrics(
    video_id: str,
    answer: ModelAnswer,
    judgment: Judgment | None,
    *,
    question: str,
    label: str,
    wanted: int,
) -> dict[str, Any]:
    """Return the metrics of one clip, which are also its row in the samples file.

    The score stands under the question's name. An answer that there is none of is in
    ``answer_failed``, like one that the model reported as failed; one that the judge gave no score
    is in ``judge_failed``.

    Args:
        video_id: the clip.
        answer: what the model answered, or why it did not.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        question: ``background`` or ``objects``.
        label: the judge's name in the results.
        wanted: clips with a reference for this question, those included that this run leaves out.
    """
    row = judged_row(
        video_id,
        answer,
        judgment,
        label=label,
        wanted=wanted,
        value=question,
    )
    score = None if judgment is None else score_of(question, judgment)
    return row if score is None else row | {question: score}


def noise(items: Sequence[str]) -> str:
    """Return how noisy the judge is (``results.reliability.paragraph``); an aggregation."""
    return paragraph(noise_figures(items, interval_of(os.environ)))


def noise_figures(items: Sequence[str], interval: float) -> dict[str, Noise]:
    """Return the judge's noise by question, from clips' ``judge_noise``; see ``agreement.py``."""
    return measured(items, factor=PERCENT, points=False, interval=interval)
