"""From a judgment to lmms-eval's metrics of a clip, and from those to the results.

A clip without a judgment has no score: it is missing from the means and counted. Counts travel as
text, because lmms-eval computes a standard error of every number, and one of a count means nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.settings import interval_of
from ugc_tasks.judge.types import Judgment
from ugc_tasks.lmms.metrics import judged_row
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.reliability import Noise, measured, paragraph

__all__ = [
    "DIMENSIONS",
    "ESTIMATE",
    "ESTIMATE_INTERVAL",
    "ESTIMATE_UNLIKE",
    "SCALE",
    "average_interval",
    "clip_metrics",
    "noise",
    "noise_figures",
]

SCALE = 20
"""A score of 1-5 on the published scale of 20-100."""

ESTIMATE = "_estimate"
"""Suffix of the metrics of the offline profile: an estimate never stands under a score's name."""

ESTIMATE_INTERVAL = "interval_of_estimate"
ESTIMATE_UNLIKE = "unlike_of_estimate"
"""Rows of the offline profile alone: how far off the estimate may be, and which captions are unlike
those that it was fitted on. A group would mistake names with ``average`` in them for that."""


def clip_metrics(
    video_id: str,
    caption: ModelAnswer,
    judgment: Judgment | None,
    *,
    label: str,
    estimate: bool,
    wanted: int,
) -> dict[str, Any]:
    """Return the metrics of one clip, which are also its row in the samples file.

    Each dimension of the judgment is one. Captions have all three, and their average; a caption of
    the picture or of the sound alone has one, and no average.

    Args:
        video_id: the clip.
        caption: what the model answered, or why it did not.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        label: the judge's name in the results.
        estimate: whether the scores are the offline estimate.
        wanted: clips in the whole benchmark, those included that this run leaves out.
    """
    row = judged_row(
        video_id,
        caption,
        judgment,
        label=label,
        wanted=wanted,
        subject="caption",
    )
    if judgment is None or judgment.scores is None:
        return row
    suffix = ESTIMATE if estimate else ""
    values = {name: float(score) * SCALE for name, score in judgment.scores.items()}
    row |= {name + suffix: value for name, value in values.items()}
    if set(values) == set(DIMENSIONS):
        row["average" + suffix] = fmean(values.values())
        if estimate:
            # Text: lmms-eval computes a standard error of numbers, and this has an interval.
            row[ESTIMATE_INTERVAL] = repr(row["average" + suffix])
            row[ESTIMATE_UNLIKE] = judgment.unlike
    return row


def average_interval(items: Sequence[str]) -> str:
    """Return the 95 % interval of the estimated average: ``estimate 57.3 to 66.9``."""
    from ugc_tasks.estimate import interval

    values = [float(item) for item in items]
    low, high = interval("average", fmean(values), len(values))
    return f"estimate {low:.1f} to {high:.1f}"


def noise(items: Sequence[str]) -> str:
    """Return how noisy the judge is (``results.reliability.paragraph``); an aggregation."""
    return paragraph(noise_figures(items, interval_of(os.environ)))


def noise_figures(items: Sequence[str], interval: float) -> dict[str, Noise]:
    """Return the judge's noise by dimension, from clips' ``judge_noise``; see ``agreement.py``."""
    return measured(items, factor=SCALE, points=True, interval=interval)
