"""The lmms-eval model ``ugc_replay``, which gives saved answers again.

It scores them through lmms-eval's own command, beside other models, and needs no GPU and no clips.
Tasks of other suites are left out of its run (``lmms/begins.py``): it has no answers to them.
"""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from loguru import logger as _loguru

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import harmless_record, listed, shown
from ugc_tasks.common.files import DataError
from ugc_tasks.register import bypass_cache
from ugc_tasks.results.answers import NOT_SAVED, SavedAnswer, read_answers
from ugc_tasks.results.pairing import pair
from ugc_tasks.run import answer_from_files

logger = _loguru.patch(harmless_record)
_SUFFIXES = {".json", ".jsonl", ".csv", ".tsv"}
_SHORT_NAMES = {spec.task: name for name, spec in SPECS.items()}
_MAX_NAME = 100
_OTHER_SUITE = "no answers are saved for tasks of other suites"
_ANSWERED = ("generate_until", "generate_until_agentic")  # kinds of lmms-eval's tasks

Check = Callable[[Sequence[tuple[Any, str | None]]], None]
_Answers = tuple[Mapping[str, SavedAnswer], str]  # by ``video_id``; why a file gives none


class Replayed(str):
    """A saved answer with what was saved about it; both are pickled, for other ranks."""

    generation: Mapping[str, Any] | None = None


class UgcReplay(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Gives saved answers, by ``video_id``; clips that have one come first (for ``--limit``).

    Args:
        answers: a file of answers, for every task of the run; or a folder with one file a task,
            named after it (``ugc_videocap_ocr.jsonl``).
        answer_field: the field of a row that holds the model's text, where several could.
        name: what lmms-eval calls the model in its results and their folder; None: as the file of
            answers is called.
        batch_size, max_batch_size, device: lmms-eval's; without effect.

    Raises:
        DataError: a file cannot be used, or answers a clip twice; the name cannot be a folder's.
    """

    is_simple = False
    keeps_answers = True  # see ugc_models.manifest.bypass

    def __init__(
        self,
        answers: str,
        answer_field: str | None = None,
        *,
        name: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        path = Path(str(answers))
        self.name = _name(path, name)
        field = None if answer_field is None else str(answer_field)
        self._saved = {task: read_answers(file, field) for task, file in _files(path).items()}
        self._matched: dict[str, _Answers] = {}
        self._checks: dict[str, Check] = {}
        # This model is made before the tasks are loaded, and lives until their last score.
        answer_from_files(self._answered_first)
        bypass_cache()
        _name_results(weakref.ref(self))

    @property
    def device(self) -> str:
        return "cpu"

    def show_stored(self, checks: Mapping[str, Check]) -> None:
        """Show each task's check its documents with their answers (``ugc_tasks.lmms.ended``)."""
        self._checks = dict(checks)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return the saved answer of each request's clip; a missing one is a failure."""
        results = []
        asked: dict[str, set[str]] = {}
        shown_to: dict[str, list[tuple[Any, str | None]]] = {task: [] for task in self._checks}
        for request in requests:
            doc_id, task, split = request.arguments[-3:]
            documents = self.task_dict[task][split]
            video_id = documents[doc_id]["video_id"]
            asked.setdefault(task, set()).add(video_id)
            answers, refused = self._answers_to(task, documents)
            answer = answers.get(video_id, SavedAnswer(None, error=refused or NOT_SAVED))
            results.append(_replayed(answer, task))
            if task in shown_to:
                shown_to[task].append((documents[doc_id], str(results[-1].text)))
        for task, check in self._checks.items():
            check(shown_to[task])
        for task, ids in asked.items():
            answers, refused = self._answers_to(task, ())
            if not refused and (missing := sorted(ids - set(answers))):
                logger.warning(
                    f"{task}: {len(missing)} of {len(ids)} clips have none: {listed(missing)}"
                )
        return results

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not offered: nobody saves the rounds of an answer."""
        raise NotImplementedError(_OTHER_SUITE)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: saved answers are texts."""
        raise NotImplementedError(_OTHER_SUITE)

    def cannot_answer(self, tasks: Mapping[str, Any]) -> dict[str, str]:
        """Return the tasks of other suites, of all of a run, of which nothing is saved, and why.

        Raises:
            DataError: these are all that the run has.
        """
        why = {n: self._refused(n, t) for n, t in tasks.items() if n not in _SHORT_NAMES}
        lost = {name: reason for name, reason in why.items() if reason}
        if lost and len(lost) == len(tasks):
            raise DataError("; ".join(f"{name}: {reason}" for name, reason in lost.items()))
        return lost

    def _refused(self, name: str, task: Any) -> str:
        documents: Any = task.eval_docs_no_media if task.OUTPUT_TYPE in _ANSWERED else ()
        if not len(documents) or not isinstance(documents[0].get("video_id"), str):
            return _OTHER_SUITE
        _, why = self._answers_to(name, documents)
        return why

    def _answered_first(self, task: str, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answers, _ = self._answers_to(task, documents)
        return sorted(documents, key=lambda document: document["video_id"] not in answers)

    def _answers_to(self, task: str, documents: Iterable[Any]) -> _Answers:
        """Return the answers to a task by its ids, or why there are none.

        A file that does not fit is reported once, and costs this task alone.
        """
        if task in self._matched:
            return self._matched[task]
        documents = list(documents)
        references = {each["video_id"]: each.get("answer", "") for each in documents}
        options = dict.fromkeys(o for each in documents for o in each.get("options") or ())
        saved = self._saved.get(task) or self._saved.get("")
        try:
            if saved is None:
                raise DataError("no file of answers was given for this task")
            pairing = pair(saved, references, _SHORT_NAMES.get(task, ""), list(options))
        except DataError as error:
            self._matched[task], remarks = ({}, shown(error)), [shown(error)]
        else:
            self._matched[task], remarks = (pairing.saved, ""), list(pairing.notes)
            if unknown := pairing.unknown:
                remarks.append(
                    f"{len(unknown)} answers are to no clip that it asks about: {listed(unknown)}"
                )
        for remark in remarks:
            logger.warning(f"{task}: {remark}")
        return self._matched[task]


def _replayed(saved: SavedAnswer, task: str) -> GenerationResult:
    """Return a saved answer as it was given, or why there is none."""
    value, error, generation = saved.value, saved.error, saved.generation
    if task in _SHORT_NAMES:  # of another suite's tasks, only the file can say what failed
        read = saved.read(_SHORT_NAMES[task])
        error, generation = read.failure, read.generation
    if error or value is None:
        generation = {**(generation or {}), "error": error or NOT_SAVED}
    if value is None:
        value = ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    answer = Replayed(text)
    answer.generation = generation
    return GenerationResult(answer)


def _name_results(latest: weakref.ref[UgcReplay]) -> None:
    """Have lmms-eval save the results of this model under its name.

    Without a name it writes into the bare output folder, where ``lmms-eval serve`` does not look.
    """
    from lmms_eval.loggers.evaluation_tracker import GeneralConfigTracker
    from lmms_eval.utils import sanitize_model_name

    original = GeneralConfigTracker.log_experiment_args

    @functools.wraps(original)
    def log_experiment_args(self: Any, model_source: Any, *args: Any, **kwargs: Any) -> None:
        original(self, model_source, *args, **kwargs)
        model = latest() if model_source == "ugc_replay" else model_source
        if isinstance(model, UgcReplay):
            self.model_name = model.name
            self.model_name_sanitized = sanitize_model_name(model.name)

    GeneralConfigTracker.log_experiment_args = log_experiment_args


def _name(answers: Path, given: object) -> str:
    """Return the model's name: as given, else as the file or folder of answers is called."""
    if given is None:
        return shown(answers.absolute().stem, _MAX_NAME).strip("./ ") or "ugc_replay"
    name = str(given)
    if not name.strip("./ ") or not name.isprintable() or len(name) > _MAX_NAME:
        raise DataError(f"name={shown(name, _MAX_NAME)}: this cannot be the name of a folder")
    return name


def _files(path: Path) -> dict[str, Path]:
    """Return the file of each task; under the empty name one for all tasks."""
    if not path.is_dir():
        return {"": path}
    files: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in _SUFFIXES:
            if file.stem in files:
                raise DataError(f"{path}: both {files[file.stem].name} and {file.name} are in it")
            files[file.stem] = file
    if not files:
        raise DataError(f"{path}: there is no file of answers (.json, .jsonl, .csv) in it")
    return files
