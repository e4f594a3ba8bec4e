"""The functions that the YAML files of the captions name: thin, one a field.

lmms-eval executes this file afresh for every ``!function`` of the YAML, so it holds no state.
"""

from __future__ import annotations

from typing import Any

from ugc_tasks.caption.metrics import clip_metrics
from ugc_tasks.lmms.hooks import fields
from ugc_tasks.lmms.metrics import columns
from ugc_tasks.lmms.prefetch import judge_answer, received
from ugc_tasks.run import current_run

__getattr__ = fields("caption", "audio_caption", "visual_caption")


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the row of a clip, judged."""
    run = current_run(doc["task"])
    answer = received(results, run.spec.name)
    row = clip_metrics(
        doc["video_id"],
        answer.read,
        judge_answer(doc, answer, run.judge) if run.judge is not None else None,
        label=run.judging["label"],
        estimate=run.judging["estimate"],
        wanted=run.wanted,
    )
    if run.spec.columns:
        values = {name: row[name] for name in run.spec.columns if name in row}
        return {**row, **columns(values)} if values else row
    # A caption of one side: its one dimension is the task's own figure, no published column.
    side = run.spec.name.removesuffix("_caption")
    return {run.spec.name if key == side else key: value for key, value in row.items()}
