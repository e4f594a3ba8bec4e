"""A task that wants answers early gets those that will be scored, once each, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from lmms_eval.api.instance import Instance

from ugc_models.manifest import Listeners


class Conversation(list[object]):
    """A conversation of a task that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int]] = []

    def answered(self, answer: str, *, among: int) -> None:
        self.told.append((answer, among))


class Task:
    """What lmms-eval's ``--predict_only`` changes in a task: its metrics."""

    def __init__(self, *metrics: str) -> None:
        self._metric_fn_list = dict.fromkeys(metrics)

    def doc_to_messages(self, doc: object) -> list[object]:
        return [doc]


def request(task: Task, *, name: str = "a_task", document: int = 0, repeat: int = 0) -> Instance:
    return Instance(
        request_type="generate_until",
        arguments=("", task.doc_to_messages, {}, document, name, "test"),
        idx=repeat,
        metadata={"task": name, "doc_id": document, "repeats": 2},
    )


def told(requests: list[Instance], messages: Any) -> None:
    """Ask about the last of ``requests``, and answer it twice and another's."""
    listeners, index = Listeners(requests), len(requests) - 1
    listeners.add(index, messages, requests[-1])
    listeners.tell(index + 1, "another's")
    listeners.tell(index, "its answer")
    listeners.tell(index, "its answer")


def test_an_answer_that_will_be_scored_is_told_once_and_among_how_many_it_is() -> None:
    task, messages = Task("visual", "audio"), Conversation()
    told(
        [
            request(task, name="another_task"),
            *(request(task, document=1, repeat=repeat) for repeat in range(2)),
            request(task, document=2),
        ],
        messages,
    )
    assert messages.told == [("its answer", 2)]


def test_nothing_is_told_where_nothing_will_be_scored() -> None:
    messages = Conversation()
    told([request(Task("bypass"))], messages)
    assert messages.told == []


def test_of_repeated_answers_only_the_first_is_told() -> None:
    messages = Conversation()
    told([request(Task("visual"), repeat=1)], messages)
    assert messages.told == []


class AnsweredByNobody(list[object]):
    """A conversation with an ``answered`` of its own that cannot be called."""

    answered = "no"


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user", "content": "hello"}], AnsweredByNobody(["hello"])]
)
def test_a_task_that_wants_none_is_told_none(messages: list[object]) -> None:
    before = list(messages)
    told([request(Task("visual"))], messages)
    assert messages == before
