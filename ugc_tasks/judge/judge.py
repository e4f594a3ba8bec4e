"""The judge as the task sees it: items in, judgments out, from any thread.

A paid judge, the offline estimate and the profile that judges nothing stand behind the same door.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.judge.announcement import tell
from ugc_tasks.judge.asking import Asking
from ugc_tasks.judge.judgment import JudgeItem, Judgment, why_not_judged
from ugc_tasks.judge.prices import Price, PriceError, price_of
from ugc_tasks.judge.profiles import (
    ChatProfile,
    OfflineProfile,
    Profile,
    UnknownProfileError,
    load_profile,
)
from ugc_tasks.judge.questions import question_named
from ugc_tasks.judge.repeats import repeated, together
from ugc_tasks.judge.settings import DEFAULT_ENDPOINT, Command, JudgeConfigError, JudgeSettings
from ugc_tasks.judge.threaded import ThreadedAsking
from ugc_tasks.judge.tries import Backoff

_NOT_JUDGED = "not judged (UGC_JUDGE_PROFILE=none)"


def open_judge(
    environ: Mapping[str, str],
    *,
    home: Path | None,
    cache: Path,
    question: str = "caption",
    command: Command = "lmms-eval",
    backoff: Backoff | None = None,
) -> Judge:
    """Return the judge that ``environ`` asks for, to judge ``question`` (one of ``QUESTIONS``).

    ``command`` is what it is asked by: advice in messages is for that. ``home`` may hold the
    official prompts, ``cache`` is where they and the judgments are kept. Raises
    ``JudgeConfigError``, ``OfficialPromptError`` or ``JudgeStoreError``, before anything is spent,
    and ``UnknownQuestionError``.
    """
    settings = JudgeSettings.from_env(
        environ, cache=cache, question=question_named(question), command=command
    )
    try:
        profile = load_profile(
            settings.profile, home=home, cache=cache, model=settings.model, question=question
        )
    except UnknownProfileError as error:
        raise JudgeConfigError(f"UGC_JUDGE_PROFILE: {error}") from None
    return Judge(profile, settings, backoff=backoff)


class Judge:
    """A judge by its profile. Close it, or use it as a context manager.

    Attributes:
        interrupted: whether an interrupt has stopped it.
    """

    def __init__(
        self, profile: Profile, settings: JudgeSettings, *, backoff: Backoff | None = None
    ) -> None:
        """Open the store of a paid judge (``JudgeStoreError``) and start its thread.

        Raises ``JudgeConfigError`` where a price table cannot be used, or a budget is to be kept
        without a price.
        """
        self.profile = profile
        self._settings = settings
        self._paid: ThreadedAsking | None = None
        self._price: Price | None = None
        self._early: dict[JudgeItem, Future[Judgment]] = {}
        self._early_calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-early")
        self._foretold = False
        self.interrupted = False
        if isinstance(profile, ChatProfile):
            self._price = _price(profile.model, settings)
            asking = Asking(
                profile,
                settings,
                label=self.label,
                price=self._price,
                backoff=backoff or Backoff(),
            )
            self._paid = ThreadedAsking(asking)

    @property
    def label(self) -> str:
        """The short name under which numbers of this judge are shown.

        The same model served elsewhere is another judge, so the name ends with the place unless it
        is OpenAI's.
        """
        paid = isinstance(self.profile, ChatProfile)
        elsewhere = paid and self._settings.endpoint != DEFAULT_ENDPOINT
        return (
            f"{self.profile.label}@{self._settings.endpoint}" if elsewhere else self.profile.label
        )

    @property
    def repeats(self) -> int:
        """How many judgments of an item are asked for; the estimate is the same every time."""
        return self._settings.repeats if self._paid is not None else 1

    def announce(self, items: Sequence[JudgeItem]) -> None:
        """Say what judging ``items`` will take; to be called before any of it is paid for."""
        if self._paid is not None:
            announcement = self._paid.announce(self._judged(items))
            if announcement is not None:
                tell(str(announcement))

    def begin(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of ``items`` (``UGC_JUDGE_MODE=batch``), which need to know what there is.

        Returns at once, and does nothing in the other mode unless an earlier run left a batch.
        """
        if self._paid is not None:
            self._paid.begin(self._judged(items))

    def _judged(self, items: Sequence[JudgeItem]) -> list[JudgeItem]:
        """Return what is asked about ``items``: each as often as it is to be judged."""
        subject = self.profile.question.subject
        return [
            repeat
            for item in items
            if why_not_judged(item, subject) is None
            for repeat in repeated(item, self.repeats)
        ]

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        """Start judging ``item`` and return the future of its judgment, without waiting for it.

        Items whose request is the same are asked once while they are under way, and come back each
        under its own ``video_id``. The future does not fail: a failure is in the judgment. Where
        several judgments of an item are wanted, it is of their mean.
        """
        if item in self._early:
            return self._early[item]
        reason = why_not_judged(item, self.profile.question.subject)
        if reason is None and self._paid is not None:
            return together([self._paid.submit(each) for each in repeated(item, self.repeats)])
        done: Future[Judgment] = Future()
        if reason is not None:
            done.set_result(Judgment(item.video_id, failure=reason))
        elif isinstance(self.profile, OfflineProfile):
            from ugc_tasks.estimate import estimate, unlike

            scores = estimate(item.prediction, item.reference)
            why = unlike(item.prediction, item.reference)
            done.set_result(Judgment(item.video_id, scores=scores, unlike=why))
        else:
            done.set_result(Judgment(item.video_id, failure=_NOT_JUDGED))
        return done

    @property
    def early(self) -> bool:
        """Whether it is of use to submit an item before all items are known."""
        return self._paid is not None and self._settings.early and not self._settings.batch

    def submit_early(self, item: JudgeItem, like: Callable[[], Sequence[JudgeItem]]) -> None:
        """Start judging ``item``, in a while; ``submit`` will find what became of it.

        ``like`` gives items as many and about as long as all will be: before the first request it
        is said what those would take. That can take seconds, and is not done in the caller's.
        """
        self._early_calls.submit(self._submit_early, item, like)

    def _submit_early(self, item: JudgeItem, like: Callable[[], Sequence[JudgeItem]]) -> None:
        if not self._foretold and self._paid is not None:
            self._foretold = True
            announcement = self._paid.announce(self._judged(like()))
            if announcement is not None:
                tell(
                    "judging begins while answers are made; if all are like the first, "
                    f"{announcement}; what is stored costs nothing"
                )
        if item not in self._early:
            self._early[item] = self.submit(item)

    def judge_many(self, items: Sequence[JudgeItem], *, progress: bool = True) -> list[Judgment]:
        """Return the judgments of ``items`` in their order, with a progress bar on stderr."""
        from tqdm import tqdm

        self.announce(items)
        self.begin(items)
        with tqdm(
            total=len(items),
            desc=f"judging ({shown(self.label)})",
            unit="clip",
            file=sys.stderr,
            disable=not progress,
        ) as bar:
            futures, waiting = [], []
            for item in items:
                future = self.submit(item)
                futures.append(future)
                if future.done():
                    bar.update()
                else:
                    waiting.append(future)
            for _ in as_completed(waiting):
                bar.update()
        return [future.result() for future in futures]

    def describe(self) -> dict[str, Any]:
        """Return what a number of this judge must be published with; plain JSON values."""
        question = self.profile.question
        facts: dict[str, Any] = {
            "question": question.name,
            "values": list(question.form.names),
            "published_score": question.published,
            "profile": self.profile.name,
            "label": self.label,
            "estimate": self.profile.estimate,
            "repeats": self.repeats,
        }
        if isinstance(self.profile, ChatProfile):
            facts |= {
                "model": self.profile.model,
                "temperature": self.profile.temperature,
                "prompt_sha256": self.profile.prompt_sha256,
                "system_sha256": self.profile.system_sha256,
                "endpoint": self._settings.endpoint,
                "mode": "batch" if self._settings.batch else "request",
                "budget_usd": self._settings.budget,
                "price": str(self._price) if self._price else None,
            }
        elif isinstance(self.profile, OfflineProfile):
            facts |= {"prompt_sha256": self.profile.prompt_sha256}
        return facts

    def interrupt(self) -> bool:
        """Ask nothing more, as ``close`` does, but do not wait; tell whether anybody was waiting.

        What is on the wire may still come. May be called from a signal's handler.
        """
        self.interrupted = True
        return self._paid is not None and self._paid.interrupt()

    def close(self) -> None:
        """Stop; what is under way comes back as a failure, what was received is on disk."""
        self._early_calls.shutdown(cancel_futures=True)
        if self._paid is not None:
            self._paid.close()

    def __enter__(self) -> Judge:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _price(model: str, settings: JudgeSettings) -> Price | None:
    try:
        price = price_of(model, settings.prices)
    except PriceError as error:
        raise JudgeConfigError(f"UGC_JUDGE_PRICES: {error}") from None
    if price is None and settings.budget is not None:
        raise JudgeConfigError(
            f"UGC_JUDGE_BUDGET cannot be kept: no price of {model!r:.80} is known; state it in a "
            "table and name that in UGC_JUDGE_PRICES"
        )
    return price
