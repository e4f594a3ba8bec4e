"""Several independent judgments of one answer, and the one that stands for them: their mean.

A repeat is an item like any other: asked for, kept on disk, resumed and paid for by itself
(``UGC_JUDGE_REPEATS``). So more repeats than before pay only for those that are new, and fewer take
the first of those on disk.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from statistics import fmean

from ugc_tasks.judge.judgment import JudgeItem, Judgment
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.usage import Usage

SEVERAL = " + "
"""Stands between names where there is more than one."""


def repeated(item: JudgeItem, times: int) -> list[JudgeItem]:
    """Return ``item`` as often as it is to be judged."""
    return [dataclasses.replace(item, repeat=repeat) for repeat in range(times)]


def first_of(item: JudgeItem) -> JudgeItem:
    """Return the first repeat of an item, which has the request of all of them."""
    return dataclasses.replace(item, repeat=0) if item.repeat else item


def combined(judgments: Sequence[Judgment]) -> Judgment:
    """Return the judgment that stands for all of ``judgments``, which are of one item.

    Its scores are the mean of those that were scored. If none was, it is a failure, for the last
    one's reason. The reply is the last one's, too; models and fingerprints are all named, attempts
    and usage are sums, and it counts as stored where all were.
    """
    scored = [judgment.scores for judgment in judgments if judgment.scores is not None]
    last = judgments[-1]
    return Judgment(
        last.video_id,
        scores=_mean(scored) if scored else None,
        reply=last.reply,
        failure=None if scored else last.failure,
        model=_named(judgment.model for judgment in judgments),
        fingerprint=_named(judgment.fingerprint for judgment in judgments),
        stored=all(judgment.stored for judgment in judgments),
        attempts=sum(judgment.attempts for judgment in judgments),
        usage=_sum(judgment.usage for judgment in judgments),
        sanitized=last.sanitized,
        repeats=tuple(judgments),
    )


def together(futures: Sequence[Future[Judgment]]) -> Future[Judgment]:
    """Return the future of what ``futures`` come to: the judgment itself if there is but one.

    No thread waits for it: the last of ``futures`` to be done settles it. It cannot be cancelled.
    """
    if len(futures) == 1:
        return futures[0]
    whole: Future[Judgment] = Future()
    whole.set_running_or_notify_cancel()
    lock, left = threading.Lock(), len(futures)

    def count_down(_: Future[Judgment]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        try:
            whole.set_result(combined([future.result() for future in futures]))
        except Exception as error:  # futures swallow what a callback raises, and all would wait
            whole.set_exception(error)

    for future in futures:
        future.add_done_callback(count_down)
    return whole


def _mean(scored: Sequence[Scores]) -> Scores:
    return Scores(**{name: fmean(scores[name] for scores in scored) for name in scored[0]})


def _named(names: Iterable[str | None]) -> str | None:
    return SEVERAL.join(sorted({name for name in names if name})) or None


def _sum(usages: Iterable[Usage | None]) -> Usage | None:
    paid = [usage for usage in usages if usage is not None]
    return sum(paid[1:], paid[0]) if paid else None
