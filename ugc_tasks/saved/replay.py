"""The lmms-eval model ``ugc_replay``: answers that exist already, given again.

No GPU, no clips: scores of saved answers through lmms-eval's own command, beside other models'.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from loguru import logger

from ugc_tasks.data.home import DataError
from ugc_tasks.run import WITHOUT_CLIPS
from ugc_tasks.saved.answers import NOT_SAVED, SavedAnswer, SavedAnswers, read_answers
from ugc_tasks.specs import SPECS

_NAMED = 5


class Replayed(str):
    """A saved answer, and what was saved of how it came about."""

    generation: dict[str, Any] | None

    def __reduce__(self) -> tuple[Any, ...]:
        # lmms-eval gathers answers of several ranks by pickling them.
        return (replayed, (str(self), self.generation))


def replayed(text: str, generation: dict[str, Any] | None) -> Replayed:
    """Return an answer with its ``generation``."""
    answer = Replayed(text)
    answer.generation = generation
    return answer


class UgcReplay(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Gives saved answers, by ``video_id``.

    Args:
        answers: a file of answers, for every task of the run; or a folder with one file a task,
            named after it (``ugc_videocap_ocr.jsonl``); or JSON, ``{"ugc_videocap_ocr": FILE}``.
        batch_size, max_batch_size, device: lmms-eval's; without effect.

    Raises:
        DataError: a file cannot be used, or answers a clip twice.
    """

    is_simple = False
    _alive: ClassVar[weakref.WeakSet[UgcReplay]] = weakref.WeakSet()

    def __init__(
        self,
        answers: str | Mapping[str, str],
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self._files = _files(answers)
        self._read: dict[Path, SavedAnswers] = {}
        for path in self._files.values():  # bad files are reported before the tasks are loaded
            self._answers(path)
        # This model is made before the tasks are: they need no clips then, from their loading to
        # their last score. (``clean`` comes before the scores; a later model in this process has
        # its clips looked for again, as this one is gone by then.)
        os.environ[WITHOUT_CLIPS] = "1"
        self._alive.add(self)
        weakref.finalize(self, _want_clips, self._alive)

    @property
    def device(self) -> str:
        """Where lmms-eval gathers its counts across ranks."""
        return "cpu"

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return the saved answer of each request's clip; a missing one is a failure."""
        results = []
        asked: dict[str, set[str]] = {}
        for request in requests:
            _, _, _, doc_id, task, split = request.arguments
            video_id = self.task_dict[task][split][doc_id]["video_id"]
            asked.setdefault(task, set()).add(video_id)
            saved = self._saved(task).get(video_id, SavedAnswer(None, error=NOT_SAVED))
            results.append(GenerationResult(_answer(saved, task)))
        for task, ids in asked.items():
            self._report(task, ids)
        return results

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not offered: an answer is given once."""
        raise NotImplementedError("ugc_replay answers in one round")

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: saved answers have no likelihoods."""
        raise NotImplementedError("ugc_replay has texts and no likelihoods")

    def _saved(self, task: str) -> Mapping[str, SavedAnswer]:
        path = self._files.get(task) or self._files.get("")
        if path is None:
            return {}
        return self._answers(path).answers

    def _answers(self, path: Path) -> SavedAnswers:
        if path not in self._read:
            self._read[path] = read_answers(path)
        return self._read[path]

    def _report(self, task: str, asked: set[str]) -> None:
        saved = set(self._saved(task))
        if not saved:
            logger.warning(f"{task}: no file of answers was given for it")
            return
        for what, ids in (("without a saved answer", asked - saved), ("unknown", saved - asked)):
            if ids:
                named = ", ".join(sorted(ids)[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
                logger.warning(f"{task}: {len(ids)} clips {what}: {named}")


def _want_clips(alive: Iterable[UgcReplay]) -> None:
    """Have clips looked for again, unless another model that answers from files is at work.

    An ended one goes when Python collects it, which can be in the middle of the next one's run.
    """
    if not list(alive):
        os.environ.pop(WITHOUT_CLIPS, None)


def _files(answers: str | Mapping[str, str]) -> dict[str, Path]:
    """Return the file of each task; under the empty name one for all tasks."""
    if isinstance(answers, str) and answers.lstrip().startswith("{"):
        try:
            answers = json.loads(answers)
        except ValueError as error:
            raise DataError(f"answers={answers!r:.200} is not valid JSON ({error})") from None
    if isinstance(answers, Mapping):
        if not answers or not all(isinstance(file, str) for file in answers.values()):
            raise DataError(f'answers={answers!r:.200} is not {{"TASK": FILE, ...}}')
        return {task: Path(file) for task, file in answers.items()}
    path = Path(answers)
    if not path.is_dir():
        return {"": path}
    files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix in _SUFFIXES}
    if not files:
        raise DataError(f"{path}: there is no .json or .jsonl file of answers in it")
    return files


_SUFFIXES = {".json", ".jsonl"}
_SHORT_NAMES = {spec.task: name for name, spec in SPECS.items()}


def _answer(saved: SavedAnswer, task: str) -> Replayed:
    """Return a saved answer as it was given, and why it is none where it is none."""
    value, error = saved.value, saved.error
    generation = dict(saved.generation) if saved.generation is not None else None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if task in _SHORT_NAMES:  # of another suite's tasks, only the file can say what failed
        read = saved.read(_SHORT_NAMES[task])
        error, generation = read.failure, dict(read.generation) if read.generation else generation
    if error or value is None:
        generation = {**(generation or {}), "error": error or NOT_SAVED}
    return replayed("" if value is None else text, generation)
