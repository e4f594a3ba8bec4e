"""Scoring saved answers of any task; those of judged tasks with the judge, as in lmms-eval.

A scorer reads the references, pairs the answers with them (``pairing.py``) and makes a row for each
clip. Those of the other tasks are ``choice/accuracy.py`` and ``ocr/overlap.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.common.machine import versions
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import annotation, is_published
from ugc_tasks.data.questions import Questions, clip_ids, read_questions
from ugc_tasks.estimate.model import doubts
from ugc_tasks.judge.cost import Estimate
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.settings import Command, JudgeConfigError, interval_of
from ugc_tasks.judge.types import JudgeItem, Judgment
from ugc_tasks.results import rows
from ugc_tasks.results.answers import SavedAnswers
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.pairing import Pairing, pair
from ugc_tasks.results.reliability import Interval, describe_repeats, figure_interval

Mode = Literal["score", "skip"]  # what OCR does with answers without a list of texts
MODES: tuple[Mode, ...] = get_args(Mode)  # the first is the default


@dataclass(frozen=True)
class SavedRun:
    """Saved answers to a task, and what they are scored with.

    Attributes:
        task: a key of ``SPECS``.
        answers: the model's.
        home: where annotations, prompts and judgments are.
        environ: the judge's settings; holds the key, and is therefore not shown.
        references: folder of annotation files that goes before ``home``, if any.
        mode: of OCR.
    """

    task: str
    answers: SavedAnswers
    home: Home
    environ: Mapping[str, str] = field(repr=False)
    references: Path | None = None
    mode: Mode = "score"

    def annotation(self, name: str) -> tuple[Path, str]:
        """Return the path of an annotation file and where it is from; raises ``DataError``."""
        if self.references is not None:
            path = self.references / name
            if not path.is_file():
                raise DataError(f"{name} is not in {self.references}: put it there as published")
            return path, str(self.references)
        found = annotation(name, self.home)
        return found.path, found.source

    def has_annotation(self, name: str) -> bool:
        """Tell whether ``annotation`` finds a file, or fails, without asking the network."""
        own = self.home.root is not None and (self.home.root / name).is_file()
        return self.references is not None or own or is_published(self.home.cache / name)

    def known_clips(self) -> dict[str, set[str]]:
        """Return the clips of each annotation file that is here, by the file's name."""
        ids = {}
        for name in {spec.annotations for spec in SPECS.values()}:
            if self.has_annotation(name):
                with suppress(DataError):  # of another task: it is not needed here
                    ids[name] = set(clip_ids(self.annotation(name)[0]))
        return ids


@dataclass(frozen=True)
class Report:
    """The figures of saved answers.

    Attributes:
        pairing: which clips have an answer; the others are in no mean.
        items: a row a clip that has one, in the annotations' order. Those without a score say why.
        n: clips in the means.
        metrics: the figures; None where there is nothing to take a mean of.
        ci95: ``(low, high)`` of those that are means, None below two clips.
        facts: more about the whole: the judge, the mode, where the references are from; ``skipped``
            clips are left out of the means as the mode has it.
        notes: sentences for a person, on what the figures do not say.
        estimate: whether the figures are an estimate and no judge was asked.
    """

    pairing: Pairing
    items: Sequence[Mapping[str, Any]]
    n: int
    metrics: Mapping[str, float | None]
    ci95: Mapping[str, Interval | None]
    facts: Mapping[str, Any]
    notes: Sequence[str] = ()
    estimate: bool = False

    @property
    def failed(self) -> int:
        """Clips without a score although the file has an answer, or says why it has none."""
        return len(self.items) - self.n - int(self.facts.get("skipped", 0))

    def complete(self, *, allow_missing: bool = False) -> bool:
        """Tell whether every clip of the task, or of the file, was scored as its mode has it."""
        return not self.failed and self.n > 0 and (allow_missing or not self.pairing.missing)

    def as_json(self, task: str) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "task": task,
            "n": self.n,
            "failed": self.failed,
            "metrics": dict(self.metrics),
            "ci95": {name: pair and list(pair) for name, pair in self.ci95.items()},
            "estimate": self.estimate,
            "missing": list(self.pairing.missing),
            "unknown": list(self.pairing.unknown),
            **self.facts,
            "items": [dict(item) for item in self.items],
        }


def score(run: SavedRun) -> Report:
    """Score saved answers with the scorer of their task.

    Raises:
        DataError: references or answers cannot be used.
        JudgeConfigError, JudgeStoreError: the judge cannot be asked.
    """
    spec = SPECS[run.task]
    if spec.judged:
        return score_judged([run])[0]
    module = {"choice": "choice.accuracy", "ocr": "ocr.overlap"}[spec.kind]
    return _stated(run, import_module(f"ugc_tasks.{module}").score(run))


def _stated(run: SavedRun, found: Report) -> Report:
    spec = SPECS[run.task]
    notes = (*found.pairing.notes, *([spec.note] if spec.note else []), *found.notes)
    facts = {**found.facts, "packages": versions()}
    return replace(found, notes=notes, facts=facts)


def estimate(run: SavedRun) -> Estimate | None:
    """Return what scoring a run would cost, without a key; None where no judge is to be paid.

    Raises as ``score`` does.
    """
    spec = SPECS[run.task]
    if not spec.judged:
        return None
    return estimate_judged([run])


def estimate_judged(runs: Sequence[SavedRun]) -> Estimate | None:
    """Return what judging several runs of one judged task would cost all together."""
    _, items = _paired(runs)
    with _open_judge(runs[0], "dry-run") as judge:
        judge.check_end()
        return judge.estimate([item for of_run in items for item in of_run])


def judge_label(run: SavedRun) -> str:
    """Return the label of the judge that would be asked; raises as ``score`` does."""
    with _open_judge(run, "dry-run") as judge:
        return judge.label


def _open_judge(run: SavedRun, command: Command) -> Judge:
    home = run.home
    return open_judge(
        run.environ, home=home.root, cache=home.cache, question=run.task, command=command
    )


def _items(pairing: Pairing, references: Mapping[str, Any]) -> list[JudgeItem]:
    """Return what the judge is asked about: answers, but no failures."""
    answered = {i: answer.text for i, answer in pairing.answers.items() if not answer.failure}
    return [JudgeItem(i, text, references[i]) for i, text in answered.items()]


def means(
    values: Mapping[str, Sequence[float]],
) -> tuple[dict[str, float | None], dict[str, Interval | None]]:
    """Return ``metrics`` and ``ci95`` of figures that are means over clips; None of no clip."""
    found = {name: figure_interval(column) for name, column in values.items() if column}
    metrics = {name: found[name][0] if name in found else None for name in values}
    return metrics, {name: pair for name, (_, pair) in found.items()}


def _paired(runs: Sequence[SavedRun]) -> tuple[list[Pairing], list[list[JudgeItem]]]:
    references = _questions(runs[0])[0].references
    pairings = [pair(run.answers, references, run.task) for run in runs]
    return pairings, [_items(each, references) for each in pairings]


def _questions(run: SavedRun) -> tuple[Questions, str]:
    path, source = run.annotation(SPECS[run.task].annotations)
    return read_questions(path), source


def score_judged(runs: Sequence[SavedRun]) -> list[Report]:
    """Score several runs of one judged task with one judge, whose budget is that of all of them.

    Raises as ``score`` does.
    """
    pairings, items = _paired(runs)
    with _open_judge(runs[0], "score") as judge:
        facts = judge.describe()
        if facts["profile"] == "none":
            raise JudgeConfigError(
                "the judge profile 'none' scores nothing: choose paper, rubric or offline"
            )
        judged = iter(judge.judge_many([item for of_run in items for item in of_run]))
    return [
        _stated(run, _judged(run, pairing, facts, [next(judged) for _ in of_run]))
        for run, pairing, of_run in zip(runs, pairings, items, strict=True)
    ]


def _judged(
    run: SavedRun, pairing: Pairing, facts: Mapping[str, Any], judged: Sequence[Judgment]
) -> Report:
    """Return the figures of a judged task on 0-100; items are rows as in its samples file."""
    questions, source = _questions(run)
    references, answers = questions.references, pairing.answers
    judgments = {judgment.video_id: judgment for judgment in judged}
    unjudged = [i for i, answer in answers.items() if answer.failure]
    judgments |= {i: Judgment(i, failure=answers[i].failure) for i in unjudged}
    items = [
        rows.judged_row(
            *(run.task, i, answer, judgments[i]),
            judge=facts,
            reference=references[i],
            clip=None,
            wanted=len(references),
        )
        for i, answer in answers.items()
    ]
    whole = run_facts(items, interval=interval_of(run.environ))
    metrics, ci95 = whole["figures"], whole["ci95"]
    notes: list[str] = []
    if facts["estimate"]:
        notes.append("these are estimates from the texts alone: no judge was asked")
        notes += doubts(
            [item["judge"]["unlike"] or "" for item in items if item["n"] is not None],
            [item["prediction"] for item in items if item["n"] is not None],
        )
    noise = whole["noise"]
    if noise and noise["judgments"] < noise["judgments_wanted"]:
        came = describe_repeats(noise)
        notes.append(f"{came}; run again, and only those that did not come are asked for")
    stated = ("coverage", "spent", "sanitized", "noise", "judge_ran", "ci95_method")
    all_facts = {
        "judge": dict(facts),
        "references": source,
        "references_sha256": questions.sha256,
        **{key: whole[key] for key in stated},
    }
    return Report(
        pairing, items, whole["n"], metrics, ci95, all_facts, notes, estimate=facts["estimate"]
    )
