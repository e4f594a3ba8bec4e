"""The functions that the YAML files of the choice questions name.

A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ugc_tasks.choice.accuracy import accuracy, choice_row
from ugc_tasks.lmms.hooks import fields, received
from ugc_tasks.run import current_run

__getattr__ = fields("voice_source", "tone", "bgm")


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    run, task = current_run(doc["task"]), doc["task"]
    row = choice_row(
        *(task, doc["video_id"], received(results, task).read, doc["answer"], doc["options"]),
        clip=run.clips.get(doc["video_id"]),
        wanted=run.wanted,
    )
    return run.keep(row)


def macro_f1(items: Sequence[Sequence[str | None] | None]) -> float | None:
    """Return the macro-F1 of pairs of label and chosen option, on 0-100."""
    pairs = [item for item in items if item is not None]
    if not pairs:
        return None
    figures = accuracy([str(pair[0]) for pair in pairs], [pair[1] for pair in pairs])
    return float(figures["macro_f1"])


def constant_answer(items: Sequence[str | None]) -> float | None:
    """Return the accuracy of always giving the most frequent label, on 0-100."""
    labels = [item for item in items if item is not None]
    return 100 * max(Counter(labels).values()) / len(labels) if labels else None
