"""The fields of a task's YAML: what lmms-eval asks of every task, in one place.

lmms-eval resolves ``!function NAME`` by ``getattr`` on a module, and takes whatever is there. A
``task.py`` beside the YAML therefore says ``__getattr__ = fields("tone", ...)``, and names like
``tone__dataset_kwargs`` are values, computed from the environment when the YAML is loaded. That is
the one place where an error of ours reaches the user as it is: from the dataset's download on,
lmms-eval would repeat it five times and wrap it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ugc_tasks.lmms.streaming import Messages
from ugc_tasks.run import current_run, new_run

if TYPE_CHECKING:
    from datasets import Dataset


def fields(*names: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a ``task.py`` for tasks by their short names.

    It knows ``NAME__dataset_kwargs``, ``NAME__metadata`` and ``NAME__process_docs``.
    """

    def attribute(name: str) -> Any:
        task, _, what = name.partition("__")
        if task not in names:
            raise AttributeError(name)
        if what == "dataset_kwargs":
            return _dataset_kwargs(task)
        if what == "metadata":
            return current_run(task).metadata()
        if what == "process_docs":
            return partial(process_docs, task)
        raise AttributeError(name)

    return attribute


def _dataset_kwargs(task: str) -> dict[str, Any]:
    run = new_run(task)
    layout = {} if run.spec.kind == "ocr" else {"field": "samples"}
    return {"data_files": {"test": str(run.annotation.path)}, **layout}


def process_docs(task: str, dataset: Dataset) -> Dataset:
    """Return the checked documents instead of the raw rows: ids, question, reference."""
    from datasets import Dataset

    return Dataset.from_list(current_run(task).documents())


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """Return the clip's path, for simple models."""
    return [str(current_run(doc["task"]).clip(doc["video_id"]))]


def doc_to_text(doc: dict[str, Any]) -> str:
    """Return the question, its options under it where it has some."""
    return str(doc["question"])


def doc_to_messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one user turn, the clip before the question, as the published runs had it.

    The list takes the answer, too, as soon as there is one: see ``early.py``.
    """
    clip = {"type": "video", "url": doc_to_visual(doc)[0]}
    turn = {"role": "user", "content": [clip, {"type": "text", "text": doc_to_text(doc)}]}
    return Messages([turn], doc)


def doc_to_target(doc: dict[str, Any]) -> str:
    """Return the reference as a text."""
    answer = doc["answer"]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
