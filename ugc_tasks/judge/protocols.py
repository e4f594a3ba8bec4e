"""The profile files, read: what a profile asks about each question, as data.

``profile_paper.toml`` and ``profile_rubric.toml`` state everything about a request that is not the
clip's: model, temperature, the system text by digest, the user message and the order of the texts
in it, the reply's schema, and what of the reply is read. What the keys mean is said there. A file
that contradicts itself or the form of its question is a fault of the package, and is not used.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ugc_tasks.judge.forms import KINDS, Form
from ugc_tasks.judge.questions import QUESTIONS

CHAT_PROFILES = ("paper", "rubric")

_FOLDER = Path(__file__).parent
_PLACE = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
_TEXTS = {"video_id", "prediction", "reference"}


@dataclass(frozen=True)
class Protocol:
    """What a profile asks about one question; the file's own words.

    Attributes:
        profile: name of the profile.
        model: the judge's model, unless the user names another.
        prompt: which system text: an official one's name or a file of this folder.
        prompt_sha256: digest of that text.
        official: whether the text is the authors', which is fetched.
        temperature: as sent.
        user: the user message with places for the texts.
        labels: what begins a field of that message.
        form: the values that the judge is asked for, each with its kind.
        response_format: the request's field of that name, None where it has none.
    """

    profile: str
    model: str
    prompt: str
    prompt_sha256: str
    official: bool
    temperature: float
    user: str = field(repr=False)
    labels: tuple[str, ...]
    form: Form = field(repr=False)
    response_format: dict[str, Any] | None = field(repr=False)


def protocol(profile: str, question: str) -> Protocol:
    """Return what ``profile`` (of ``CHAT_PROFILES``) asks about ``question`` (of ``QUESTIONS``).

    Raises ``ValueError`` for a profile file that cannot be right.
    """
    return _read(profile)[QUESTIONS[question].asked_as]


@cache
def _read(profile: str) -> Mapping[str, Protocol]:
    path = _FOLDER / f"profile_{profile}.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType(
        {question: parse_entry(content, question, path.name) for question in content["questions"]}
    )


def parse_entry(content: Mapping[str, Any], question: str, source: str) -> Protocol:
    """Return the entry of ``question`` in a profile file's ``content``.

    Raises ``ValueError``, naming ``source``, for one that contradicts itself or the question.
    """
    entry = {**content, **content["questions"][question]}  # the file's own keys hold for each
    user, labels = str(entry["user"]), tuple(entry["labels"])
    form = Form({name: KINDS[kind] for name, kind in entry["values"].items()})
    places = [name for name in _PLACE.findall(user) if name in _TEXTS]
    stated = entry.get("schema")
    asked = set(stated["schema"]["properties"]) if stated else set(form.names)
    faults = (
        (places != entry["order"], "the texts stand in another order in `user`"),
        (not all(label in user for label in labels), "a label is not in `user`"),
        (asked != set(form.names), "the schema asks for other values"),
        (stated and set(stated["schema"]["required"]) != asked, "the schema leaves values out"),
        (
            any(form.fields.get(k) != v for k, v in QUESTIONS[question].form.fields.items()),
            "the values are not the question's",
        ),
    )
    for wrong, what in faults:
        if wrong:
            raise ValueError(f"{source}, {question}: {what}")
    return Protocol(
        profile=content["name"],
        model=content["model"],
        prompt=entry["prompt"],
        prompt_sha256=entry["prompt_sha256"],
        official=content["prompts"] == "official",
        temperature=entry["temperature"],
        user=user,
        labels=labels,
        form=form,
        response_format={"type": "json_schema", "json_schema": stated} if stated else None,
    )
