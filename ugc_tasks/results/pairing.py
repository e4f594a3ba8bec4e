"""Which saved answers belong to which questions, and which belong to none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers, UnnamedAnswer, refuse_twice

_LONG = 40
"""Characters of a reference that no model hits by chance."""

_MANY_LONG, _MANY = 2, 3


@dataclass(frozen=True)
class Pairing:
    """Answers against the clips that a task asks about.

    Attributes:
        pairs: id and answer of each clip that has both question and answer, in the task's order.
        missing: clips that the task asks about and the file does not answer.
        unknown: clips that the file answers and the task does not ask about.
        notes: what a person should know of the answers, a sentence each.
    """

    pairs: tuple[tuple[str, SavedAnswer], ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def wanted(self) -> int:
        """How many clips the task asks about."""
        return len(self.pairs) + len(self.missing)


def pair(saved: SavedAnswers, references: Mapping[str, Any]) -> Pairing:
    """Pair saved answers with a task's references by ``video_id``.

    Raises:
        DataError: they have no clip in common, so one of the two is another benchmark's; or as
            ``by_task_id``.
    """
    answers = by_task_id(saved, references)
    pairs = tuple((i, answers[i]) for i in references if i in answers)
    if not pairs:
        raise DataError(
            f"{saved.path}: none of its clips is one that this task asks about: it has for example "
            f"{next(iter(answers))}, the task {next(iter(references), 'none')}"
        )
    return Pairing(
        pairs=pairs,
        missing=tuple(video_id for video_id in references if video_id not in answers),
        unknown=tuple(video_id for video_id in answers if video_id not in references),
        notes=_copies(pairs, references),
    )


def by_task_id(saved: SavedAnswers, references: Mapping[str, Any]) -> dict[str, SavedAnswer]:
    """Return the answers by the ids as the task spells them (upper and lower case are one).

    Answers without an id are found by their number in the task where the references at these
    numbers are theirs, else by a reference that only one clip has.

    Raises:
        DataError: a clip is answered twice, or the clip of an answer cannot be told.
    """
    folded = {video_id.casefold(): video_id for video_id in references}
    found = [
        (i if i in references else folded.get(i.casefold(), i), answer)
        for i, answer in saved.answers.items()
    ]
    found += _identified(saved.unnamed, references)
    counts = Counter(video_id for video_id, _ in found)
    refuse_twice(saved.path, [video_id for video_id, count in counts.items() if count > 1])
    return dict(found)


def _identified(
    unnamed: tuple[UnnamedAnswer, ...], references: Mapping[str, Any]
) -> list[tuple[str, SavedAnswer]]:
    ids = list(references)
    targets = [_as_text(reference) for reference in references.values()]
    numbered = all(
        0 <= each.document < len(ids) and targets[each.document] == each.target.strip()
        for each in unnamed
    )
    if numbered:
        return [(ids[each.document], each.answer) for each in unnamed]
    counts = Counter(targets)
    by_target = dict(zip(targets, ids, strict=True))
    for each in unnamed:
        if counts[each.target.strip()] != 1:
            raise DataError(
                f"{each.where}: it has no video_id, and neither its doc_id nor its target tells "
                "which clip of this task it is of: the run left clips out, or had other "
                "references; write a video_id into each row"
            )
    return [(by_target[each.target.strip()], each.answer) for each in unnamed]


def _copies(
    pairs: tuple[tuple[str, SavedAnswer], ...], references: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return what to say of answers that are their references: those may have been read as answers.

    Two long texts are never the same by chance. Labels and texts on the screen are what a model is
    to say: of labels only a perfect score is worth a word, of texts half of them.
    """
    answered = [(i, answer.value) for i, answer in pairs if not answer.error]
    same = [i for i, value in answered if _key(value) == _key(references[i])]
    long = [i for i in same if isinstance(references[i], str) and len(references[i]) >= _LONG]
    of_lists = any(isinstance(references[i], list) for i in same)
    enough = len(answered) / 2 if of_lists else len(answered)
    if len(long) < _MANY_LONG and len(same) < max(enough, _MANY):
        return ()
    return (
        f"{len(same)} of {len(answered)} answers are the same as their references, letter for "
        "letter: a perfect model's, or references that were taken for answers (--answer-field)",
    )


def _key(value: Any) -> str:
    return _as_text(value).casefold()


def _as_text(value: Any) -> str:
    """Return a reference as lmms-eval writes it as a target, or an answer in the same way."""
    if isinstance(value, dict) and set(value) == {"ocr"}:
        value = value["ocr"]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip()
