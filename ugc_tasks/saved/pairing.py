"""Which saved answers belong to which questions, and which belong to none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ugc_tasks.data.home import DataError
from ugc_tasks.saved.answers import SavedAnswer, SavedAnswers


@dataclass(frozen=True)
class Pairing:
    """Answers against the clips that a task asks about.

    Attributes:
        pairs: id and answer of each clip that has both question and answer, in the task's order.
        missing: clips that the task asks about and the file does not answer.
        unknown: clips that the file answers and the task has no public reference for.
    """

    pairs: tuple[tuple[str, SavedAnswer], ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def wanted(self) -> int:
        """How many clips the task asks about."""
        return len(self.pairs) + len(self.missing)


def pair(saved: SavedAnswers, wanted: Iterable[str]) -> Pairing:
    """Pair saved answers with the ids ``wanted``.

    Raises:
        DataError: they have no clip in common, so one of the two is another benchmark's.
    """
    ids = list(dict.fromkeys(wanted))
    pairs = tuple(
        (video_id, saved.answers[video_id]) for video_id in ids if video_id in saved.answers
    )
    if not pairs:
        raise DataError(f"{saved.path}: none of its clips is one that this task asks about")
    known = set(ids)
    return Pairing(
        pairs=pairs,
        missing=tuple(video_id for video_id in ids if video_id not in saved.answers),
        unknown=tuple(video_id for video_id in saved.answers if video_id not in known),
    )
