"""When lmms-eval begins: what cannot run is left out, and what does not reach the model is said.

lmms-eval has no hook there, so its ``evaluator`` is extended (``register.py``). A task of ours that
lacks its data is left out where other suites are asked for as well; ``ugc_replay`` leaves out the
tasks of which it has nothing. Both are in the results under ``not_run``, with the reason. Judges
that have ended are looked for at the same place (``ended.py``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ugc_tasks.common.display import UserError, logger
from ugc_tasks.results.lmms_models import sound_left_out, writes_nothing_for_failures

_log = logger(__name__)
_answering: dict[str, Any] = {}  # what is known of the model whose answers are being scored
_not_run: dict[str, str] = {}  # tasks that were not loaded, until the evaluation begins


def extend(evaluator: Any) -> None:
    """Extend ``lmms_eval.evaluator``: the loading of tasks, and the evaluation."""
    from ugc_tasks.lmms.ended import check_judges  # imports hooks.py, which imports this

    load, run = evaluator.get_task_dict, evaluator.evaluate

    @functools.wraps(load)
    def get_task_dict(tasks: Any, *args: Any, **kwargs: Any) -> Any:
        _not_run.clear()
        try:
            return load(tasks, *args, **kwargs)
        except UserError:
            if not isinstance(tasks, list) or len(tasks) < 2:
                raise
            found = _each(load, tasks, *args, **kwargs)
            if all(map(_is_ours, _leaves(found).values())):
                raise
        for name, why in _not_run.items():
            _log.error("%s is left out of this run, the others go on: %s", name, why)
        return found

    @functools.wraps(run)
    def evaluate(lm: Any, task_dict: Any, *args: Any, **kwargs: Any) -> Any:
        leaves, lost = _leaves(task_dict), dict(_not_run)
        _not_run.clear()
        if refused := getattr(lm, "cannot_answer", None):
            lost |= refused(leaves)
            task_dict = _without(task_dict, lost)
        ours = {name: task for name, task in leaves.items() if _is_ours(task)}
        if ours:
            _answering.update(_known_of(lm))
        try:
            check_judges(lm, {name: task for name, task in ours.items() if name not in lost})
            results = run(lm, task_dict, *args, **kwargs)
        finally:
            _answering.clear()
        for name, why in lost.items():
            _log.warning("%s was not run: %s", name, why)
        if results is not None and lost:
            results["not_run"] = lost
        return results

    evaluator.get_task_dict, evaluator.evaluate = get_task_dict, evaluate


def told_of(answer: Any) -> Mapping[str, Any] | None:
    """Return what is known of an answer: what its model reported, or else what is known of that."""
    reported = getattr(answer, "generation", None)
    if reported is not None or not _answering:
        return reported
    known = dict(_answering["generation"])
    if isinstance(answer, str) and not answer.strip() and _answering["blank"]:
        known["error"] = _answering["blank"]
    return known or None


def _known_of(lm: Any) -> dict[str, Any]:
    """Return what is known of a model of lmms-eval's; say so where it gets no sound."""
    name = type(lm).__module__.rpartition(".")[2]
    why = sound_left_out(lm)
    if why and getattr(lm, "rank", 0) == 0:
        _log.warning(
            "audio used: no. With lmms-eval's %s the sound of a clip is %s: "
            "what is said of it is a guess.",
            *(name, why),
        )
    blank = f"an empty text, which lmms-eval's {name} gives where it failed"
    return {
        "generation": {"heard": False, "sound_missing": why} if why else {},
        "blank": blank if writes_nothing_for_failures(lm) else "",
    }


def _each(load: Any, tasks: list[Any], *args: Any, **kwargs: Any) -> dict[Any, Any]:
    """Load the tasks one by one, and note those that lack something of ours."""
    found: dict[Any, Any] = {}
    for task in tasks:
        try:
            found |= load([task], *args, **kwargs)
        except UserError as error:
            _not_run[str(task)] = str(error)
    return found


def _is_ours(task: Any) -> bool:
    config = getattr(task, "config", None)
    return "annotations_sha256" in (getattr(config, "metadata", None) or {})


def _leaves(tasks: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the tasks by name, those in groups included."""
    found: dict[str, Any] = {}
    for name, task in tasks.items():
        if isinstance(task, dict):
            found |= _leaves(task)
        else:
            found[str(name)] = task
    return found


def _without(tasks: Mapping[Any, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    """Return the tasks without those of some names, nor groups that have no others."""
    kept = {}
    for name, task in tasks.items():
        if isinstance(task, dict):
            if inner := _without(task, names):
                kept[name] = inner
        elif name not in names:
            kept[name] = task
    return kept
