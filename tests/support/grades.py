"""The scores of a caption, in the order in which the benchmark names them."""

from __future__ import annotations

from ugc_tasks.judge.types import Scores


def grades(visual: float, audio: float, details: float) -> Scores:
    """Return the scores by their names."""
    return {"visual": visual, "audio": audio, "details": details}
