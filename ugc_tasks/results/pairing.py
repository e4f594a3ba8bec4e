"""Which saved answers belong to which questions, and whether they are of another task."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError, quoted
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers, refuse_twice

_LONG_REFERENCE = 40  # characters of a reference that no model gives by chance
_MANY_LONG, _MANY = 2, 3
_LONG_ANSWER = 80  # characters; the shortest recorded caption has 296, the longest option 15
_FEWEST = 2
_MAJORITY = 2 / 3

_CHOICE = re.compile(
    r"\W*(?:[a-h]\W+)?(?:positive|neutral|negative|in-video voice|out-video voice|narration)\W*"
    r"|\W*(?:(?:answer|option)\W+)?[a-h]\W*",
    re.IGNORECASE,
)  # an option of the benchmark, its letter, or both; "No" may also answer other questions


@dataclass(frozen=True)
class Pairing:
    """Answers and the clips that a task asks about.

    Attributes:
        saved: the answer of each clip that has both question and answer, in the task's order.
        answers: what of these is scored.
        missing: clips that the task asks about and the file does not answer.
        unknown: clips that the file answers and the task does not ask about.
        notes: what a person should know of the answers, a sentence each.
    """

    saved: Mapping[str, SavedAnswer]
    answers: Mapping[str, ModelAnswer]
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pair(
    saved: SavedAnswers, references: Mapping[str, Any], task: str = "", options: Sequence[str] = ()
) -> Pairing:
    """Pair saved answers with a task's references by ``video_id``, in whatever case it is written.

    Answers without an id are found by their number in the task if all their references stand at
    these numbers, else by a reference that only one clip has.

    Args:
        saved: the answers.
        references: by ``video_id``, in the task's order.
        task: its short name; of another suite's, any other text.
        options: what its questions offer, if anything.

    Raises:
        DataError: a clip is answered twice, cannot be found, or none is one of the task's; or the
            answers look like those to another task.
    """
    if task in SPECS and SPECS[task].judged:
        _refuse_options(saved)
    folded = {video_id.casefold(): video_id for video_id in references}
    found = [
        (i if i in references else folded.get(i.casefold(), i), answer)
        for i, answer in saved.answers.items()
    ]
    found += _identified(saved, references)
    refuse_twice(saved.path, [video_id for video_id, _ in found])
    given = dict(found)
    paired = {i: given[i] for i in references if i in given}
    if not paired:
        raise DataError(
            f"{saved.path}: none of its clips is one that this task asks about: it has for example "
            f"{next(iter(given))}, the task {next(iter(references), 'none')}"
        )
    answers = {i: answer.read(task) for i, answer in paired.items()}
    if options:
        _refuse_descriptions(saved.path, answers.values(), options)
    return Pairing(
        saved=paired,
        answers=answers,
        missing=tuple(video_id for video_id in references if video_id not in given),
        unknown=tuple(video_id for video_id in given if video_id not in references),
        notes=_copies(paired, references),
    )


def _identified(
    saved: SavedAnswers, references: Mapping[str, Any]
) -> Iterator[tuple[str, SavedAnswer]]:
    ids, targets = list(references), [_as_text(reference) for reference in references.values()]
    numbered = all(
        0 <= each.document < len(ids) and targets[each.document] == each.target.strip()
        for each in saved.unnamed
    )
    counts, by_target = Counter(targets), dict(zip(targets, ids, strict=True))
    for each in saved.unnamed:
        target = each.target.strip()
        if not numbered and counts[target] != 1:
            raise DataError(
                f"{each.where}: it has no video_id, and neither its doc_id nor its target tells "
                "which clip of this task it is of: the run left clips out, or had other "
                "references; write a video_id into each row"
            )
        yield (ids[each.document] if numbered else by_target[target]), each.answer


def _copies(paired: Mapping[str, SavedAnswer], references: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note if many answers equal their references, which may have been read as answers.

    Long texts are never the same by chance. Labels are noted only if all are right, texts on the
    screen if half of them are.
    """
    answered = [(i, answer.value) for i, answer in paired.items() if not answer.error]
    same = [
        references[i]
        for i, value in answered
        if _as_text(value).casefold() == _as_text(references[i]).casefold()
    ]
    long = [text for text in same if isinstance(text, str) and len(text) >= _LONG_REFERENCE]
    of_lists = any(isinstance(reference, list) for reference in same)
    enough = len(answered) / 2 if of_lists else len(answered)
    if len(long) < _MANY_LONG and len(same) < max(enough, _MANY):
        return ()
    return (
        f"{len(same)} of {len(answered)} answers are the same as their references, letter for "
        "letter: a perfect model's, or references that were taken for answers (--answer-field)",
    )


def _as_text(value: Any) -> str:
    """Return a reference as lmms-eval writes it as a target, or an answer in the same way."""
    if isinstance(value, dict) and set(value) == {"ocr"}:
        value = value["ocr"]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip()


def _refuse_options(saved: SavedAnswers) -> None:
    """Raise ``DataError`` if answers to be judged as texts are options of a choice question."""
    answers = [*saved.answers.values(), *(each.answer for each in saved.unnamed)]
    texts = [a.value.strip() for a in answers if isinstance(a.value, str) and a.value.strip()]
    options = [t for t in texts if len(t) < _LONG_ANSWER and _CHOICE.fullmatch(t)]
    if len(texts) >= _FEWEST and len(options) > _MAJORITY * len(texts):
        raise DataError(
            f"{saved.path}: {len(options)} of {len(texts)} answers are options or letters, such as "
            f"{quoted(options[0])}, no descriptions: is it a file of tone or voice_source?"
        )


def _refuse_descriptions(
    path: Path, answers: Iterable[ModelAnswer], options: Sequence[str]
) -> None:
    """Raise ``DataError`` if answers to a choice question are long texts that name no option."""
    named = re.compile(
        "|".join(rf"\b{re.escape(option)}\b" for option in options) + r"|\b(?:answer|option)\b",
        re.IGNORECASE,
    )
    texts = [answer.text for answer in answers if not answer.failure]
    long = [text for text in texts if len(text) >= _LONG_ANSWER and not named.search(text)]
    if len(texts) >= _FEWEST and len(long) > _MAJORITY * len(texts):
        raise DataError(
            f"{path}: {len(long)} of {len(texts)} answers are long texts that name none of the "
            f"options ({', '.join(options)}), such as {quoted(long[0])}: is it a file of captions?"
        )
