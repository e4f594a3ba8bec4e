"""Judging many answers at once, although lmms-eval asks for scores a few at a time.

lmms-eval scores documents in four threads, one at a time each; a judge answers in seconds. So its
filter, which sees all answers of the task, gives each answer its place among them, and the first
two documents to be scored show which document each place belongs to. From then on all answers are
on their way to the judge at once, and scoring a document only waits for its judgment.

The places decide when a judgment is asked for, never which one a document gets: that is keyed by
the document's own id, reference and answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.types import JudgeItem, Judgment
from ugc_tasks.results.answer_text import ModelAnswer, model_answer


class PlacedAnswer(str):
    """What is scored of a model's answer, with its place among all answers of the task."""

    read: ModelAnswer
    """What is scored of it, or why there is nothing to score."""
    prefetch: Prefetch
    """All answers of the task on this rank."""
    place: int

    def __new__(cls, text: str, read: ModelAnswer, prefetch: Prefetch, place: int) -> PlacedAnswer:
        answer = super().__new__(cls, text)
        answer.read, answer.prefetch, answer.place = read, prefetch, place
        return answer

    def strip(self, chars: str | None = None, /) -> PlacedAnswer:
        """Strip as ``str`` does; lmms-eval does so on the way to the score."""
        return PlacedAnswer(super().strip(chars), self.read, self.prefetch, self.place)

    def __reduce__(self) -> tuple[Any, ...]:
        # Across processes, and in the samples file, it is a string like any other.
        return (str, (str(self),))


class Prefetch:
    """All answers of a task on this rank, asked about as soon as their documents are known.

    Args:
        answers: what is scored of the answers, in lmms-eval's order.
        documents: all documents of the task, other ranks' too; empty where they are not known.
        stride: this rank has every ``stride``-th document.
    """

    def __init__(
        self,
        answers: Sequence[ModelAnswer],
        documents: Iterable[dict[str, Any]] = (),
        *,
        stride: int = 1,
    ) -> None:
        self._answers, self._documents, self._stride = answers, list(documents), stride
        self._index = {doc["video_id"]: i for i, doc in enumerate(self._documents)}
        self._first: tuple[int, int] | None = None  # a place, and where place 0 is if it is right
        self._settled = False
        self._asked: dict[JudgeItem, Future[Judgment]] = {}
        self._lock = Lock()

    def judgment(self, document: dict[str, Any], answer: PlacedAnswer, judge: Judge) -> Judgment:
        """Return the judgment of a document's answer, asking for the others' meanwhile."""
        if answer.read.failure:
            return Judgment(document["video_id"], failure=answer.read.failure)
        mine = item_of(document, answer.read.text)
        with self._lock:
            # In the order in which lmms-eval will want them. Each is asked for once, also if its
            # judgment failed: the judge has tried again already.
            for item in (*self._others(document, answer.place, judge), mine):
                if item not in self._asked:
                    self._asked[item] = judge.submit(item)
        return self._asked[mine].result()

    def _others(self, document: dict[str, Any], place: int, judge: Judge) -> list[JudgeItem]:
        """Return all items once two documents agree where place 0 is, else nothing."""
        if document["video_id"] not in self._index:
            return []
        origin = self._index[document["video_id"]] - place * self._stride
        if self._first is None:
            # Enough for the estimate of what judging will take, which comes before any request: in
            # another order the sum would be much the same.
            self._first = (place, origin)
            judge.announce(self._items(origin))
        elif place != self._first[0] and not self._settled:
            self._settled = True
            if origin == self._first[1]:
                items = self._items(origin)
                # What was asked by itself must not be in a batch too, and be paid for twice.
                judge.begin([item for item in items if item not in self._asked])
                return items
            # Where they disagree, each answer is asked about when lmms-eval wants it.
        return []

    def _items(self, origin: int) -> list[JudgeItem]:
        last = origin + (len(self._answers) - 1) * self._stride
        if origin < 0 or last >= len(self._documents):
            return []
        documents = self._documents[origin : last + 1 : self._stride]
        return [
            item_of(document, answer.text)
            for document, answer in zip(documents, self._answers, strict=True)
            if not answer.failure
        ]


def item_of(document: dict[str, Any], text: str) -> JudgeItem:
    """Return what is judged of a document and its answer."""
    return JudgeItem(video_id=document["video_id"], prediction=text, reference=document["answer"])


class PrefetchFilter:
    """The filter of the task: first answer of each document, with its place (see the module).

    Reasoning is cut out here (``answer_text.py``). lmms-eval would cut it between the filter and
    the score: the answer would come back as a bare string, and the judge would already have been
    paid for one with the reasoning in it.
    """

    def __init__(self, **_: Any) -> None:
        """Take no options; lmms-eval may pass some."""

    def apply(
        self, resps: Sequence[Sequence[Any]], docs: Iterable[dict[str, Any]]
    ) -> list[PlacedAnswer]:
        """Return one :class:`PlacedAnswer` per list of responses, in order."""
        documents = list(docs)
        task = documents[0].get("task", "") if documents else ""
        answers = [_read(responses, task) for responses in resps]
        prefetch = Prefetch(answers, documents, stride=int(os.environ.get("WORLD_SIZE", "1")))
        return [PlacedAnswer(read.text, read, prefetch, i) for i, read in enumerate(answers)]


def received(results: Sequence[Any], task: str) -> PlacedAnswer:
    """Return the answer that lmms-eval hands to the score: ours, or as another filter left it."""
    first = results[0] if results else None
    if isinstance(first, PlacedAnswer):
        if first == first.read.text:
            return first
        read = model_answer(str(first), task, generation=first.read.generation)
    else:
        read = _read(results, task)
    return PlacedAnswer(read.text, read, Prefetch([read]), 0)


def _read(responses: Sequence[Any], task: str) -> ModelAnswer:
    first = responses[0] if responses else None
    return model_answer(first, task, generation=getattr(first, "generation", None))
