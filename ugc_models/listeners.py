"""Telling a task of an answer as soon as there is one, so that it can score it meanwhile.

A task that wants that gives conversations an ``answered``: a callable that takes the answer,
returns at once and never raises. It may cost money what it does, so it is told only of what
lmms-eval is going to score: not with ``--predict_only``, and of repeated answers to one document
only the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Listener = Callable[[str], None]


class Listeners:
    """Who wants to be told of which answer."""

    def __init__(self) -> None:
        self._waiting: dict[int, Listener] = {}

    def add(self, index: int, messages: Any, *, doc_to_messages: Any, repeat: int) -> None:
        """Note who waits for an answer, if somebody does.

        Args:
            index: the caller's own number for it.
            messages: the conversation that a task made.
            doc_to_messages: what made it; a task's method where lmms-eval asks.
            repeat: the how manieth answer to its document, from 0.
        """
        answered = getattr(messages, "answered", None)
        if callable(answered) and not repeat and not _only_predicted(doc_to_messages):
            self._waiting[index] = answered

    def tell(self, index: int, answer: str) -> None:
        """Hand an answer to who waits for it, once."""
        listener = self._waiting.pop(index, None)
        if listener is not None:
            listener(answer)


def _only_predicted(doc_to_messages: Any) -> bool:
    # Source: lmms_eval.evaluator, "predict_only": it overrides the task's metrics by this one.
    task = getattr(doc_to_messages, "__self__", None)
    return "bypass" in (getattr(task, "_metric_fn_list", None) or {})
