"""From a judgment to lmms-eval's metrics of a clip, and from those to the results.

A clip without a judgment has no score: it is missing from the means and counted. Counts travel as
text, because lmms-eval computes a standard error of every number, and one of a count means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from statistics import fmean
from typing import Any

from ugc_tasks.judge.judgment import Judgment

DIMENSIONS = ("visual", "audio", "details")
SCALE = 20
"""A score of 1-5 on the published scale of 20-100."""

ESTIMATE = "_estimate"
"""Suffix of the metrics of the offline profile: an estimate never stands under a score's name."""

NO_CAPTION = "the model gave no caption"


def clip_metrics(
    video_id: str,
    caption: str,
    judgment: Judgment | None,
    *,
    label: str,
    estimate: bool,
    wanted: int,
    generation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the metrics of one clip, which are also its row in the samples file.

    Args:
        video_id: the clip.
        caption: what the model answered.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        label: the judge's name in the results.
        estimate: whether the scores are the offline estimate.
        wanted: clips in the whole benchmark, those included that this run leaves out.
        generation: what the model told of the caption, None if it told nothing.
    """
    scores = judgment.scores if judgment is not None else None
    row: dict[str, Any] = {
        "video_id": video_id,
        "judge": label,
        "n": video_id if scores is not None else "",
        "coverage": f"{int(scores is not None)}/{wanted}",
        "caption_failed": _caption_failure(caption, generation),
        "judge_failed": "",
        "clips_heard": _heard(generation),
        "decoding": str((generation or {}).get("decoding") or ""),
        "generation": dict(generation) if generation is not None else None,
    }
    if judgment is None:
        return row
    row |= {
        "judge_reply": judgment.reply,
        "judge_model": judgment.model,
        "judge_fingerprint": judgment.fingerprint,
        "judge_stored": judgment.stored,
    }
    if scores is None:
        if not row["caption_failed"]:
            row["judge_failed"] = judgment.failure or "no judgment"
        return row
    suffix = ESTIMATE if estimate else ""
    values = {name: float(getattr(scores, name)) * SCALE for name in DIMENSIONS}
    row |= {name + suffix: value for name, value in values.items()}
    row["average" + suffix] = fmean(values.values())
    return row


def _caption_failure(caption: str, generation: Mapping[str, Any] | None) -> str:
    if generation is not None and generation.get("error"):
        return str(generation["error"])
    return "" if caption.strip() else NO_CAPTION


def _heard(generation: Mapping[str, Any] | None) -> str:
    if generation is None:
        return "unknown"
    return "heard" if generation.get("heard") else str(generation.get("sound_missing") or "no")


def count(items: Sequence[str]) -> int:
    """Count the clips of which there is something to tell."""
    return sum(1 for item in items if item)


def share(items: Sequence[str]) -> float:
    """Add up each clip's share of the whole benchmark."""
    return float(sum(Fraction(item) for item in items))


def count_heard(items: Sequence[str]) -> int | str:
    """Count the clips whose sound reached the model; ``unknown`` where no model told."""
    if all(item == "unknown" for item in items):
        return "unknown"
    return sum(item == "heard" for item in items)


def one_label(items: Sequence[str]) -> str:
    """Return the judge's label; several in one result would be a mixture, and are all named."""
    return " + ".join(sorted(set(items) - {""})) or "unknown"
