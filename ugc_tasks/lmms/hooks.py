"""What lmms-eval asks of every task: the functions and values that the YAML files name.

lmms-eval resolves ``!function NAME`` by ``getattr`` on a module, and takes what it finds. A
``task.py`` beside the YAML therefore says ``__getattr__ = fields("tone", ...)``, and names like
``tone__dataset_kwargs`` are values, computed from the environment when the YAML is loaded. Only
there does an error of ours reach the user unchanged: later, from the dataset's download on,
lmms-eval would try five times and wrap it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ugc_tasks.common.display import logger
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.lmms.prefetch import item_of, received
from ugc_tasks.results.answer_text import model_answer
from ugc_tasks.results.rows import judged_row
from ugc_tasks.run import Run, current_run, new_run

if TYPE_CHECKING:
    from datasets import Dataset

_log = logger(__name__)


def fields(*names: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a ``task.py`` for tasks by their short names.

    It knows ``NAME__dataset_kwargs``, ``NAME__metadata`` and ``NAME__process_docs``.
    """

    def attribute(name: str) -> Any:
        task, _, what = name.partition("__")
        if task not in names:
            raise AttributeError(name)
        if what == "dataset_kwargs":
            run = new_run(task)
            layout = {} if run.spec.kind == "ocr" else {"field": "samples"}
            return {"data_files": {"test": str(run.annotation.path)}, **layout}
        if what == "metadata":
            return current_run(task).metadata()
        if what == "process_docs":
            return partial(process_docs, task)
        raise AttributeError(name)

    return attribute


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

    The list takes the answer, too, as soon as there is one.
    """
    clip = {"type": "video", "url": doc_to_visual(doc)[0]}
    turn = {"role": "user", "content": [clip, {"type": "text", "text": doc_to_text(doc)}]}
    return Messages([turn], doc)


def doc_to_target(doc: dict[str, Any]) -> str:
    """Return the reference as a text."""
    answer = doc["answer"]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def process_judged(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the row of a clip of a judged task."""
    run = current_run(doc["task"])
    answer = received(results, doc["task"])
    return judged_row(
        doc["task"],
        doc["video_id"],
        answer.read,
        answer.prefetch.judgment(doc, answer, run.judge) if run.judge is not None else None,
        judge=run.judging,
        wanted=run.wanted,
    )


class Messages(list[dict[str, Any]]):
    """A conversation whose answer may be judged while others are still being made.

    lmms-eval shows a task its answers when all are there, and judging them takes minutes. A model
    that knows of ``answered`` has each answer judged meanwhile; to any other model this is a list.
    """

    answered: Callable[..., None]
    """A function of the answer (a string, which may have ``generation``) and ``among``, how many of
    the task's answers will be scored in all (``--limit`` is not known here). It may be called from
    any thread, returns at once and never raises. It may cost money, so it must only be called where
    the answer will be scored."""

    def __init__(self, messages: Iterable[dict[str, Any]], document: dict[str, Any]) -> None:
        super().__init__(messages)
        self.answered = partial(judge_early, document)

    def __reduce__(self) -> tuple[Any, ...]:
        # Across processes it is a list like any other.
        return (list, (list(self),))


def judge_early(document: dict[str, Any], answer: str, *, among: int) -> None:
    """Start judging the answer of a document, if there is a judge who may begin early."""
    try:
        run = current_run(document["task"])
        if run.judge is None or not run.judge.early:
            return
        generation = getattr(answer, "generation", None)
        read = model_answer(answer, document["task"], generation=generation)
        if not read.failure:
            alike = partial(_all_like, run, read.text, among)
            run.judge.submit_early(item_of(document, read.text), alike)
    except Exception as error:  # scoring will raise it again; generation must go on
        _log.warning("judging while captions are made failed (%s: %s)", type(error).__name__, error)


def _all_like(run: Run, answer: str, among: int) -> list[JudgeItem]:
    """Return what will be judged if all answers are like this one: enough to say what it costs."""
    return [
        JudgeItem(video_id, answer, str(run.questions.references[video_id]))
        for video_id in run.coverage.present[:among]
    ]
