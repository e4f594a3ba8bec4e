"""Scoring answers of a loaded task as lmms-eval's evaluator does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lmms_eval import evaluator
from lmms_eval.api.task import ConfigurableTask


def scored(
    task: ConfigurableTask,
    answers: Sequence[Any],
    *,
    reasoning_tags: Any = (("<think>", "</think>"), ("<analysis>", "</analysis>")),
    **selection: int,
) -> list[dict[str, Any]]:
    """Return the rows of the answers: filter, then four threads.

    ``reasoning_tags`` is lmms-eval's setting of that name and its default; None: switched off.
    """
    task.build_all_requests(rank=0, world_size=1, **selection)
    for request, answer in zip(task.instances, answers, strict=True):
        request.resps.append(answer)
    task.apply_filters()
    documents = task.test_docs()
    items = [(r.doc_id, documents[r.doc_id], [r]) for r in task.instances]
    score = partial(
        evaluator._process_document_results,
        task=task,
        filter_key="none",
        reasoning_tags=reasoning_tags,
        log_samples=True,
    )
    return [done.metrics for done in evaluator._thread_map_ordered(score, items, max_workers=4)]


def reported(task: ConfigurableTask, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the task's metrics over the rows: of each, over the rows that have it."""
    values = {m: [row[m] for row in rows if m in row] for m in task.aggregation()}
    return {m: aggregate(values[m]) for m, aggregate in task.aggregation().items() if values[m]}
