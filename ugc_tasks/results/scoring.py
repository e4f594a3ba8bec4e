"""Scoring saved answers, whatever the task: what a scorer gets, what it returns, who it is.

A scorer is a module with ``score(request: Request) -> Report``; ``SCORERS`` names it. It is
imported when its task is scored, so that none makes the others, or the command's help, slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.results.answers import SavedAnswers
from ugc_tasks.results.likeness import refuse_options
from ugc_tasks.results.statistics import mean_estimate


@dataclass(frozen=True)
class Scorer:
    """A task's scorer: its module, whether a judge is asked, and the modes that it knows."""

    module: str
    judged: bool = False
    modes: tuple[str, ...] = ()


SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        "caption": Scorer("ugc_tasks.results.judged", judged=True),
        "voice_source": Scorer("ugc_tasks.choice.accuracy"),
        "tone": Scorer("ugc_tasks.choice.accuracy"),
        "ocr": Scorer("ugc_tasks.ocr.overlap", modes=("score", "skip")),
        "background": Scorer("ugc_tasks.results.judged", judged=True),
        "objects": Scorer("ugc_tasks.results.judged", judged=True),
        "audio_caption": Scorer("ugc_tasks.results.judged", judged=True),
        "visual_caption": Scorer("ugc_tasks.results.judged", judged=True),
        "bgm": Scorer("ugc_tasks.choice.accuracy"),
    }
)
"""By short name of the task (``ugc_tasks.benchmark``); the first of ``modes`` is the default."""


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Attributes:
        task: a key of ``SCORERS``.
        answers: the model's.
        home: where annotations, prompts and judgments are.
        environ: the judge's settings; holds the key, and is therefore not shown.
        references: folder of annotation files that goes before ``home``; None: ``home``'s, else
            as published.
        mode: one of the scorer's modes, empty where it has none.
    """

    task: str
    answers: SavedAnswers
    home: Home
    environ: Mapping[str, str] = field(repr=False)
    references: Path | None = None
    mode: str = ""

    def annotation(self, name: str) -> tuple[Path, str]:
        """Return the path of an annotation file and where it is from; raises ``DataError``."""
        if self.references is not None:
            path = self.references / name
            if not path.is_file():
                raise DataError(f"{name} is not in {self.references}: put it there as published")
            return path, str(self.references)
        from ugc_tasks.data.published import annotation

        found = annotation(name, self.home)
        return found.path, found.source

    def has_annotation(self, name: str) -> bool:
        """Tell whether ``annotation`` finds a file, or fails, without asking the network."""
        from ugc_tasks.data.published import is_published

        own = self.home.root is not None and (self.home.root / name).is_file()
        return self.references is not None or own or is_published(self.home.cache / name)

    def at_hand(self) -> dict[str, set[str]]:
        """Return the clips of the tasks whose annotations are here, by annotation file."""
        from ugc_tasks.data.questions import clip_ids

        ids = {}
        for spec in SPECS.values():
            if self.has_annotation(spec.annotations):
                with suppress(DataError):  # of another task: it is not missed here
                    path, _ = self.annotation(spec.annotations)
                    ids[spec.annotations] = set(clip_ids(path))
        return ids


@dataclass(frozen=True)
class Report:
    """What became of the answers.

    Attributes:
        n: clips in the means.
        failed: clips with an answer in the file, or the model's word that there is none, that could
            not be scored. Each one's item says why. They are in no mean.
        missing: clips that the task asks about and the file does not mention.
        unknown: clips of the file that the task does not ask about. They are in no mean.
        metrics: the figures; None where there is nothing to take a mean of.
        ci95: ``[low, high]`` of those that are means, None below two clips.
        items: a row a clip, in the annotations' order.
        facts: more to say of the whole: the judge, the mode, where the references are from.
        notes: sentences for a person, on what the figures are not.
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


def score(request: Request) -> Report:
    """Score saved answers with the scorer of their task.

    Raises:
        DataError: references or answers cannot be used.
        JudgeConfigError, JudgeStoreError: the judge cannot be asked.
    """
    if SCORERS[request.task].judged:
        refuse_options(request.answers.path, request.answers.values)
    report = import_module(SCORERS[request.task].module).score(request)
    if not isinstance(report, Report):
        raise TypeError(f"the scorer of {request.task} returned no report")
    return report


def means(
    values: Mapping[str, Sequence[float]],
) -> tuple[dict[str, float | None], dict[str, tuple[float, float] | None]]:
    """Return ``metrics`` and ``ci95`` of a report whose figures are means over clips.

    A figure without a clip is None, and has no interval.
    """
    estimates = {name: mean_estimate(column) for name, column in values.items() if column}
    metrics = {name: estimates[name].mean if name in estimates else None for name in values}
    return metrics, {name: estimate.interval for name, estimate in estimates.items()}


def failure_of(video_id: str, error: str) -> dict[str, Any]:
    """Return the item of a clip that the model gave no answer for."""
    return {"video_id": video_id, "failure": error}
