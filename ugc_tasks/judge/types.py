"""What goes into the judge and what comes out: items, replies, scores, judgments."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import fmean

from ugc_tasks.common.display import shown
from ugc_tasks.judge.protocol.sanitize import without_hidden

SEVERAL = " + "
"""Separates names where a judgment has more than one."""

# Some forty times the longest caption published; beyond it a reply costs dollars.
_MAX_CHARS = 100_000


def _caption_value(name: str) -> property:
    def value(scores: Scores) -> float:
        if name not in scores:
            raise AttributeError(f"{name} was not judged, only {', '.join(scores)}")
        return scores[name]

    return property(value)


class Scores(Mapping[str, float]):
    """What a judgment says: named numbers, at least one, which do not change.

    ``Scores(4, 3, 5)`` is a caption's: visual, audio, details, each from 1 (worst) to 5, whole
    numbers from a judge and fractions from an estimate. Those of another question are given and
    found by name: ``Scores(consistent=1.0)["consistent"]``.
    """

    def __init__(
        self,
        visual: float | None = None,
        audio: float | None = None,
        details: float | None = None,
        **others: float,
    ) -> None:
        """Take the values there are; raises ``ValueError`` for none at all."""
        caption = {"visual": visual, "audio": audio, "details": details}
        values = {name: value for name, value in caption.items() if value is not None} | others
        if not values:
            raise ValueError("scores have at least one value")
        self._values = values

    visual = _caption_value("visual")
    audio = _caption_value("audio")
    details = _caption_value("details")

    def __getitem__(self, name: str) -> float:
        """Return the value ``name``; raises ``KeyError``."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._values)

    def __hash__(self) -> int:
        """Hash as it compares: by names and values, in any order."""
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"Scores({', '.join(f'{name}={value!r}' for name, value in self.items())})"


@dataclass(frozen=True)
class Usage:
    """What replies cost: tokens as the endpoint counts them, US dollars where a price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """Return both together; dollars are those that are known."""
        known = [usage.usd for usage in (self, other) if usage.usd is not None]
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            sum(known) if known else None,
        )


def total_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Return the sum of the usages that there are, None without any."""
    paid = [usage for usage in usages if usage is not None]
    return sum(paid[1:], paid[0]) if paid else None


@dataclass(frozen=True)
class ChatReply:
    """One reply of the judge as it came, with what the endpoint said about it.

    ``lacks`` is why its text is no answer (the judge declined, or there is no text); None where it
    may be one.
    """

    text: str
    finish_reason: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    lacks: str | None = None


@dataclass(frozen=True)
class JudgeItem:
    """An answer to judge: the clip's id, the answer, and the reference it is compared with.

    Where several independent judgments of an answer are wanted (``UGC_JUDGE_REPEATS``), each is an
    item of its own with its number in ``repeat``, from 0: it is asked for, kept on disk and paid
    for by itself. So more repeats than before pay for the new ones only. The request is the same
    for all of them.
    """

    video_id: str
    prediction: str
    reference: str
    repeat: int = 0

    def repeats(self, times: int) -> list[JudgeItem]:
        """Return the item as often as it is to be judged."""
        return [dataclasses.replace(self, repeat=repeat) for repeat in range(times)]

    def first(self) -> JudgeItem:
        """Return the first repeat of the item."""
        return dataclasses.replace(self, repeat=0) if self.repeat else self


@dataclass(frozen=True)
class Judgment:
    """What became of an item: either ``scores`` or a ``failure``, never both and never neither.

    Attributes:
        reply: the judge's last text, None if there was none.
        model, fingerprint: what the endpoint said it ran.
        stored: whether the reply was on disk and nothing was asked.
        attempts: replies received for the item, earlier runs included.
        usage: what the item's replies cost: those of this run, or the one on disk. None where
            nothing was paid, or another item with the same request has it.
        unlike: why an estimate is a guess (``estimate.unlike``); empty where it is not one.
        sanitized: why the answer was not sent as it is (``sanitize.REASONS``).
        repeats: the judgments that this one is the mean of, scored or not, in order; empty for a
            judgment that stands alone.
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
        """Check the promise above, and make what others said of a failure harmless to show."""
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


def mean_judgment(judgments: Sequence[Judgment]) -> Judgment:
    """Return the judgment that stands for all of ``judgments``, the repeats of one item.

    Its scores are the mean of those that were scored. If none was, it is a failure for the reason
    of the last one, whose reply it has. All models and fingerprints are named, attempts and usage
    are sums, and it counts as stored where all were.
    """
    scored = [judgment.scores for judgment in judgments if judgment.scores is not None]
    last = judgments[-1]
    mean = {
        name: fmean(scores[name] for scores in scored) for name in (scored[0] if scored else ())
    }
    return Judgment(
        last.video_id,
        scores=Scores(**mean) if scored else None,
        reply=last.reply,
        failure=None if scored else last.failure,
        model=_all_named(judgment.model for judgment in judgments),
        fingerprint=_all_named(judgment.fingerprint for judgment in judgments),
        stored=all(judgment.stored for judgment in judgments),
        attempts=sum(judgment.attempts for judgment in judgments),
        usage=total_usage(judgment.usage for judgment in judgments),
        sanitized=last.sanitized,
        repeats=tuple(judgments),
    )


def _all_named(names: Iterable[str | None]) -> str | None:
    return SEVERAL.join(sorted({name for name in names if name})) or None


def mean_of_repeats(futures: Sequence[Future[Judgment]]) -> Future[Judgment]:
    """Return the future of the mean of ``futures``: the judgment itself if there is but one.

    No thread waits for it: the last of ``futures`` to be done settles it. It cannot be cancelled.
    """
    if len(futures) == 1:
        return futures[0]
    mean: Future[Judgment] = Future()
    mean.set_running_or_notify_cancel()
    lock, left = threading.Lock(), len(futures)

    def count_down(_: Future[Judgment]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        try:
            mean.set_result(mean_judgment([future.result() for future in futures]))
        except Exception as error:  # a future swallows what its callback raises: all would wait
            mean.set_exception(error)

    for future in futures:
        future.add_done_callback(count_down)
    return mean
