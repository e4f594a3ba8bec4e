"""Judging wide, although lmms-eval asks for scores a few at a time.

lmms-eval scores documents in four threads, one at a time each; a judge answers in seconds. So its
filter, which sees all answers of the task, gives each one its place among them, and the first
documents to be scored reveal which document each place belongs to. From then on all of them are on
their way to the judge at once, and scoring a document only fetches its judgment.

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
from ugc_tasks.judge.judgment import JudgeItem, Judgment


class Answer(str):
    """A model's answer that knows its place among all answers of the task.

    Attributes:
        batch: all answers of the task on this rank.
        place: index of this one.
        generation: what the model told of it (a ``generation`` attribute of its answer), or None.
    """

    batch: Batch
    place: int
    generation: dict[str, Any] | None

    def strip(self, chars: str | None = None, /) -> Answer:
        """Strip as ``str`` does; lmms-eval does so on the way to the score."""
        return _answer(super().strip(chars), self.batch, self.place, self.generation)

    def __reduce__(self) -> tuple[Any, ...]:
        # Across processes, and in the samples file, it is a string like any other.
        return (str, (str(self),))


def _answer(text: str, batch: Batch, place: int, generation: dict[str, Any] | None) -> Answer:
    answer = Answer(text)
    answer.batch, answer.place, answer.generation = batch, place, generation
    return answer


class Batch:
    """All answers of a task on this rank, and the documents of the task.

    Args:
        texts: the answers in lmms-eval's order.
        documents: all documents of the task, other ranks' too.
        stride: every how manyth document is this rank's.
    """

    def __init__(
        self, texts: Sequence[str], documents: Sequence[dict[str, Any]], *, stride: int
    ) -> None:
        self._texts = texts
        self._documents = list(documents)
        self._index = {doc["video_id"]: i for i, doc in enumerate(self._documents)}
        self._stride = stride
        self._first: tuple[int, int] | None = None  # a place, and where place 0 is if it is right
        self._settled = False
        self._asked: dict[JudgeItem, Future[Judgment]] = {}
        self._announced = False
        self._announcing = Lock()
        self._lock = Lock()

    def judgment(self, document: dict[str, Any], answer: Answer, judge: Judge) -> Judgment:
        """Return the judgment of a document's answer, asking for the others' meanwhile."""
        self._announce(document, answer.place, judge)
        mine = self._ask(item_of(document, answer), judge)
        origin = self._agreed_origin(document, answer.place)
        if origin is not None:
            items = self._items(origin)
            judge.begin(items)
            for item in items:  # in the order in which lmms-eval will want them
                self._ask(item, judge)
        return mine.result()

    def _announce(self, document: dict[str, Any], place: int, judge: Judge) -> None:
        """Have the judge say what it will take before it is asked for anything.

        One document is enough for that: were the order another one, the sum would be much the same.
        """
        with self._announcing:
            if self._announced:
                return
            self._announced = True
            judge.announce(self._items(self._origin(document, place)))

    def _ask(self, item: JudgeItem, judge: Judge) -> Future[Judgment]:
        # Once each, also those that failed: the judge has tried again already.
        with self._lock:
            if item not in self._asked:
                self._asked[item] = judge.submit(item)
            return self._asked[item]

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
        last = origin + (len(self._texts) - 1) * self._stride
        if origin < 0 or last >= len(self._documents):
            return []
        documents = self._documents[origin : last + 1 : self._stride]
        return [item_of(d, text) for d, text in zip(documents, self._texts, strict=True)]


def item_of(document: dict[str, Any], text: str) -> JudgeItem:
    """Return what is judged of a document and its answer."""
    return JudgeItem(
        video_id=document["video_id"], prediction=str(text).strip(), reference=document["answer"]
    )


REASONING_TAGS = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]
"""What lmms-eval cuts out of every answer before it is scored, unless told otherwise."""


def plain_text(answer: str | None) -> str:
    """Return an answer without its reasoning, as lmms-eval itself would cut it."""
    from lmms_eval.api.reasoning import strip_reasoning_tags

    return str(strip_reasoning_tags(str(answer or ""), REASONING_TAGS))


class KeepPlaces:
    """The filter of the task: first answer of each document, with its place (see the module).

    Reasoning is cut out here already, by lmms-eval's own function. Left to lmms-eval it would be
    cut between the filter and the score: the answer would come back as a bare string, and what was
    on its way to the judge would be the reasoning, paid for and unused.
    """

    def __init__(self, **_: Any) -> None:
        """Take no options; lmms-eval may pass some."""

    def apply(self, resps: Sequence[Sequence[str]], docs: Sequence[dict[str, Any]]) -> list[Answer]:
        """Return one :class:`Answer` per list of responses, in order."""
        firsts = [responses[0] for responses in resps]
        texts = [plain_text(first) for first in firsts]
        batch = Batch(texts, docs, stride=int(os.environ.get("WORLD_SIZE", "1")))
        return [
            _answer(text, batch, place, getattr(first, "generation", None))
            for place, (text, first) in enumerate(zip(texts, firsts, strict=True))
        ]


def judge_answer(document: dict[str, Any], answer: str, judge: Judge) -> Judgment:
    """Return the judgment of an answer, wherever it comes from."""
    if isinstance(answer, Answer):
        return answer.batch.judgment(document, answer, judge)
    future: Future[Judgment] = judge.submit(item_of(document, answer))
    return future.result()
