"""Scoring saved answers of any task: what a scorer is given, what it returns, and who it is.

A scorer is a module with ``score(run: SavedRun) -> Report``. It reads the references, pairs the
answers with them (``pairing.py``), makes a row for each clip, and puts the figures into a
``report``. It is imported when its task is scored, so that no other task and no ``--help`` waits
for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import annotation, is_published
from ugc_tasks.data.questions import clip_ids
from ugc_tasks.results.answers import SavedAnswers
from ugc_tasks.results.pairing import Pairing, refuse_options
from ugc_tasks.results.statistics import mean_estimate

SCORERS: Mapping[str, str] = MappingProxyType(
    {
        name: "ugc_tasks.results.judged"
        if spec.judged
        else {"choice": "ugc_tasks.choice.accuracy", "ocr": "ugc_tasks.ocr.overlap"}[spec.kind]
        for name, spec in SPECS.items()
    }
)
"""The module that scores a task, by the task's short name (``ugc_tasks.benchmark``)."""

Mode = Literal["score", "skip"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""What OCR does with answers without a list of texts; the first is the default."""


@dataclass(frozen=True)
class SavedRun:
    """Saved answers to a task, and what they are scored with.

    Attributes:
        task: a key of ``SCORERS``.
        answers: the model's.
        home: where annotations, prompts and judgments are.
        environ: the judge's settings; holds the key, and is therefore not shown.
        references: folder of annotation files that goes before ``home``; None: ``home``'s, else
            as published.
        mode: one of ``MODES``; OCR alone has them.
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
        for spec in SPECS.values():
            if self.has_annotation(spec.annotations):
                with suppress(DataError):  # of another task: it is not needed here
                    path, _ = self.annotation(spec.annotations)
                    ids[spec.annotations] = set(clip_ids(path))
        return ids


@dataclass(frozen=True)
class Report:
    """The figures of saved answers.

    Attributes:
        n: clips in the means.
        failed: clips without a score although the file has an answer, or says why it has none. They
            are in no mean; their rows say why.
        missing: clips that the task asks about and the file does not mention.
        unknown: clips of the file that the task does not ask about. They are in no mean.
        metrics: the figures; None where there is nothing to take a mean of.
        ci95: ``[low, high]`` of those that are means, None below two clips.
        items: a row a clip, in the annotations' order.
        facts: more about the whole: the judge, the mode, where the references are from.
        notes: sentences for a person, on what the figures do not say.
        estimate: whether the figures are an estimate and no judge was asked.
    """

    n: int
    failed: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    metrics: Mapping[str, float | None]
    ci95: Mapping[str, tuple[float, float] | None]
    items: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    estimate: bool = False

    @property
    def complete(self) -> bool:
        """Whether every clip that the task asks about was scored, as its mode has it."""
        return self.answers_complete and not self.missing

    @property
    def answers_complete(self) -> bool:
        """Whether every clip that the file has an answer to was scored."""
        return not self.failed and self.n > 0

    def as_json(self, task: str) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "task": task,
            "n": self.n,
            "failed": self.failed,
            "metrics": dict(self.metrics),
            "ci95": {name: pair and list(pair) for name, pair in self.ci95.items()},
            "estimate": self.estimate,
            "missing": list(self.missing),
            "unknown": list(self.unknown),
            **self.facts,
            "items": [dict(item) for item in self.items],
        }


def score(run: SavedRun) -> Report:
    """Score saved answers with the scorer of their task.

    Raises:
        DataError: references or answers cannot be used.
        JudgeConfigError, JudgeStoreError: the judge cannot be asked.
    """
    if SPECS[run.task].judged:
        refuse_options(run.answers.path, run.answers.values)
    found: Report = import_module(SCORERS[run.task]).score(run)
    return found


def report(
    run: SavedRun,
    pairing: Pairing,
    items: Sequence[Mapping[str, Any]],
    *,
    n: int,
    metrics: Mapping[str, float | None],
    ci95: Mapping[str, tuple[float, float] | None],
    facts: Mapping[str, Any],
    skipped: int = 0,
    notes: Sequence[str] = (),
    estimate: bool = False,
) -> Report:
    """Return the report of a scorer: its rows and figures, and what the pairing knows.

    ``skipped`` clips are left out of the means and have not failed.
    """
    note = SPECS[run.task].note
    return Report(
        n=n,
        failed=len(items) - n - skipped,
        missing=pairing.missing,
        unknown=pairing.unknown,
        metrics=metrics,
        ci95=ci95,
        items=tuple(items),
        facts=facts,
        notes=(*pairing.notes, *([note] if note else []), *notes),
        estimate=estimate,
    )


def means(
    values: Mapping[str, Sequence[float]],
) -> tuple[dict[str, float | None], dict[str, tuple[float, float] | None]]:
    """Return ``metrics`` and ``ci95`` of a report whose figures are means over clips.

    A figure without a clip is None, and has no interval.
    """
    estimates = {name: mean_estimate(column) for name, column in values.items() if column}
    metrics = {name: estimates[name].mean if name in estimates else None for name in values}
    return metrics, {name: estimate.interval for name, estimate in estimates.items()}
