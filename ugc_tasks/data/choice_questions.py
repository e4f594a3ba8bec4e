"""Reading a choice question: what the annotations say, and the options they offer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.data.questions import read_questions

_MAX_OPTIONS = 26
"""As many as there are letters for them."""


@dataclass(frozen=True)
class ChoiceQuestions:
    """One annotation file with options.

    Attributes:
        question: what is asked of every clip, without the options.
        labels: the right option by ``video_id``, spelled as the options are.
        options: what each clip's question offers, in the order of their letters.
        sha256: digest of question, ids and labels as published.
    """

    question: str
    labels: Mapping[str, str]
    options: Mapping[str, tuple[str, ...]]
    sha256: str


def read_choice_questions(path: Path) -> ChoiceQuestions:
    """Read an annotation file whose samples have ``options``.

    Raises:
        DataError: as ``read_questions``; a sample has no usable options; its answer is none of
            them.
    """
    questions = read_questions(path)
    samples = json.loads(path.read_text("utf-8"))["samples"]  # a good file, read_questions says
    options = {sample["video_id"]: _options(path, sample) for sample in samples}
    labels = {}
    for video_id, answer in questions.answers.items():
        spelled = {option.casefold(): option for option in options[video_id]}
        label = spelled.get(answer.strip().casefold())
        if label is None:
            raise DataError(
                f"{path}: the answer of {video_id} is none of its options: {answer!r:.80}"
            )
        labels[video_id] = label
    return ChoiceQuestions(questions.question, labels, options, questions.sha256)


def _options(path: Path, sample: Mapping[str, Any]) -> tuple[str, ...]:
    options = sample.get("options")
    usable = (
        isinstance(options, list)
        and 2 <= len(options) <= _MAX_OPTIONS
        and all(isinstance(option, str) and option.strip() for option in options)
        and len({option.strip().casefold() for option in options}) == len(options)
    )
    if not usable:
        raise DataError(
            f"{path}: {sample['video_id']} needs 2 to {_MAX_OPTIONS} different options, each a text"
        )
    return tuple(option.strip() for option in options or ())
