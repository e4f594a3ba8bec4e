"""Past the last day of its judge an evaluation makes no answers: nobody could judge them.

Known when a task is loaded, decided when lmms-eval begins to evaluate: only then is it known which
tasks are to be judged (``--predict_only``) and which model answers. A model that has its answers
already shows them (``show_stored``); any other would make new ones.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.lmms.hooks import item_of
from ugc_tasks.results.answer_text import model_answer
from ugc_tasks.run import current_run

Shown = Sequence[tuple[Any, str | None]]
"""Documents with their answers; None for one that is yet to be made."""


def extend(module: Any) -> None:
    """Have ``evaluate`` of ``lmms_eval.evaluator`` look for judges that have ended."""
    original = module.evaluate

    @functools.wraps(original)
    def evaluate(lm: Any, task_dict: Any, *args: Any, **kwargs: Any) -> Any:
        tasks = {each.task_name: each.task for each in module.get_task_list(task_dict)}
        ended = {
            name: (short, judge)
            for name, task in tasks.items()
            if (short := _judged(task)) and (judge := current_run(short).judge) and judge.ended
        }
        if show := getattr(lm, "show_stored", None):
            show({name: partial(_check, *of_task) for name, of_task in ended.items()})
        elif ended:
            said = sorted({judge.ended for _, judge in ended.values()})
            raise JudgeConfigError(f"{'; '.join(said)}; no answer is made")
        return original(*args, lm=lm, task_dict=task_dict, **kwargs)

    module.evaluate = evaluate


def _judged(task: Any) -> str:
    """Return the short name of a task of ours whose answers will be scored; empty for another."""
    metadata = getattr(getattr(task, "config", None), "metadata", None)
    if not isinstance(metadata, Mapping) or "annotations_sha256" not in metadata:
        return ""
    # Source: lmms_eval.evaluator, "predict_only": it overrides the task's metrics by "bypass".
    return "" if "bypass" in task._metric_fn_list else str(metadata["task"])


def _check(task: str, judge: Judge, shown: Shown) -> None:
    """Raise ``JudgeConfigError`` unless all answers are there, and a judgment of some is."""
    if missing := sum(text is None for _, text in shown):
        raise JudgeConfigError(
            f"{judge.ended}; {missing} of {len(shown)} answers are not on disk, and none is made: "
            "the samples file of an earlier run is scored by `ugc-videocap score`"
        )
    answers = [(document, model_answer(text, task)) for document, text in shown]
    items = [item_of(document, answer.text) for document, answer in answers if not answer.failure]
    # Another rank may have those that are judged.
    if items and os.environ.get("WORLD_SIZE", "1") == "1":
        judge.check_end(items)
