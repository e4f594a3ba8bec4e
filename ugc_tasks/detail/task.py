"""The functions that the YAML files of background and objects name."""

from __future__ import annotations

from typing import Any

from ugc_tasks.detail.metrics import answer_metrics
from ugc_tasks.lmms.hooks import fields
from ugc_tasks.lmms.metrics import columns
from ugc_tasks.lmms.prefetch import judge_answer, received
from ugc_tasks.run import current_run

__getattr__ = fields("background", "objects")


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the row of a clip, judged."""
    run = current_run(doc["task"])
    answer = received(results, run.spec.name)
    row = answer_metrics(
        doc["video_id"],
        answer.read,
        judge_answer(doc, answer, run.judge) if run.judge is not None else None,
        question=run.spec.name,
        label=run.judging["label"],
        wanted=run.wanted,
    )
    score = row.get(run.spec.name)
    return row if score is None else {**row, **columns({run.spec.name: score})}
