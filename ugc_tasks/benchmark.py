"""The benchmark's tasks: what each asks, and which columns of the published table it fills.

With the system prompt that the published captions of Qwen2.5-Omni were made with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ugc_tasks.common.files import DataError
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
        name: short name, as in ``ugc-videocap score NAME``.
        annotations: file name of the references, as published.
        kind: how that file is laid out and the question is put.
        columns: the columns of the published table that the task fills, in its order.
        judged: the judge's question (``judge/protocol/profiles.py``), None where none is needed.
        question: what is asked where the annotations do not say it.
        note: what must be said wherever the task's number is shown.
        asks_some: whether its annotations are about some clips of the benchmark only.
    """

    name: str
    annotations: str
    kind: Kind = "text"
    columns: tuple[str, ...] = ()
    judged: str | None = None
    question: str | None = None
    note: str = ""
    asks_some: bool = False

    @property
    def task(self) -> str:
        """Name of the task in lmms-eval."""
        return "ugc_videocap" if self.name == "caption" else f"ugc_videocap_{self.name}"


_OURS = "the authors published no score for this question: the judging is ours"

SPECS: Mapping[str, Spec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            Spec(
                "caption",
                "final_caption_qa.json",
                columns=("visual", "audio", "details"),
                judged="caption",
            ),
            Spec(
                "voice_source",
                "voice_source.json",
                "choice",
                columns=("voice_source",),
                asks_some=True,
            ),
            Spec("tone", "tone.json", "choice", columns=("tone",)),
            Spec(
                "ocr",
                "ocr.jsonl",
                "ocr",
                columns=("ocr",),
                question=OCR_QUESTION,
                asks_some=True,
            ),
            Spec(
                "background",
                "back_ground_change_new.json",
                columns=("background",),
                judged="background",
                asks_some=True,
            ),
            Spec(
                "objects",
                "object.json",
                columns=("objects",),
                judged="objects",
                asks_some=True,
            ),
            Spec("audio_caption", "audio_caption_qa.json", judged="audio_caption", note=_OURS),
            Spec("visual_caption", "visual_caption_qa.json", judged="visual_caption", note=_OURS),
            Spec("bgm", "BGM.json", "choice", note="every label is No: this measures nothing"),
        )
    }
)
"""By short name."""

COLUMNS = tuple(column for spec in SPECS.values() for column in spec.columns)
"""The eight columns of the published table."""


def questions_of(spec: Spec, path: Path) -> Questions:
    """Read a task's annotation file; raises ``DataError`` where it has another form."""
    if spec.kind == "choice":
        return read_choice_questions(path)
    if spec.kind == "ocr":
        return read_ocr_questions(path, spec.question or "")
    return read_questions(path)


def published_system_prompt() -> str:
    """Return the system prompt of the published captions: the first turn of their whole prompt.

    Raises:
        DataError: the prompt cannot be had, or begins with no system turn.
    """
    home = Home.from_env(os.environ)
    prompt = official_text("inference_prompt", home=home.root, cache=home.cache)
    begin, end = "<|im_start|>system\n", "<|im_end|>"
    text, ended, _ = prompt.removeprefix(begin).partition(end)
    if not prompt.startswith(begin) or not ended:
        raise DataError("the official prompt 'inference_prompt' begins with no system turn")
    return text
