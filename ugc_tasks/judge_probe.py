"""What a suspected answer would have got without what is suspected in it.

Each suspect is judged as it is (after a run that judgment is on disk and costs nothing) and once
without the sentences that hold the payload: at most one paid request a suspect, or as many as
``UGC_JUDGE_REPEATS``. A difference is a hint, not a proof: at the published temperature of 1 two
judgments of one answer differ as well, and a sentence that was removed may have been true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ugc_tasks.data.questions import read_questions
from ugc_tasks.judge.judge import open_judge
from ugc_tasks.judge.judgment import JudgeItem, Judgment
from ugc_tasks.judge.profiles import PAID_PROFILES
from ugc_tasks.judge.questions import question_named
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.suspicion import reasons, without_suspicious
from ugc_tasks.saved.pairing import pair
from ugc_tasks.scoring import Request
from ugc_tasks.specs import SPECS

NOTHING_LEFT = "nothing is left without what is suspected"


@dataclass(frozen=True)
class Probed:
    """A suspect: why it is one, its scores as it is and without the payload, or why not."""

    video_id: str
    reasons: tuple[str, ...]
    scores: Mapping[str, float] | None
    without: Mapping[str, float] | None
    failure: str | None = None

    @property
    def gained(self) -> float | None:
        """How much higher the mean of the scores is with the payload; None without both."""
        if self.scores is None or self.without is None:
            return None
        return fmean(self.scores.values()) - fmean(self.without.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "video_id": self.video_id,
            "suspects": list(self.reasons),
            "scores": None if self.scores is None else dict(self.scores),
            "without": None if self.without is None else dict(self.without),
            "gained": self.gained,
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Probe:
    """All suspects of a file of answers, in the annotations' order, and who judged them."""

    judge: Mapping[str, Any]
    answers: int
    probed: tuple[Probed, ...]

    @property
    def complete(self) -> bool:
        """Whether every suspect that something is left of was judged both ways."""
        return all(p.gained is not None or p.failure == NOTHING_LEFT for p in self.probed)


def probe(request: Request) -> Probe:
    """Judge the suspects among saved answers with and without their payload.

    Raises:
        DataError: references or answers cannot be used.
        JudgeConfigError, JudgeStoreError, OfficialPromptError: the judge cannot be asked.
    """
    spec = SPECS[request.task]
    path, _ = request.annotation(spec.annotations)
    questions = read_questions(path)
    pairing = pair(request.answers, questions.answers)
    texts = {
        video_id: answer.value.strip()
        for video_id, answer in pairing.pairs
        if isinstance(answer.value, str) and answer.value.strip() and not answer.error
    }
    suspects = {video_id: why for video_id, text in texts.items() if (why := reasons(text))}
    home = request.home
    asked = question_named(spec.judged or spec.name)
    with open_judge(
        request.environ, home=home.root, cache=home.cache, question=asked.name
    ) as judge:
        if judge.profile.name not in PAID_PROFILES:
            raise JudgeConfigError(
                f"the judge profile {judge.profile.name!r} reads no instructions: there is "
                f"nothing to probe; choose {' or '.join(PAID_PROFILES)}"
            )
        stripped = {video_id: without_suspicious(texts[video_id]) for video_id in suspects}
        # Both in one go; what is left empty is not sent.
        items = [
            JudgeItem(video_id, text, questions.answers[video_id])
            for answers in ({video_id: texts[video_id] for video_id in suspects}, stripped)
            for video_id, text in answers.items()
        ]
        judgments = judge.judge_many(items) if items else []
        facts = judge.describe()
    whole, without = judgments[: len(suspects)], judgments[len(suspects) :]
    return Probe(
        judge=facts,
        answers=len(texts),
        probed=tuple(
            _probed(why, stripped[video_id], first, second)
            for (video_id, why), first, second in zip(suspects.items(), whole, without, strict=True)
        ),
    )


def _probed(why: tuple[str, ...], left: str, whole: Judgment, without: Judgment) -> Probed:
    failure = whole.failure or (without.failure if left else NOTHING_LEFT)
    return Probed(whole.video_id, why, whole.scores, without.scores, failure)
