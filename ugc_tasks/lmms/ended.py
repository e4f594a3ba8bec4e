"""Past the last day of its judge an evaluation makes no answers: nobody could judge them.

Known when a task is loaded, decided when lmms-eval begins to evaluate: only then is it known which
tasks are to be judged (``--predict_only``) and which model answers. A model that has its answers
already shows them (``show_stored``); any other would make new ones.
"""

from __future__ import annotations

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


def check_judges(lm: Any, ours: Mapping[str, Any]) -> None:
    """Look for judges of our tasks, by name, that have ended.

    A model that can show its answers is given a check for each such task; raises
    ``JudgeConfigError`` for any other model.
    """
    ended = {
        name: (short, judge)
        for name, task in ours.items()
        if (short := _judged(task)) and (judge := current_run(short).judge) and judge.ended
    }
    if show := getattr(lm, "show_stored", None):
        show({name: partial(_check, *of_task) for name, of_task in ended.items()})
    elif ended:
        said = sorted({judge.ended for _, judge in ended.values()})
        raise JudgeConfigError(f"{'; '.join(said)}; no answer is made")


def _judged(task: Any) -> str:
    """Return the short name of a task of ours whose answers will be scored; empty for another."""
    # Source: lmms_eval.evaluator, "predict_only": it overrides the task's metrics by "bypass".
    return "" if "bypass" in task._metric_fn_list else str(task.config.metadata["task"])


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
