"""What one run of a task works on: its questions, its clips, its judge.

Everything that can be missing is looked for here, when lmms-eval loads the task and before anything
costs money or time.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS, Spec, questions_of
from ugc_tasks.common.machine import versions
from ugc_tasks.data.home import Coverage, Home, clip_file, find_videos, require_videos
from ugc_tasks.data.published import Annotation, annotation
from ugc_tasks.data.questions import Questions
from ugc_tasks.judge.judge import Judge, open_judge, stop_on_interrupt
from ugc_tasks.judge.protocol.profiles import QUESTIONS

VERSION = 1.0
Order = Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]]
_orders: list[weakref.WeakMethod[Order]] = []


@dataclass(frozen=True)
class Run:
    """Checked inputs of a run; ``judging`` is the judge in the results, empty if unjudged.

    ``rows`` and ``clips`` are the rows that were made and the paths that were asked for so far, by
    ``video_id``.
    """

    spec: Spec
    home: Home
    annotation: Annotation
    questions: Questions
    coverage: Coverage
    judge: Judge | None
    judging: Mapping[str, Any]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)
    clips: dict[str, str] = field(default_factory=dict, compare=False)

    def documents(self) -> list[dict[str, Any]]:
        """Return lmms-eval's documents: one a clip that is there, in the annotations' order.

        A model that answers from files may have put them into another order.
        """
        documents = [
            {"video_id": video_id, "task": self.spec.name, **self.questions.document(video_id)}
            for video_id in self.coverage.present
        ]
        order = _order()
        return order(self.spec.task, documents) if order else documents

    def clip(self, video_id: str) -> Path:
        """Return the path of a clip."""
        path = clip_file(self.home.videos, video_id)
        self.clips[video_id] = str(path)
        return path

    def keep(self, row: dict[str, Any]) -> dict[str, Any]:
        """Remember the row of a clip, for the facts of the run, and return it."""
        self.rows[row["video_id"]] = row
        return row

    @property
    def wanted(self) -> int:
        """How many clips the task asks about, missing ones included."""
        return len(self.questions.references)

    def metadata(self) -> dict[str, Any]:
        """Return what the results must state about how their numbers came about."""
        return {
            "version": VERSION,
            "task": self.spec.name,
            **({"note": self.spec.note} if self.spec.note else {}),
            "annotations": self.annotation.source,
            "annotations_sha256": self.questions.sha256,
            "clips_wanted": self.wanted,
            "clips_missing": list(self.coverage.missing),
            **({"judge": dict(self.judging)} if self.judging else {}),
            "packages": versions(),
        }


def answer_from_files(order: Order) -> None:
    """Have no clip looked for, and a method order each task's documents, while its object lives."""
    _orders[:] = [weakref.WeakMethod(order)]


def _order() -> Order | None:
    return _orders[0]() if _orders else None


def current_run(name: str) -> Run:
    """Return the run of a task that the environment describes; the same one while it stays so.

    Raises:
        DataError: annotations, clips or an official prompt are missing.
        JudgeConfigError, JudgeStoreError: the judge cannot be asked as configured.
    """
    relevant = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("UGC_", "OPENAI_", "AZURE_", "HF_", "XDG_")) or name == "WORLD_SIZE"
    }
    return _run(SPECS[name], tuple(sorted(relevant.items())), needs_clips=_order() is None)


def new_run(name: str) -> Run:
    """Return ``current_run`` for a new run: the last one, in a notebook, may be interrupted."""
    run = current_run(name)
    if run.judge is not None and run.judge.interrupted:
        _run.cache_clear()
        run = current_run(name)
    run.rows.clear()
    run.clips.clear()
    return run


@lru_cache(maxsize=32)
def _run(spec: Spec, environment: tuple[tuple[str, str], ...], *, needs_clips: bool) -> Run:
    environ: Mapping[str, str] = dict(environment)
    home = Home.from_env(environ)
    source = annotation(spec.annotations, home)
    questions = questions_of(spec, source.path)
    coverage = Coverage(home.videos, tuple(questions.references), ())
    if needs_clips:
        coverage = find_videos(home.videos, questions.references)
        require_videos(coverage, allow_partial=home.allow_partial)
    if not spec.judged:
        return Run(spec, home, source, questions, coverage, None, {})
    unlike = environ.get("UGC_JUDGE_PROFILE") == "offline" and not QUESTIONS[spec.name].has_estimate
    if unlike:
        # The estimate is of whole captions. A group with other tasks in it still runs: those have
        # no score, and their label says why.
        environ = {**environ, "UGC_JUDGE_PROFILE": "none"}
    judge = open_judge(environ, home=home.root, cache=home.cache, question=spec.name)
    judge.check_end()
    stop_on_interrupt(judge)
    judging = judge.describe()
    if judging["profile"] == "none":
        label = f"none: no offline estimate of {spec.name}" if unlike else "none"
        return Run(spec, home, source, questions, coverage, None, {**judging, "label": label})
    return Run(spec, home, source, questions, coverage, judge, judging)
