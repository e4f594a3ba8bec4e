"""The functions that the YAML files of the choice questions name.

A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ugc_tasks.choice.accuracy import accuracy
from ugc_tasks.choice.matching import match_option
from ugc_tasks.lmms.hooks import fields, received
from ugc_tasks.results.rows import base_row, columns
from ugc_tasks.run import current_run

__getattr__ = fields("voice_source", "tone", "bgm")


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the row of a clip: right or wrong, or why there is no answer."""
    run = current_run(doc["task"])
    answer = received(results, run.spec.name).read
    row = base_row(
        doc["task"], doc["video_id"], answer, scored=not answer.failure, wanted=run.wanted
    )
    if answer.failure:
        return row
    label, chosen = doc["answer"], match_option(answer.text, doc["options"])
    right = 100.0 if chosen == label else 0.0
    return {
        **row,
        "label": label,
        "chosen": chosen,
        # Kept as pairs and texts: their metrics are of the whole, not means of the clips'.
        "macro_f1": [label, chosen],
        "constant_answer": label,
        "unanswered": "" if chosen is not None else "names no option, or several",
        **(columns({run.spec.name: right}) if run.spec.columns else {run.spec.name: right}),
    }


def macro_f1(items: Sequence[Sequence[str | None]]) -> float:
    """Return the macro-F1 of pairs of label and chosen option, on 0-100."""
    return float(accuracy([str(label) for label, _ in items], [i[1] for i in items])["macro_f1"])


def constant_answer(items: Sequence[str]) -> float:
    """Return the accuracy of always giving the most frequent label, on 0-100."""
    return 100 * max(Counter(items).values()) / len(items)
