"""Judging wide, although lmms-eval asks for scores a few at a time.

lmms-eval scores documents in four threads, one at a time each; a judge answers in seconds. So its
filter, which sees all answers of the task, gives each answer its place among them, and the first
documents to be scored show which document each place belongs to. From then on all answers are on
their way to the judge at once, and scoring a document only waits for its judgment.

The places decide when a judgment is asked for, never which one a document gets: that is keyed by
the document's own id, reference and answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.types import JudgeItem, Judgment
from ugc_tasks.results.answer_text import ModelAnswer, model_answer


class PlacedAnswer(str):
    """A model's answer with its place among all answers of the task.

    Its characters are those that are scored.

    Attributes:
        read: what is scored of it, or why there is nothing to score.
        prefetch: all answers of the task on this rank; None where they are not known.
        place: index of this one among them.
    """

    read: ModelAnswer
    prefetch: Prefetch | None
    place: int

    def strip(self, chars: str | None = None, /) -> PlacedAnswer:
        """Strip as ``str`` does; lmms-eval does so on the way to the score."""
        return _placed(super().strip(chars), self.read, self.prefetch, self.place)

    def __reduce__(self) -> tuple[Any, ...]:
        # Across processes, and in the samples file, it is a string like any other.
        return (str, (str(self),))


def _placed(text: str, read: ModelAnswer, prefetch: Prefetch | None, place: int) -> PlacedAnswer:
    answer = PlacedAnswer(text)
    answer.read, answer.prefetch, answer.place = read, prefetch, place
    return answer


class Prefetch:
    """All answers of a task on this rank, asked about as soon as their documents are known.

    Args:
        answers: what is scored of the answers, in lmms-eval's order.
        documents: all documents of the task, other ranks' too.
        stride: this rank has every ``stride``-th document.
    """

    def __init__(
        self, answers: Sequence[ModelAnswer], documents: Sequence[dict[str, Any]], *, stride: int
    ) -> None:
        self._answers = answers
        self._documents = list(documents)
        self._index = {doc["video_id"]: i for i, doc in enumerate(self._documents)}
        self._stride = stride
        self._first: tuple[int, int] | None = None  # a place, and where place 0 is if it is right
        self._settled = False
        self._asked: dict[JudgeItem, Future[Judgment]] = {}
        self._announced = False
        self._announcing = Lock()
        self._lock = Lock()

    def judgment(self, document: dict[str, Any], answer: PlacedAnswer, judge: Judge) -> Judgment:
        """Return the judgment of a document's answer, asking for the others' meanwhile."""
        self._announce(document, answer.place, judge)
        origin = self._agreed_origin(document, answer.place)
        others = [] if origin is None else self._items(origin)
        mine = item_of(document, answer.read.text)
        with self._lock:
            # What was asked by itself must not be in a batch as well, and so be paid for twice; nor
            # may another thread ask for anything before the batch has it.
            if others:
                judge.begin([item for item in others if item not in self._asked])
            for item in (*others, mine):  # in the order in which lmms-eval will want them
                # Once each, also those that failed: the judge has tried again already.
                if item not in self._asked:
                    self._asked[item] = judge.submit(item)
        return self._asked[mine].result()

    def _announce(self, document: dict[str, Any], place: int, judge: Judge) -> None:
        """Have the judge say what it will take before it is asked for anything.

        One document is enough for that: were the order another one, the sum would be much the same.
        """
        with self._announcing:
            if self._announced:
                return
            self._announced = True
            judge.announce(self._items(self._origin(document, place)))

    def _agreed_origin(self, document: dict[str, Any], place: int) -> int | None:
        """Return the document index of place 0 as soon as two documents agree on it, once."""
        origin = self._origin(document, place)
        with self._lock:
            if self._settled:
                return None
            if self._first is None or self._first[0] == place:
                self._first = (place, origin)
                return None
            self._settled = True
            # Where they disagree, the order is not what it was taken for: one by one, then.
            return origin if origin == self._first[1] else None

    def _origin(self, document: dict[str, Any], place: int) -> int:
        return self._index[document["video_id"]] - place * self._stride

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

    What is scored is decided here (``answer_text.py``), reasoning cut out. Left to lmms-eval it
    would be cut between the filter and the score: the answer would come back as a bare string, and
    what was on its way to the judge would be the reasoning, paid for and unused.
    """

    def __init__(self, **_: Any) -> None:
        """Take no options; lmms-eval may pass some."""

    def apply(
        self, resps: Sequence[Sequence[Any]], docs: Sequence[dict[str, Any]]
    ) -> list[PlacedAnswer]:
        """Return one :class:`PlacedAnswer` per list of responses, in order."""
        documents = list(docs)
        task = documents[0].get("task", "") if documents else ""
        answers = [_read(responses, task) for responses in resps]
        prefetch = Prefetch(answers, documents, stride=int(os.environ.get("WORLD_SIZE", "1")))
        return [_placed(answer.text, answer, prefetch, i) for i, answer in enumerate(answers)]


def received(results: Sequence[Any], task: str) -> PlacedAnswer:
    """Return the answer that lmms-eval hands to the score: ours, or as another filter left it."""
    first = results[0] if results else None
    if isinstance(first, PlacedAnswer):
        if first == first.read.text:
            return first
        read = model_answer(str(first), task, generation=first.read.generation)
    else:
        read = _read(results, task)
    return _placed(read.text, read, None, 0)


def _read(responses: Sequence[Any], task: str) -> ModelAnswer:
    first = responses[0] if responses else None
    return model_answer(first, task, generation=getattr(first, "generation", None))


def judge_answer(document: dict[str, Any], answer: PlacedAnswer, judge: Judge) -> Judgment:
    """Return the judgment of an answer; a failed one is not asked about."""
    if answer.read.failure:
        return Judgment(document["video_id"], failure=answer.read.failure)
    if answer.prefetch is not None:
        return answer.prefetch.judgment(document, answer, judge)
    alone: Future[Judgment] = judge.submit(item_of(document, answer.read.text))
    return alone.result()
