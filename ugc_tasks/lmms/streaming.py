"""Judging while answers are still being made, so that the end of generation is nearly the end.

lmms-eval shows a task its answers when all are there. A model can do better: the conversation that
``doc_to_messages`` gives it is a list that also has ``answered``, to be called with the document's
answer as soon as there is one, and with how many answers there will be (``--limit`` is not known
here). A model that knows nothing of that sees a list. What is judged then is found by the ordinary
way of scoring (``answers.py``), which asks for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ugc_tasks.common.display import logger
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.lmms.prefetch import item_of
from ugc_tasks.results.answer_text import model_answer
from ugc_tasks.run import Run, current_run

_log = logger(__name__)


class Messages(list[dict[str, Any]]):
    """A conversation whose answer is wanted early.

    Attributes:
        answered: to be called with the answer (a string, which may have ``generation``: see
            ``answers.py``) and ``among``, how many of the task's answers will be scored in all;
            from any thread. Returns at once and never raises. To be called only where the answer
            will be scored: it may cost money.
    """

    answered: Callable[..., None]

    def __init__(self, messages: Iterable[dict[str, Any]], document: dict[str, Any]) -> None:
        super().__init__(messages)
        self.answered = partial(judge_early, document)

    def __reduce__(self) -> tuple[Any, ...]:
        # Across processes it is a list like any other.
        return (list, (list(self),))


def judge_early(document: dict[str, Any], answer: str, *, among: int) -> None:
    """Start judging the answer of a document, if there is a judge who may begin early.

    ``among`` is how many answers there will be in all.
    """
    try:
        run = current_run(document["task"])
        if run.judge is None or not run.judge.early:
            return
        read = model_answer(
            answer, document["task"], generation=getattr(answer, "generation", None)
        )
        if not read.failure:
            run.judge.submit_early(
                item_of(document, read.text), partial(_all_like, run, read.text, among)
            )
    except Exception as error:  # scoring meets it again; generation must not end of it
        _log.warning("judging while captions are made failed (%s: %s)", type(error).__name__, error)


def _all_like(run: Run, answer: str, among: int) -> list[JudgeItem]:
    """Return what will be judged if all answers are like this one: enough to say what it costs."""
    return [
        JudgeItem(video_id, answer, str(run.questions.references[video_id]))
        for video_id in run.coverage.present[:among]
    ]
