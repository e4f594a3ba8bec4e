"""The judge as the task sees it: items in, judgments out, from any thread.

A paid judge, the offline estimate and the profile that judges nothing stand behind the same door.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any

from ugc_tasks.judge.asking import Asking
from ugc_tasks.judge.client import Backoff
from ugc_tasks.judge.judgment import JudgeItem, Judgment, why_not_judged
from ugc_tasks.judge.profiles import (
    ChatProfile,
    OfflineProfile,
    Profile,
    UnknownProfileError,
    load_profile,
)
from ugc_tasks.judge.questions import question_named
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings
from ugc_tasks.judge.threaded import ThreadedAsking

_NOT_JUDGED = "not judged (UGC_JUDGE_PROFILE=none)"


def open_judge(
    environ: Mapping[str, str],
    *,
    home: Path | None,
    cache: Path,
    question: str = "caption",
    backoff: Backoff | None = None,
) -> Judge:
    """Return the judge that ``environ`` asks for, to judge ``question`` (one of ``QUESTIONS``).

    ``home`` may hold the official prompts, ``cache`` is where they and the judgments are kept.
    Raises ``JudgeConfigError``, ``OfficialPromptError`` or ``JudgeStoreError``, before anything is
    spent, and ``UnknownQuestionError``.
    """
    settings = JudgeSettings.from_env(environ, cache=cache, question=question_named(question))
    try:
        profile = load_profile(
            settings.profile, home=home, cache=cache, model=settings.model, question=question
        )
    except UnknownProfileError as error:
        raise JudgeConfigError(f"UGC_JUDGE_PROFILE: {error}") from None
    return Judge(profile, settings, backoff=backoff)


class Judge:
    """A judge by its profile. Close it, or use it as a context manager."""

    def __init__(
        self, profile: Profile, settings: JudgeSettings, *, backoff: Backoff | None = None
    ) -> None:
        """Open the store of a paid judge (``JudgeStoreError``) and start its thread."""
        self.profile = profile
        self._settings = settings
        self._paid: ThreadedAsking | None = None
        if isinstance(profile, ChatProfile):
            self._paid = ThreadedAsking(Asking(profile, settings, backoff or Backoff()))

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        """Start judging ``item`` and return the future of its judgment, without waiting for it.

        Items whose request is the same are asked once while they are under way, and come back each
        under its own ``video_id``. The future does not fail: a failure is in the judgment.
        """
        reason = why_not_judged(item, self.profile.question.subject)
        if reason is None and self._paid is not None:
            return self._paid.submit(item)
        done: Future[Judgment] = Future()
        if reason is not None:
            done.set_result(Judgment(item.video_id, failure=reason))
        elif isinstance(self.profile, OfflineProfile):
            from ugc_tasks.judge.offline import estimate

            scores = estimate(item.prediction, item.reference)
            done.set_result(Judgment(item.video_id, scores=scores))
        else:
            done.set_result(Judgment(item.video_id, failure=_NOT_JUDGED))
        return done

    def judge_many(self, items: Sequence[JudgeItem], *, progress: bool = True) -> list[Judgment]:
        """Return the judgments of ``items`` in their order, with a progress bar on stderr."""
        from tqdm import tqdm

        with tqdm(
            total=len(items),
            desc=f"judging ({self.profile.label})",
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
            "label": self.profile.label,
            "estimate": self.profile.estimate,
        }
        if isinstance(self.profile, ChatProfile):
            facts |= {
                "model": self.profile.model,
                "temperature": self.profile.temperature,
                "prompt_sha256": self.profile.prompt_sha256,
                "system_sha256": self.profile.system_sha256,
                "endpoint": self._settings.endpoint,
            }
        elif isinstance(self.profile, OfflineProfile):
            facts |= {"prompt_sha256": self.profile.prompt_sha256}
        return facts

    def close(self) -> None:
        """Stop; what is under way comes back as a failure, what was received is on disk."""
        if self._paid is not None:
            self._paid.close()

    def __enter__(self) -> Judge:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
