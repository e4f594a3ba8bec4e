"""What lmms-eval asks of every task: the functions and values that the YAML files name.

lmms-eval resolves ``!function NAME`` by ``getattr`` on a module, and takes what it finds. A
``task.py`` beside the YAML therefore says ``__getattr__ = fields("tone", ...)``, and names like
``tone__dataset_kwargs`` are values, computed from the environment when the YAML is loaded. Only
there does an error of ours reach the user unchanged: later, from the dataset's download on,
lmms-eval would try five times and wrap it.

lmms-eval scores documents in four threads, one at a time each; a judge answers in seconds. So our
filter, which sees all answers of the task, gives each answer its place among them, and the first
two documents to be scored show which document each place belongs to. From then on all answers are
on their way to the judge at once. The places decide when a judgment is asked for, never which one a
document gets: that is keyed by the document's own id, reference and answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from ugc_tasks.common.display import logger
from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.types import JudgeItem, Judgment
from ugc_tasks.lmms.begins import told_of
from ugc_tasks.lmms.metrics import of_captions
from ugc_tasks.results.answer_text import ModelAnswer, model_answer
from ugc_tasks.results.rows import judged_row
from ugc_tasks.run import current_run, new_run

if TYPE_CHECKING:
    from datasets import Dataset

_log = logger(__name__)


def fields(*names: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a ``task.py`` for tasks by their short names."""

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
        if what == "metric_list":
            return of_captions(current_run(task).judging.get("scale"))
        if what == "process_docs":
            return partial(process_docs, task)
        raise AttributeError(name)

    return attribute


def process_docs(task: str, dataset: Dataset) -> Dataset:
    """Return the checked documents instead of the raw rows: ids, question, reference."""
    from datasets import Dataset

    return Dataset.from_list(current_run(task).documents())


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    return [str(current_run(doc["task"]).clip(doc["video_id"]))]


def doc_to_text(doc: dict[str, Any]) -> str:
    return str(doc["question"])


def doc_to_messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one user turn, the clip before the question, as the published runs had it."""
    clip = {"type": "video", "url": doc_to_visual(doc)[0]}
    turn = {"role": "user", "content": [clip, {"type": "text", "text": doc_to_text(doc)}]}
    return Messages([turn], doc)


def doc_to_target(doc: dict[str, Any]) -> str:
    answer = doc["answer"]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def process_judged(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    run, task = current_run(doc["task"]), doc["task"]
    answer = received(results, task)
    judgment = answer.prefetch.judgment(doc, answer, run.judge) if run.judge is not None else None
    row = judged_row(
        *(task, doc["video_id"], answer.read, judgment),
        judge=run.judging,
        reference=doc["answer"],
        clip=run.clips.get(doc["video_id"]),
        wanted=run.wanted,
    )
    return run.keep(row)


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
        read = _read([answer], document["task"])
        references, present = run.questions.references, run.coverage.present[:among]
        if not read.failure:
            run.judge.submit_early(
                item_of(document, read.text),
                # As if all answers were like this one: enough to say what judging them will cost.
                lambda: [JudgeItem(i, read.text, str(references[i])) for i in present],
            )
    except Exception as error:  # scoring will raise it again; generation must go on
        _log.warning("judging while captions are made failed (%s: %s)", type(error).__name__, error)


class PlacedAnswer(str):
    """What is scored of a model's answer, with its place among all answers of the task."""

    read: ModelAnswer
    prefetch: Prefetch
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

    ``answers`` are in lmms-eval's order; ``documents`` are all of the task, or none where they are
    not known. This rank has every ``stride``-th of them.
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
    return model_answer(first, task, generation=told_of(first))
