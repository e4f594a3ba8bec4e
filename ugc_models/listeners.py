"""Telling a task of an answer as soon as there is one, so that it can score it meanwhile.

A task that wants that gives conversations an ``answered``: a callable that takes the answer and
``among``, how many such answers there will be; it returns at once and never raises. It may cost
money what it does, so it is told only of what lmms-eval is going to score: not with
``--predict_only``, and of repeated answers to one document only the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from lmms_eval.api.instance import Instance

Listener = Callable[[str], None]


class Listeners:
    """Who wants to be told of which answer to ``requests``."""

    def __init__(self, requests: Iterable[Instance]) -> None:
        self._waiting: dict[int, Listener] = {}
        self._among = Counter(request.task_name for request in requests if not request.idx)

    def add(self, index: int, messages: Any, request: Instance) -> None:
        """Note who waits for an answer, if somebody does.

        Args:
            index: the caller's own number for it.
            messages: the conversation that the task made.
            request: for the answer.
        """
        answered = getattr(messages, "answered", None)
        if callable(answered) and not request.idx and not _only_predicted(request.arguments[1]):
            self._waiting[index] = partial(answered, among=self._among[request.task_name])

    def tell(self, index: int, answer: str) -> None:
        """Hand an answer to who waits for it, once."""
        listener = self._waiting.pop(index, None)
        if listener is not None:
            listener(answer)


def _only_predicted(doc_to_messages: Any) -> bool:
    """Tell whether ``doc_to_messages`` is the method of a task whose answers are not scored."""
    # Source: lmms_eval.evaluator, "predict_only": it overrides the task's metrics by this one.
    task = getattr(doc_to_messages, "__self__", None)
    return "bypass" in (getattr(task, "_metric_fn_list", None) or {})
