"""The benchmark's tasks: what each asks, and which columns of the published table it fills."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ugc_tasks.data.home import Home
from ugc_tasks.data.published import official_text
from ugc_tasks.data.questions import (
    Questions,
    read_choice_questions,
    read_ocr_questions,
    read_questions,
)

Kind = Literal["text", "choice", "ocr"]

OCR_QUESTION = (
    "Which English texts can be read in the video? Give each one once, as it is written, in the "
    'order in which they appear. Answer with JSON only: {"ocr": ["first text", "second text"]}. '
    'If there is no text, answer {"ocr": []}.'
)
"""In our words: the benchmark published references and answers for this question, not its text."""


@dataclass(frozen=True)
class Spec:
    """One task.

    Attributes:
        name: short name, as in ``ugc-videocap score NAME``; where the task is judged, also the
            judge's question (``judge/protocol/profiles.py``).
        annotations: file name of the references, as published.
        kind: how that file is laid out and the question is put; texts are judged.
        columns: the columns of the published table that the task fills, in its order.
        note: what must be said wherever the task's number is shown.
    """

    name: str
    annotations: str
    kind: Kind
    columns: tuple[str, ...] = ()
    note: str = ""

    @property
    def task(self) -> str:
        """Name of the task in lmms-eval."""
        return "ugc_videocap" if self.name == "caption" else f"ugc_videocap_{self.name}"

    @property
    def judged(self) -> bool:
        """Whether a judge scores it."""
        return self.kind == "text"


_OURS = "the authors published no score for this question: the judging is ours"
_TASKS = (
    Spec("caption", "final_caption_qa.json", "text", ("visual", "audio", "details")),
    Spec("voice_source", "voice_source.json", "choice", ("voice_source",)),
    Spec("tone", "tone.json", "choice", ("tone",)),
    Spec("ocr", "ocr.jsonl", "ocr", ("ocr",)),
    Spec("background", "back_ground_change_new.json", "text", ("background",)),
    Spec("objects", "object.json", "text", ("objects",)),
    Spec("audio_caption", "audio_caption_qa.json", "text", note=_OURS),
    Spec("visual_caption", "visual_caption_qa.json", "text", note=_OURS),
    Spec("bgm", "BGM.json", "choice", note="every label is No: this measures nothing"),
)
SPECS: Mapping[str, Spec] = MappingProxyType({spec.name: spec for spec in _TASKS})
COLUMNS = tuple(column for spec in _TASKS for column in spec.columns)


def questions_of(spec: Spec, path: Path) -> Questions:
    """Read a task's annotation file; raises ``DataError`` where it has another form."""
    if spec.kind == "choice":
        return read_choice_questions(path)
    if spec.kind == "ocr":
        return read_ocr_questions(path, OCR_QUESTION)
    return read_questions(path)


def published_system_prompt() -> str:
    """Return the system prompt of Qwen2.5-Omni's published captions: their prompt's first turn.

    Raises ``DataError`` where the prompt, which is known by its digest, cannot be had.
    """
    home = Home.from_env(os.environ)
    prompt = official_text("inference_prompt", home=home.root, cache=home.cache)
    return prompt.removeprefix("<|im_start|>system\n").partition("<|im_end|>")[0]
