"""What goes into the judge and what comes out: items, replies, judgments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean

SEVERAL = " + "
"""Separates names where a judgment has more than one."""

Scores = dict[str, float]
"""What a judgment says: named numbers, at least one.

Those of a caption are ``visual``, ``audio`` and ``details``, each from 1 (worst) to 5: whole
numbers from a judge, fractions from an estimate.
"""


@dataclass(frozen=True)
class Usage:
    """What replies cost: tokens as the endpoint counts them, US dollars where a price is known.

    ``cached_tokens`` are a part of the prompt's, ``reasoning_tokens`` of the completion's; 0 also
    where the endpoint does not tell.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0


def total_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Return the sum of the usages that there are, None without any; dollars as far as known."""
    paid = [usage for usage in usages if usage is not None]
    known = [usage.usd for usage in paid if usage.usd is not None]
    if not paid:
        return None
    return Usage(
        sum(usage.prompt_tokens for usage in paid),
        sum(usage.completion_tokens for usage in paid),
        sum(known) if known else None,
        sum(usage.cached_tokens for usage in paid),
        sum(usage.reasoning_tokens for usage in paid),
    )


@dataclass(frozen=True)
class ChatReply:
    """One reply of the judge as it came, with what the endpoint said about it.

    ``lacks`` is why its text is no answer (a refusal, or no text); None where it may be one.
    """

    text: str
    finish_reason: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    lacks: str | None = None
    cached_tokens: int | None = None  # of the prompt's
    reasoning_tokens: int | None = None  # of the completion's


@dataclass(frozen=True)
class JudgeItem:
    """An answer to judge: the clip's id, the answer, and the reference it is compared with.

    Each of several independent judgments of an answer (``UGC_JUDGE_REPEATS``) is an item of its own
    with its number in ``repeat``, from 0: the request is the same, and it is asked for, kept on
    disk and paid for by itself. So more repeats than before pay for the new ones only.
    """

    video_id: str
    prediction: str
    reference: str
    repeat: int = 0


@dataclass(frozen=True)
class Judgment:
    """What became of an item: either ``scores`` or a ``failure``, never both.

    Attributes:
        reply: the judge's last text, None if there was none.
        failure: on one line that is safe to show; ``cut`` where the last reply had no room for its
            scores.
        model, fingerprint: what the endpoint said it ran.
        stored: whether the reply was on disk and nothing was asked.
        attempts: replies received for the item, earlier runs included.
        usage: what the item's replies cost: those of this run, or the one on disk. None where
            nothing was paid, or another item with the same request has it.
        unlike: why an estimate is a guess (``estimate.unlike``); empty where it is not one.
        sanitized: why the answer was not sent as it is (``sanitize.REASONS``).
        repeats: what this one is the mean of, in order; empty for one that stands alone.
        request_sha256: digest of what was asked and where (``profiles.judgment_key``); None where
            nothing is asked. It ties the scores to this answer, reference and prompt.
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
    request_sha256: str | None = None
    cut: bool = False


# ---- several judgments of one item ----


def mean_judgment(judgments: Sequence[Judgment]) -> Judgment:
    """Return the judgment that stands for ``judgments``, the repeats of one item.

    Its scores are the mean of those that were scored; if none was, it has the failure and the reply
    of the last one. It counts as stored where all were.
    """
    scored = [judgment.scores for judgment in judgments if judgment.scores is not None]

    def named(names: set[str | None]) -> str | None:
        return SEVERAL.join(sorted(filter(None, names))) or None

    return replace(
        judgments[-1],
        scores={name: fmean(each[name] for each in scored) for name in scored[0]}
        if scored
        else None,
        failure=None if scored else judgments[-1].failure,
        model=named({judgment.model for judgment in judgments}),
        fingerprint=named({judgment.fingerprint for judgment in judgments}),
        stored=all(judgment.stored for judgment in judgments),
        attempts=sum(judgment.attempts for judgment in judgments),
        usage=total_usage(judgment.usage for judgment in judgments),
        repeats=tuple(judgments),
    )


def mean_of_repeats(futures: Sequence[Future[Judgment]]) -> Future[Judgment]:
    """Return the future of the mean of ``futures``, which do not fail. It cannot be cancelled."""
    mean: Future[Judgment] = Future()
    mean.set_running_or_notify_cancel()

    def settle(_: Future[Judgment]) -> None:
        if all(future.done() for future in futures):  # no thread waits for it
            with suppress(InvalidStateError):  # two were the last at once
                mean.set_result(mean_judgment([future.result() for future in futures]))

    for future in futures:
        future.add_done_callback(settle)
    return mean
