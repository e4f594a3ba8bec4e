"""The judges one can choose, by name: what each is asked, and the label its numbers carry.

A score means nothing without the judge that gave it, so a profile fixes everything about a request
(the profile files say what: ``protocols.py``) and says so in ``label``. ``paper`` is the published
protocol; ``rubric`` is ours; ``offline`` is a free estimate, of captions only; ``none`` writes
answers only. None of them stands in for another. What is judged is the question's to say
(``questions.py``); a label names it unless it is captions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import UserError
from ugc_tasks.data.official import official_text
from ugc_tasks.judge.protocols import CHAT_PROFILES, Protocol, protocol
from ugc_tasks.judge.questions import QUESTIONS, Question, question_named
from ugc_tasks.judge.sanitize import sanitize

PAID_PROFILES = CHAT_PROFILES
PROFILE_NAMES = (*PAID_PROFILES, "offline", "none")

_CAPTION = QUESTIONS["caption"]
_FOLDER = Path(__file__).parent


class UnknownProfileError(UserError, ValueError):
    """There is no judge profile of that name, or it cannot judge the question."""


@dataclass(frozen=True)
class ChatProfile:
    """A judge behind a chat-completions endpoint, and the exact request it is sent."""

    name: str
    model: str
    temperature: float
    system: str = field(repr=False)
    user_template: str = field(repr=False)
    response_format: dict[str, Any] | None = field(default=None, repr=False)
    question: Question = _CAPTION
    estimate: bool = False
    labels: tuple[str, ...] = ()

    def messages(self, video_id: str, prediction: str, reference: str) -> list[dict[str, str]]:
        """Return the system and the user message; both texts lose surrounding white space.

        What of the prediction would pass for a part of the message is broken up
        (``sanitize.py``); any other prediction is sent as it is.
        """
        prediction = sanitize(prediction, self.labels).text.strip()
        reference = reference.strip()
        user = self.user_template.format(
            video_id=video_id,
            prediction=prediction,
            reference=reference,
            mark=_mark(prediction, reference),
        )
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]

    def changed(self, prediction: str) -> tuple[str, ...]:
        """Return why ``prediction`` is not sent as it is (``sanitize.REASONS``); often empty."""
        return sanitize(prediction, self.labels).changed

    def request(self, video_id: str, prediction: str, reference: str) -> dict[str, Any]:
        """Return the whole body of the chat-completions request."""
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": self.temperature,
            "messages": self.messages(video_id, prediction, reference),
        }
        if self.response_format is not None:
            body["response_format"] = self.response_format
        return body

    @property
    def prompt_sha256(self) -> str:
        """Digest of all that is the same in every request's prompt: texts, template, schema."""
        return _digest([self.system, self.user_template, self.response_format])

    @property
    def system_sha256(self) -> str:
        """Digest of the system text alone: for ``paper`` the one the authors' script has."""
        return hashlib.sha256(self.system.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Return the short name under which numbers of this judge are shown."""
        return f"{self.name}{self.question.tag}/{self.model}/{self.prompt_sha256[:12]}"


@dataclass(frozen=True)
class OfflineProfile:
    """No judge but an estimate from the texts alone (``offline/``): free, and no more."""

    version: str
    prompt_sha256: str
    name: str = "offline"
    question: Question = _CAPTION
    estimate: bool = True

    @property
    def label(self) -> str:
        """Return the short name under which estimates are shown."""
        return f"offline-estimate/{self.version}/{self.prompt_sha256[:12]}"


@dataclass(frozen=True)
class NoProfile:
    """No judging: the answers are written and nothing is scored."""

    name: str = "none"
    label: str = "none"
    question: Question = _CAPTION
    estimate: bool = False


Profile = ChatProfile | OfflineProfile | NoProfile


def check_profile_name(name: str) -> str:
    """Return ``name``, or raise ``UnknownProfileError`` with the names there are."""
    if name not in PROFILE_NAMES:
        raise UnknownProfileError(
            f"there is no judge profile {name!r}; the profiles are {', '.join(PROFILE_NAMES)}"
        )
    return name


def load_profile(
    name: str,
    *,
    home: Path | None,
    cache: Path,
    model: str | None = None,
    question: str = "caption",
) -> Profile:
    """Return the profile ``name`` for ``question``; ``model`` replaces the model of a chat profile.

    Raises ``UnknownProfileError``, ``UnknownQuestionError``, and ``OfficialPromptError`` where the
    published prompt cannot be had: no other prompt takes its place.
    """
    asked = question_named(question)
    builders: dict[str, Callable[[], Profile]] = {
        "paper": lambda: paper_profile(
            official_text(protocol("paper", question).prompt, home=home, cache=cache), model, asked
        ),
        "rubric": lambda: rubric_profile(model, asked),
        "offline": lambda: _offline_profile(asked),
        "none": lambda: NoProfile(question=asked),
    }
    return builders[check_profile_name(name)]()


def paper_profile(
    system: str, model: str | None = None, question: Question = _CAPTION
) -> ChatProfile:
    """Return the published protocol of ``question`` around ``system``, the authors' system text.

    Their requests state a model, a temperature and the two messages, and nothing else.
    """
    return _chat_profile(protocol("paper", question.name), system, model, question)


def rubric_profile(model: str | None = None, question: Question = _CAPTION) -> ChatProfile:
    """Return our own rubric: temperature 0, strict schema, the reference before the candidate.

    Raises ``ValueError`` where the system text is not the one of the profile's file.
    """
    stated = protocol("rubric", question.name)
    system = (_FOLDER / stated.prompt).read_text(encoding="utf-8").strip()
    profile = _chat_profile(stated, system, model, question)
    if profile.system_sha256 != stated.prompt_sha256:
        raise ValueError(f"{stated.prompt} is not the text of which the profile has the digest")
    return profile


def _chat_profile(
    stated: Protocol, system: str, model: str | None, question: Question
) -> ChatProfile:
    return ChatProfile(
        name=stated.profile,
        model=model or stated.model,
        temperature=stated.temperature,
        system=system,
        user_template=stated.user,
        response_format=stated.response_format,
        question=question,
        labels=stated.labels,
    )


def _offline_profile(question: Question) -> OfflineProfile:
    if not question.has_estimate:
        raise UnknownProfileError(
            f"there is no free estimate for the question {question.name!r}, only for captions; "
            "choose paper or rubric, or none to write answers only"
        )
    from ugc_tasks.estimate import load_weights

    weights = load_weights()
    return OfflineProfile(version=weights.version, prompt_sha256=weights.sha256)


def _mark(prediction: str, reference: str) -> str:
    """Return a code for the marker lines; no caption can foresee and imitate it."""
    return _digest([reference, prediction])[:12]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
