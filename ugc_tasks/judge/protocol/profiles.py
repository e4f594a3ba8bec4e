"""What is judged, by which judges, and what exactly each is asked.

A question is a kind of answer that can be judged. ``caption``, ``background`` and ``objects`` have
a published protocol. ``audio_caption`` and ``visual_caption`` have references but no published
score: they are asked as captions are, against the reference of the one side, and only the value
that it can speak to is kept (``details`` asks whether picture and sound are tied together).

A score means nothing without the judge that gave it. So a profile fixes everything about a request
and has a label that says so: ``paper`` is the published protocol, ``rubric`` ours, ``offline`` a
free estimate of captions, ``none`` no judging. None stands in for another. What of a request is not
the clip's stands in ``profile_paper.toml`` and ``profile_rubric.toml``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import UserError
from ugc_tasks.common.local_model import PREFIX
from ugc_tasks.data.published import official_text
from ugc_tasks.judge.parsing import CAPTION_SCHEMA, FRACTION, YES_NO, ResponseSchema
from ugc_tasks.judge.protocol.sanitize import sanitize
from ugc_tasks.judge.types import JudgeItem

PAID_PROFILES = ("paper", "rubric")
PROFILE_NAMES = (*PAID_PROFILES, "offline", "none")

_FOLDER = Path(__file__).parent


class UnknownQuestionError(UserError, ValueError):
    """The judge knows no question of that name."""


class UnknownProfileError(UserError, ValueError):
    """There is no judge profile of that name, or it cannot judge the question."""


@dataclass(frozen=True)
class Question:
    """A kind of answer that can be judged."""

    name: str  # in ``open_judge``, in labels and in the store
    schema: ResponseSchema  # the values of a judgment that are kept
    asked_as: str  # the question of the profile files whose prompts it shares; often its own name
    subject: str = "answer"  # what is judged, in messages
    published: bool = True  # whether the authors published a score for it
    has_estimate: bool = False  # whether the free estimate was made for it


_CAPTION = Question("caption", CAPTION_SCHEMA, "caption", "caption", has_estimate=True)
_ALL = (
    _CAPTION,
    Question("background", ResponseSchema({"consistent": YES_NO}), "background"),
    Question("objects", ResponseSchema({"match_score": FRACTION}), "objects"),
    Question("audio_caption", CAPTION_SCHEMA.only("audio"), "caption", "caption", published=False),
    Question(
        "visual_caption", CAPTION_SCHEMA.only("visual"), "caption", "caption", published=False
    ),
)
QUESTIONS: Mapping[str, Question] = {each.name: each for each in _ALL}


def question_named(name: str) -> Question:
    """Return the question ``name``, or raise ``UnknownQuestionError`` with the names there are."""
    if name not in QUESTIONS:
        raise UnknownQuestionError(
            f"the judge knows no question {name!r}; the questions are {', '.join(QUESTIONS)}"
        )
    return QUESTIONS[name]


# ---- profiles ----


@dataclass(frozen=True)
class ChatProfile:
    """A judge behind a chat-completions endpoint, and the exact request it is sent."""

    name: str
    model: str
    parameters: Mapping[str, Any]  # of the request, as it has them: temperature, ...
    system: str = field(repr=False)
    user_template: str = field(repr=False)  # with places for the texts
    response_format: dict[str, Any] | None = field(repr=False)  # None where requests have none
    question: Question
    labels: tuple[str, ...]  # what begins a field of the user message; see ``sanitize.py``
    not_sent: Mapping[str, str] = field(default_factory=dict)  # why parameters are not as stated
    scale: Mapping[str, Any] = field(default_factory=dict)  # kinds of the values of one's own file
    estimate: bool = False

    @property
    def temperature(self) -> float | None:
        """The temperature that is sent; None where none is, and the model's own holds."""
        return self.parameters.get("temperature")

    def request(self, video_id: str, prediction: str, reference: str) -> dict[str, Any]:
        """Return the whole body of the request; both texts lose surrounding white space.

        What of the prediction would pass for a part of the message is broken up (``sanitize.py``).
        """
        prediction = sanitize(prediction, self.labels)[0].strip()
        reference = reference.strip()
        user = self.user_template.format(
            video_id=video_id,
            prediction=prediction,
            reference=reference,
            # Of the marker lines: no caption can foresee this code and imitate them.
            mark=_digest([reference, prediction])[:12],
        )
        body: dict[str, Any] = {
            "model": self.model,
            **self.parameters,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": user},
            ],
        }
        if self.response_format is not None:
            body["response_format"] = self.response_format
        return body

    def changed(self, prediction: str) -> tuple[str, ...]:
        """Return why ``prediction`` is not sent as it is (``sanitize.REASONS``); often empty."""
        return sanitize(prediction, self.labels)[1]

    @property
    def prompt_sha256(self) -> str:
        """Digest of all that is the same in every request's prompt: texts, template, schema."""
        stated = [self.system, self.user_template, self.response_format]
        # Of a file of one's own its name says nothing of the rest.
        return _digest([*stated, self.parameters, self.scale] if self.scale else stated)

    @property
    def question_key(self) -> str:
        """What tells its judgments from others with the same request: what of them is kept."""
        name, scale = self.question.name, dict(self.scale)
        kept = QUESTIONS[name].schema.names
        ours = {v: k for v, k in stated("paper", name)["values"].items() if v in kept}
        return name if scale in ({}, ours) else f"{name} {json.dumps(scale, sort_keys=True)}"

    @property
    def system_sha256(self) -> str:
        """Digest of the system text alone: for ``paper`` the one of the authors' script."""
        return hashlib.sha256(self.system.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Return the short name under which numbers of this judge are shown."""
        ours = "" if self.question.published or self.scale else "(ours)"
        # Captions are the benchmark's main task, and not named.
        asked = "" if self.question.name == "caption" else f":{self.question.name}{ours}"
        return f"{self.name}{asked}/{self.model}/{self.prompt_sha256[:12]}"


@dataclass(frozen=True)
class NoProfile:
    """No judging: the answers are written and nothing is scored."""

    name: str = "none"
    label: str = "none"
    question: Question = _CAPTION
    estimate: bool = False


@dataclass(frozen=True, kw_only=True)
class OfflineProfile(NoProfile):
    """No judge but an estimate from the texts alone (``ugc_tasks.estimate``), which is free."""

    name: str = "offline"
    prompt_sha256: str
    estimate: bool = True


Profile = ChatProfile | NoProfile


def is_file(name: str) -> bool:
    """Tell whether a profile's name is the path of a file of one's own."""
    return name.endswith(".toml") or "/" in name


def is_paid(name: str) -> bool:
    """Tell whether a profile asks a judge, who is to be paid."""
    return name in PAID_PROFILES or is_file(name)


def packaged_prompt(name: str) -> str:
    """Return a system text of this package."""
    return (_FOLDER / name).read_text("utf-8").strip()


def check_profile_name(name: str) -> str:
    """Return ``name``, or raise ``UnknownProfileError`` with the names there are."""
    if name not in PROFILE_NAMES:
        raise UnknownProfileError(
            f"there is no judge profile {name!r}; the profiles are {', '.join(PROFILE_NAMES)}, and "
            "files of your own such as ./mine.toml"
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

    ``name`` may be the path of a file (``profile_file.py``). Raises ``UnknownProfileError``,
    ``UnknownQuestionError``, and ``DataError`` where the published prompt cannot be had.
    """
    asked = question_named(question)
    if is_file(name):
        from ugc_tasks.judge.protocol.profile_file import read_profile

        path = Path(name).expanduser()
        return read_profile(path, home=home, cache=cache, model=model, question=asked)
    match check_profile_name(name):
        case "paper":
            prompt = stated("paper", question)["prompt"]
            return paper_profile(official_text(prompt, home=home, cache=cache), model, asked)
        case "rubric":
            return rubric_profile(model, asked)
        case "none":
            return NoProfile(question=asked)
    if not asked.has_estimate:
        raise UnknownProfileError(
            f"there is no free estimate for the question {question!r}, only for captions; "
            "choose paper or rubric, or none to write answers only"
        )
    from ugc_tasks.estimate.model import load_weights

    weights = load_weights()
    label = f"offline-estimate/{weights['version']}/{weights['sha256'][:12]}"
    return OfflineProfile(label=label, prompt_sha256=weights["sha256"])


def _chat_profile(
    name: str,
    system: str | None,
    model: str | None = None,
    question: Question = _CAPTION,
    parameters: Mapping[str, Any] | None = None,
) -> ChatProfile:
    entry = stated(name, question.name)
    if system is None:
        system = packaged_prompt(entry["prompt"])
    schema = entry.get("schema")
    parameters = parameters or {"temperature": entry["temperature"]}
    if (model or "").startswith(PREFIX):  # on this machine: the same each time, and no junk
        schema = schema or stated("rubric", question.name)["schema"]
        parameters = {**parameters, "temperature": 0}
    return ChatProfile(
        name=name,
        model=model or entry["model"],
        parameters=parameters,
        system=system,
        user_template=entry["user"],
        response_format={"type": "json_schema", "json_schema": schema} if schema else None,
        question=question,
        labels=tuple(entry["labels"]),
    )


paper_profile = functools.partial(_chat_profile, "paper")
"""The published protocol, around the authors' system text, which is given first."""
rubric_profile = functools.partial(_chat_profile, "rubric", None)
"""Our own rubric: temperature 0, a strict schema, the reference before the answer."""


@functools.cache
def stated(profile: str, question: str) -> Mapping[str, Any]:
    """Return what the file of ``profile`` (of ``PAID_PROFILES``) states about ``question``."""
    content = tomllib.loads((_FOLDER / f"profile_{profile}.toml").read_text("utf-8"))
    # The file's own keys hold for each question that does not state them itself.
    return {**content, **content["questions"][QUESTIONS[question].asked_as]}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# ---- requests ----


def judgment_key(
    endpoint: str, request: Mapping[str, Any], question: str = "caption", repeat: int = 0
) -> str:
    """Return the SHA-256 under which the reply to ``request`` at ``endpoint`` is kept.

    Captions and the first of several judgments are not stated, as when there was nothing else.
    """
    determining: dict[str, Any] = {"endpoint": endpoint, "request": request}
    # Two questions that are asked alike (a caption, an audio caption) keep different values.
    determining |= {"question": question} if question != "caption" else {}
    determining |= {"repeat": repeat} if repeat else {}
    canonical = json.dumps(determining, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class JudgeRequests:
    """The requests of ``profile`` to ``endpoint``, and the keys of their judgments."""

    def __init__(self, profile: ChatProfile, endpoint: str) -> None:
        self._profile = profile
        self._endpoint = endpoint
        self.key = functools.lru_cache(maxsize=65_536)(self._key)  # wanted several times an item

    def body(self, item: JudgeItem) -> dict[str, Any]:
        """Return the request, which is the same for all repeats of an item."""
        return self._profile.request(item.video_id, item.prediction, item.reference)

    def _key(self, item: JudgeItem) -> str:
        question = self._profile.question_key
        return judgment_key(self._endpoint, self.body(item), question, item.repeat)
