"""The benchmark's tasks: which annotations each asks about, which published column it fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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
        judged: the judge's question (``judge/protocol/questions.py``), None where none is needed.
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
