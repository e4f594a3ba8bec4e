"""From an annotation file to what is asked of each clip and what the answer is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import Spec
from ugc_tasks.data.choice_questions import read_choice_questions
from ugc_tasks.data.ocr_references import read_ocr_references
from ugc_tasks.data.questions import content_digest, read_questions


@dataclass(frozen=True)
class Asked:
    """A task's questions.

    Attributes:
        question: what is asked of every clip.
        references: the right answer by ``video_id``: a text, or a list of texts (OCR).
        options: what a choice question offers, by ``video_id``; empty for the others.
        sha256: digest of question, ids and references.
    """

    question: str
    references: Mapping[str, Any]
    sha256: str
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def document(self, video_id: str) -> dict[str, Any]:
        """Return the part of lmms-eval's document that the annotations give."""
        options = self.options.get(video_id, ())
        return {
            "question": with_options(self.question, options) if options else self.question,
            "answer": self.references[video_id],
            "options": list(options),
        }


def ask(spec: Spec, path: Path) -> Asked:
    """Read the annotation file of a task.

    Raises:
        DataError: it is not of the layout that the task has.
    """
    if spec.kind == "choice":
        choice = read_choice_questions(path)
        return Asked(choice.question, choice.labels, choice.sha256, choice.options)
    if spec.kind == "ocr":
        references = read_ocr_references(path)
        question = spec.question or ""
        return Asked(question, references, content_digest(question, references))
    questions = read_questions(path)
    return Asked(questions.question, questions.answers, questions.sha256)


def with_options(question: str, options: tuple[str, ...]) -> str:
    """Put lettered options under a question, a line each."""
    letters = (chr(ord("A") + index) for index in range(len(options)))
    lines = (f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
    return "\n".join((question, *lines))
