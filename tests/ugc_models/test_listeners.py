"""A task that wants answers early gets those that will be scored, once each, and no others."""

from __future__ import annotations

import pytest

from ugc_models.listeners import Listeners


class Conversation(list[object]):
    """A conversation of a task that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def answered(self, answer: str) -> None:
        self.told.append(answer)


class Task:
    """What lmms-eval's ``--predict_only`` changes in a task: its metrics."""

    def __init__(self, *metrics: str) -> None:
        self._metric_fn_list = dict.fromkeys(metrics)

    def doc_to_messages(self, doc: object) -> list[object]:
        return [doc]


def told(task: Task, *, repeat: int = 0) -> list[str]:
    listeners, messages = Listeners(), Conversation()
    listeners.add(3, messages, doc_to_messages=task.doc_to_messages, repeat=repeat)
    listeners.tell(4, "another's")
    listeners.tell(3, "its answer")
    listeners.tell(3, "its answer")
    return messages.told


def test_an_answer_that_will_be_scored_is_told_once() -> None:
    assert told(Task("visual", "audio")) == ["its answer"]


def test_nothing_is_told_where_nothing_will_be_scored() -> None:
    assert told(Task("bypass")) == []


def test_of_repeated_answers_only_the_first_is_told() -> None:
    assert told(Task("visual"), repeat=1) == []


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": "hello"}]])
def test_a_task_that_wants_none_is_told_none(messages: list[object]) -> None:
    listeners = Listeners()
    listeners.add(0, messages, doc_to_messages=lambda doc: messages, repeat=0)
    listeners.tell(0, "an answer")
