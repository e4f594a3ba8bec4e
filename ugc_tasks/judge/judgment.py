"""What goes into the judge and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from ugc_tasks.common.display import shown
from ugc_tasks.judge.sanitize import without_hidden
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.usage import Usage

_MAX_CHARS = (
    100_000  # some forty times the longest caption published; beyond it a reply costs dollars
)


@dataclass(frozen=True)
class JudgeItem:
    """An answer to judge: the clip's id, the answer, and the reference it is held against.

    ``repeat`` is the how-manieth of several independent judgments of it is wanted, from 0
    (``repeats.py``). The request is the same for all of them; they are kept apart on disk.
    """

    video_id: str
    prediction: str
    reference: str
    repeat: int = 0


@dataclass(frozen=True)
class Judgment:
    """What became of an item: either ``scores`` or a ``failure``, never both and never neither.

    ``reply`` is the judge's last text (None where there was none), ``model`` and ``fingerprint``
    are what the endpoint said it ran, ``stored`` tells that nothing was asked because the reply was
    on disk, and ``attempts`` counts the replies received for the item, earlier runs included.
    ``usage`` is what its replies cost: those of this run, or that of the reply on disk. It is None
    where nothing was paid, or another item with the same request has it. ``unlike`` is why an
    estimate is a guess (``offline.unlike``); empty where it is not, and for a judge's scores.

    ``sanitized`` is why the answer was not sent as it is (``sanitize.REASONS``); often empty.
    ``repeats`` are the judgments that this one is the mean of, scored or not, in order; empty for a
    judgment that stands alone (``repeats.py`` says what the other fields are then).
    """

    video_id: str
    scores: Scores | None = None
    reply: str | None = None
    failure: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    stored: bool = False
    attempts: int = 0
    usage: Usage | None = None
    unlike: str = ""
    sanitized: tuple[str, ...] = ()
    repeats: tuple[Judgment, ...] = ()

    def __post_init__(self) -> None:
        """Hold the promise above, and make what others said of a failure harmless to show."""
        if (self.scores is None) == (self.failure is None):
            raise ValueError("a judgment has either scores or a failure")
        if self.failure is not None:
            object.__setattr__(self, "failure", shown(self.failure, limit=1_000))


def why_not_judged(item: JudgeItem, subject: str = "caption") -> str | None:
    """Return why ``item`` is not sent to any judge, None if it can be.

    ``subject`` is what the prediction is called in that sentence.
    """
    if not without_hidden(item.prediction).strip():
        return f"empty {subject}"
    if not item.reference.strip():
        return "empty reference"
    if len(item.prediction) > _MAX_CHARS or len(item.reference) > _MAX_CHARS:
        return f"{subject} or reference longer than {_MAX_CHARS} characters"
    return None
