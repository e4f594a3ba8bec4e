"""The judge as the tasks see it: items in, judgments out, from any thread.

A paid judge, the offline estimate and the profile that judges nothing are used in the same way.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import complain, shown
from ugc_tasks.judge.cache import JudgmentCache
from ugc_tasks.judge.cost import Estimate, Price, tell
from ugc_tasks.judge.judges import Known, accepted, known
from ugc_tasks.judge.protocol.profiles import (
    ChatProfile,
    OfflineProfile,
    Profile,
    UnknownProfileError,
    load_profile,
    question_named,
)
from ugc_tasks.judge.protocol.sanitize import without_hidden
from ugc_tasks.judge.settings import DEFAULT_ENDPOINT, Command, JudgeConfigError, JudgeSettings
from ugc_tasks.judge.transport.client import model_behind
from ugc_tasks.judge.transport.errors import JudgeRefused, RequestFailed, RetryableError
from ugc_tasks.judge.transport.retry import Backoff
from ugc_tasks.judge.types import JudgeItem, Judgment, mean_of_repeats
from ugc_tasks.judge.worker import JudgeWorker

# Some forty times the longest caption published; beyond it a reply costs dollars.
_MAX_CHARS = 100_000
_NOT_JUDGED = "not judged (UGC_JUDGE_PROFILE=none)"
_INTERRUPTED = (
    "interrupted while the judge was asked: what it answered is kept, the same command goes on"
)


def open_judge(
    environ: Mapping[str, str],
    *,
    home: Path | None,
    cache: Path,
    question: str = "caption",
    command: Command = "lmms-eval",
) -> Judge:
    """Return the judge that ``environ`` asks for, to judge ``question`` (one of ``QUESTIONS``).

    ``command`` is what it is asked by, ``home`` may hold the official prompts, ``cache`` is where
    they and the judgments are kept. Raises ``JudgeConfigError``, ``DataError`` or
    ``JudgeStoreError``, before anything is spent, and ``UnknownQuestionError``.
    """
    settings = JudgeSettings.from_env(
        environ, cache=cache, question=question_named(question), command=command
    )
    model = settings.model
    if settings.azure is not None:
        model = _deployed_model(settings)
    elif settings.local is not None and command != "dry-run":
        settings.local.folder()  # said now, and not when all captions are made
    try:
        profile = load_profile(
            settings.profile, home=home, cache=cache, model=model, question=question
        )
    except UnknownProfileError as error:
        raise JudgeConfigError(f"UGC_JUDGE_PROFILE: {error}") from None
    if isinstance(profile, ChatProfile):
        if settings.local is not None:  # the same each time, also by a profile of one's own
            profile = replace(profile, parameters={**profile.parameters, "temperature": 0})
        about = known(profile.model, settings.prices)
        sent, not_sent = accepted(profile.model, profile.parameters, about)
        profile = replace(profile, parameters=sent, not_sent=not_sent)
        for name, why in not_sent.items():
            _tell_once(f"{name} is not sent as the profile has it: {why}")
    return Judge(profile, settings)


def _deployed_model(settings: JudgeSettings) -> str:
    """Return the model behind a deployment of Azure, whose name says nothing.

    It is asked; where it does not answer, its last reply on disk tells.
    """
    why, asked = "", settings.command != "dry-run"
    if asked:
        try:
            return model_behind(settings)
        except (JudgeRefused, RequestFailed, RetryableError) as error:
            why = str(error)
    known = None
    if settings.store.exists():
        with closing(JudgmentCache(settings.store)) as store:
            known = store.last_model(settings.endpoint)
    if known is None and asked:
        raise JudgeConfigError(f"the judge cannot be asked: {why}")
    return known or str(settings.model)


class Judge(AbstractContextManager["Judge"]):
    """A judge by its profile. Close it, or use it as a context manager.

    Attributes:
        ended: a sentence on its end and the ways on, once ``check_end`` has found that it is past.
        interrupted: whether an interrupt has stopped it.
        label: the short name under which its numbers are shown, with its place unless it is
            OpenAI's: the same model served elsewhere is another judge.
    """

    def __init__(
        self, profile: Profile, settings: JudgeSettings, *, backoff: Backoff | None = None
    ) -> None:
        """Open the store of a paid judge (``JudgeStoreError``) and start its thread.

        Raises ``JudgeConfigError`` where its price is needed and cannot be had.
        """
        self.profile = profile
        self.label = profile.label
        self.ended = ""
        self.interrupted = False
        self._settings = settings
        self._worker: JudgeWorker | None = None
        self._price: Price | None = None
        self._early: dict[JudgeItem, Future[Judgment]] = {}
        self._early_calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-early")
        if isinstance(profile, ChatProfile):
            if settings.local is not None:
                about = Known(price=Price(0.0, 0.0, "it runs on this machine"))
            else:
                if settings.endpoint != DEFAULT_ENDPOINT:
                    self.label += f"@{settings.endpoint}"
                about = known(profile.model, settings.prices)
            self._price = about.price
            if self._price is None and settings.budget is not None:
                raise JudgeConfigError(
                    f"UGC_JUDGE_BUDGET cannot be kept: no price of {profile.model!r:.80} is known; "
                    "state it in a table and name that in UGC_JUDGE_PRICES"
                )
            self._worker = JudgeWorker(
                profile, settings, label=self.label, known=about, backoff=backoff or Backoff()
            )

    @property
    def repeats(self) -> int:
        """How many judgments of an item are asked for; the estimate is the same every time."""
        return self._settings.repeats if self._worker is not None else 1

    def check_end(self, items: Sequence[JudgeItem] | None = None) -> None:
        """Say that the judge is shut down soon; once it is, have only what is on disk handed out.

        ``items`` are None where they are not known yet: whether to go on is then the caller's to
        say (``ended``). Raises ``JudgeConfigError`` where nothing is on disk of any of them.
        """
        if self._worker is None:
            return
        dry, judged = self._settings.command == "dry-run", self._judged(items or ())
        missing = self._worker.missing(judged)
        life = self._worker.lifetime(ask=not dry and (missing > 0 or not judged))
        if life.soon:
            _tell_once(life.soon)
        if not life.over or (judged and not missing):
            return
        self.ended = life.end
        if not dry:
            self._worker.ask_nothing(life.end)
            if items is None:
                return
            if judged and missing == len(judged) and not self._worker.has_batches:
                raise JudgeConfigError(f"{life.end}; no judgment of these answers is on disk")
        _tell_once(f"{life.end}; what is on disk of it is used, and nothing is asked")

    def estimate(self, items: Sequence[JudgeItem]) -> Estimate | None:
        """Return what judging ``items`` will take; None where nobody is to be paid."""
        return None if self._worker is None else self._worker.estimate(self._judged(items))

    def announce(self, items: Sequence[JudgeItem], *, early: bool = False) -> None:
        """Say what judging ``items``, or such as them (``early``), will take, before it is paid."""
        if (estimate := self.estimate(items)) is not None:
            tell(
                "judging begins while answers are made; if all are like the first, "
                f"{estimate}; what is stored costs nothing"
                if early
                else str(estimate)
            )

    def begin(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of ``items`` where some are wanted or out, and return at once."""
        if self._worker is not None:
            self._worker.begin_batches(self._judged(items))

    def _judged(self, items: Sequence[JudgeItem]) -> list[JudgeItem]:
        """Return what is asked about ``items``: each as often as it is to be judged."""
        subject = self.profile.question.subject
        asked = [item for item in items if why_not_judged(item, subject) is None]
        return [replace(item, repeat=n) for item in asked for n in range(self.repeats)]

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        """Start judging ``item`` and return the future of its judgment, without waiting for it.

        Items whose request is the same are asked once while they are under way, and come back each
        under its own ``video_id``. The future does not fail: a failure is in the judgment.
        """
        if item in self._early:
            return self._early[item]
        reason = why_not_judged(item, self.profile.question.subject)
        if reason is None and self._worker is not None:
            if self.repeats == 1:
                return self._worker.submit(item)
            return mean_of_repeats([self._worker.submit(each) for each in self._judged([item])])
        done: Future[Judgment] = Future()
        if reason is None and isinstance(self.profile, OfflineProfile):
            from ugc_tasks.estimate.model import estimate, unlike

            scores = estimate(item.prediction, item.reference)
            why = unlike(item.prediction, item.reference)
            done.set_result(Judgment(item.video_id, scores=scores, unlike=why))
        else:
            done.set_result(Judgment(item.video_id, failure=reason or _NOT_JUDGED))
        return done

    @property
    def early(self) -> bool:
        """Whether it is of use to submit an item before all items are known."""
        at = self._settings
        # A model on this machine waits until the captions' engine has left the GPU.
        return self._worker is not None and at.early and not at.batch and at.local is None

    def submit_early(self, item: JudgeItem, like: Callable[[], Sequence[JudgeItem]]) -> None:
        """Start judging ``item``, in a while; ``submit`` will find what became of it.

        ``like`` gives items as many and about as long as all will be: before the first request it
        is said, in another thread, what those would take.
        """

        def begin() -> None:
            if not self._early:
                self.announce(like(), early=True)
            self._early[item] = self.submit(item)

        self._early_calls.submit(begin)

    def judge_many(self, items: Sequence[JudgeItem], *, progress: bool = True) -> list[Judgment]:
        """Return the judgments of ``items`` in their order, with a progress bar on stderr."""
        from tqdm import tqdm

        self.check_end(items)
        self.announce(items)
        self.begin(items)
        what = f"judging ({shown(self.label)})"
        with tqdm(
            total=len(items), desc=what, unit="clip", file=sys.stderr, disable=not progress
        ) as bar:
            futures = [self.submit(item) for item in items]
            for _ in as_completed(futures):
                bar.update()
        return [future.result() for future in futures]

    def describe(self) -> dict[str, Any]:
        """Return what a number of this judge must be published with; plain JSON values."""
        profile, question, at = self.profile, self.profile.question, self._settings
        facts: dict[str, Any] = {
            "question": question.name,
            "values": list(question.schema.names),
            "published_score": question.published,
            "profile": profile.name,
            "label": self.label,
            "estimate": profile.estimate,
            "repeats": self.repeats,
        }
        if isinstance(profile, ChatProfile):
            stated = ("model", "temperature", "prompt_sha256", "system_sha256")
            facts |= {name: getattr(profile, name) for name in stated} | {
                "endpoint": at.endpoint,
                "mode": "batch" if at.batch else "request",
                "parameters": dict(profile.parameters),
                "not_sent": dict(profile.not_sent),
                **({"scale": dict(profile.scale)} if profile.scale else {}),
                "budget_usd": at.budget,
                "price": str(self._price) if self._price else None,
            }
        elif isinstance(profile, OfflineProfile):
            facts["prompt_sha256"] = profile.prompt_sha256
        return facts

    def interrupt(self) -> bool:
        """Ask nothing more, and do not wait; tell whether anybody was waiting.

        May be called from a signal's handler.
        """
        self.interrupted = True
        return self._worker is not None and self._worker.interrupt()

    def close(self) -> None:
        """Stop; what is under way comes back as a failure, what was received is on disk."""
        self._early_calls.shutdown(cancel_futures=True)
        if self._worker is not None:
            self._worker.close()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


_told: set[str] = set()


def _tell_once(text: str) -> None:
    """Say something that holds for all judges of a run, once."""
    if text not in _told and os.environ.get("RANK", "0") == "0":
        _told.add(text)
        tell(text)


def why_not_judged(item: JudgeItem, subject: str = "caption") -> str | None:
    """Return why ``item``, which has a ``subject``, is not sent to any judge; None if it can be."""
    if not without_hidden(item.prediction).strip():
        return f"empty {subject}"
    if not item.reference.strip():
        return "empty reference"
    if len(item.prediction) > _MAX_CHARS or len(item.reference) > _MAX_CHARS:
        return f"{subject} or reference longer than {_MAX_CHARS} characters"
    return None


# ---- Ctrl-C under lmms-eval ----

_judges: weakref.WeakSet[Judge] = weakref.WeakSet()


def stop_on_interrupt(judge: Judge) -> None:
    """From now on have Ctrl-C stop ``judge``; in another thread than the main one do nothing.

    lmms-eval waits for threads that wait for the judge, which would go on sending. The signal goes
    on to whoever had it before; instead of the traceback of that end, one line is said.
    """
    if threading.current_thread() is threading.main_thread():
        _judges.add(judge)
        before = signal.getsignal(signal.SIGINT)
        # A run in the background has it ignored, and is to go on.
        if callable(before) and not isinstance(before, _Handler):
            signal.signal(signal.SIGINT, _Handler(before))


class _Handler:
    """What is done at SIGINT, before what was to be done."""

    def __init__(self, before: Callable[..., Any]) -> None:
        self._before = before

    def __call__(self, *signal_and_frame: Any) -> None:
        self.interrupted()
        self._before(*signal_and_frame)

    def interrupted(self) -> None:
        """Stop the judges; also for one who has the signal now, and does not hand it on."""
        busy = [judge for judge in _judges if judge.interrupt()]
        if busy and getattr(sys.excepthook, "func", None) is not _say_interrupt:
            sys.excepthook = partial(_say_interrupt, sys.excepthook)


def _say_interrupt(
    before: Callable[..., Any], kind: type[BaseException], error: BaseException, trace: Any
) -> None:
    """Say an interrupt in one line; leave any other error to the hook ``before``."""
    if issubclass(kind, KeyboardInterrupt):
        complain(*filter(None, (str(error), _INTERRUPTED)))
    else:
        before(kind, error, trace)
