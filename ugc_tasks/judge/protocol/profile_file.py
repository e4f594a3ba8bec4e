"""A profile of one's own: a TOML file and the prompts beside it (docs/extending.md).

Its form is that of ours (``profile_paper.toml`` says what the keys mean), with these differences:
``like`` names one of ours, whose keys hold where this file has none; ``parameters`` is a table of
all that a request has beside model and messages; ``values`` may be any, each of a kind that
``parsing.kind_of`` knows; and ``json_schema = true`` has the endpoint enforce these. Every fault of
a file is one sentence, before anything is asked: a stranger may have written it.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

from ugc_tasks.data.published import official_text
from ugc_tasks.judge.parsing import ResponseSchema, kind_of
from ugc_tasks.judge.protocol.profiles import (
    PAID_PROFILES,
    PROFILE_NAMES,
    QUESTIONS,
    ChatProfile,
    Question,
    UnknownProfileError,
    packaged_prompt,
    stated,
)

_MAX_BYTES = 256 * 1024
_MOST_VALUES = 16
_MOST_LABELS, _LONGEST_LABEL = 32, 100
_DEEPEST = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_VALUE = re.compile(r"[a-z][a-z0-9_]{0,29}")
_PLACES = {"video_id", "prediction", "reference", "mark"}
# Keys of a row, which figures stand beside, and what a column of figures may be called.
_TAKEN = {
    "schema", "task", "video_id", "clip", "prediction", "reference", "score", "average", "n",
    "coverage", "failure", "heard", "flags", "decoding", "generation", "overall", "judge",
    "sanitized", "label", "chosen", "unanswered", "mode", "skipped",
}  # fmt: skip
_NOT_PARAMETERS = {
    "model", "messages", "response_format", "stream", "stream_options", "n", "tools",
    "tool_choice", "functions",
}  # fmt: skip
_KEYS = {"name", "like", "model", "parameters", "questions"}
_OF_QUESTION = {"prompt", "user", "labels", "values", "json_schema"}


def read_profile(
    path: Path, *, home: Path | None, cache: Path, model: str | None, question: Question
) -> ChatProfile:
    """Return the profile of a file for ``question``; ``model`` replaces the file's.

    Raises ``UnknownProfileError`` where the file cannot be used, and ``DataError`` where an
    official prompt cannot be had that it is to have.
    """
    try:
        content = _parsed(path, path)
        return _profile(path, content, home=home, cache=cache, model=model, question=question)
    except _Unusable as error:
        raise UnknownProfileError(f"the profile {path} cannot be used: {error}") from None


class _Unusable(ValueError):
    """What is wrong with a file, in words that follow its name."""


def _text(path: Path, called: object) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise _Unusable(f"{called} is larger than {_MAX_BYTES} bytes")
        return text.decode()
    except OSError as error:
        raise _Unusable(f"{called}: {error.strerror}") from None
    except ValueError as error:
        raise (
            error if isinstance(error, _Unusable) else _Unusable(f"{called} is no UTF-8")
        ) from None


def _parsed(path: Path, called: object) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path, called))
    except tomllib.TOMLDecodeError as error:
        raise _Unusable(f"it is no TOML ({error!s:.120})") from None
    except RecursionError:
        raise _Unusable("it is nested too deeply") from None


def _profile(
    path: Path,
    content: dict[str, Any],
    *,
    home: Path | None,
    cache: Path,
    model: str | None,
    question: Question,
) -> ChatProfile:
    _only(content, _KEYS | _OF_QUESTION, "it")
    name = _of(content, "name", str, "a text")
    if not _NAME.fullmatch(name) or name in PROFILE_NAMES:
        raise _Unusable(
            f"name {name!r:.60} is to be letters, digits, '.', '_' and '-', and none of "
            f"{', '.join(PROFILE_NAMES)}"
        )
    like = _of(content, "like", str, "a text", "")
    if like and like not in PAID_PROFILES:
        raise _Unusable(f"like {like!r:.60} is to be {' or '.join(PAID_PROFILES)}")
    base = stated(like, question.name) if like else {}
    entry = _entry(content, question, base)
    own_prompt = _of(entry, "prompt", str, "the name of a file", "")
    if own_prompt:
        system = _prompt(path.parent, own_prompt)
    elif like == "paper":
        system = official_text(base["prompt"], home=home, cache=cache)
    elif like:
        system = packaged_prompt(base["prompt"])
    else:
        raise _Unusable("there is no prompt, which is to name the file of the system text")
    user = _of(entry, "user", str, "a text", base.get("user"))
    _check_places(user)
    values = _of(entry, "values", dict, "a table", base.get("values"))
    schema = _schema(values, question)
    wanted = _of(entry, "json_schema", bool, "true or false", bool(base.get("schema")))
    inherited_labels = base["labels"] if base and "user" not in entry else _labels(user)
    labels = _of(entry, "labels", list, "a list of texts", inherited_labels)
    if len(labels) > _MOST_LABELS or not all(map(_is_label, labels)):
        raise _Unusable(
            f"labels is to be a list of at most {_MOST_LABELS} texts with words in them, each of "
            f"{_LONGEST_LABEL} characters at most"
        )
    inherited = {"temperature": base["temperature"]} if base else {}
    parameters = _of(content, "parameters", dict, "a table", inherited)
    _check_parameters(parameters)
    chosen = model or _of(content, "model", str, "a text", base.get("model"))
    if not chosen.strip():
        raise _Unusable("model is empty")
    published = values == base.get("values")
    return ChatProfile(
        name=name,
        model=chosen,
        parameters=parameters,
        system=system,
        user_template=user,
        response_format=(
            {"type": "json_schema", "json_schema": base["schema"]}
            if wanted and published and base.get("schema")
            else _response_format(name, values)
            if wanted
            else None
        ),
        question=replace(question, schema=schema, published=False),
        labels=tuple(labels),
        scale={n: values[n] for n in schema.names},
    )


def _entry(
    content: Mapping[str, Any], question: Question, base: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what the file states of the question: its own table, before the keys of the file."""
    tables = _of(content, "questions", dict, "a table", {})
    for name, table in tables.items():
        if name not in QUESTIONS or QUESTIONS[name].asked_as != name:
            asked = ", ".join(dict.fromkeys(each.asked_as for each in QUESTIONS.values()))
            raise _Unusable(f"questions has {name!r:.40}; the questions are {asked}")
        if not isinstance(table, dict):
            raise _Unusable(f"questions.{name} is to be a table")
        _only(table, _OF_QUESTION, f"questions.{name}")
    shared = {key: content[key] for key in _OF_QUESTION & content.keys()}
    own = tables.get(question.asked_as)
    captions = question.asked_as == "caption" and ("values" in content or not tables)
    if own is None and not base and not captions:
        there = f"it has {', '.join(tables)}" if tables else "it is about captions"
        raise _Unusable(f"it says nothing of the question {question.asked_as!r}; {there}")
    # Keys at the top are about captions, unless a table says otherwise.
    return {**(shared if question.asked_as == "caption" or own is not None else {}), **(own or {})}


def _prompt(folder: Path, name: str) -> str:
    """Return the text of a prompt, which is to lie beside the profile or below it."""
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise _Unusable(f"prompt {name!r:.100} is to be a file beside it")
    text = _text(path, f"prompt {name!r:.100}").strip()
    if not text:
        raise _Unusable(f"prompt {name!r:.100} is empty")
    return text


def _check_places(user: str) -> None:
    try:
        fields = [(f, spec, how) for _, f, spec, how in Formatter().parse(user) if f is not None]
    except ValueError as error:
        raise _Unusable(f"user: {error} (braces that are meant are doubled)") from None
    for field, spec, how in fields:
        if field not in _PLACES or spec or how:
            raise _Unusable(
                f"user has a place {{{field:.40}}}; there are "
                f"{', '.join(f'{{{place}}}' for place in sorted(_PLACES))}, and braces that are "
                "meant are doubled"
            )
    lacking = {"prediction", "reference"} - {field for field, _, _ in fields}
    if lacking:
        raise _Unusable(f"user has no place {{{sorted(lacking)[0]}}}")


def _labels(user: str) -> list[str]:
    """Return what begins the fields of a message: what stands before a place on its line."""
    starts = [line.partition("{")[0].strip() for line in user.splitlines() if "{" in line]
    return list(dict.fromkeys(filter(_is_label, starts)))[:_MOST_LABELS]


def _is_label(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _LONGEST_LABEL and bool(re.search(r"\w", text))


def _schema(values: Mapping[str, Any], question: Question) -> ResponseSchema:
    if not values or len(values) > _MOST_VALUES:
        raise _Unusable(f"values is to have 1 to {_MOST_VALUES} of them")
    kinds = {}
    for name, spec in values.items():
        if not _VALUE.fullmatch(name) or name in _TAKEN or name.endswith("_estimate"):
            raise _Unusable(
                f"values has {name!r:.40}: a name is to be small letters, digits and '_', and not "
                "that of something else in a row (docs/results.md)"
            )
        try:
            kinds[name] = kind_of(spec)
        except ValueError as error:
            raise _Unusable(f"values: {name} {error}") from None
    schema = ResponseSchema(kinds)
    if question.asked_as != "caption":
        if len(kinds) != 1:
            raise _Unusable(f"values of the question {question.name!r} is to have one of them")
        return schema
    if question.name == "caption":
        return schema
    side = question.schema.names[0]  # of what is asked as captions are, one side alone
    if side not in kinds:
        raise _Unusable(f"values has no {side!r}, which is what is kept of {question.name!r}")
    return schema.only(side)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if name in _NOT_PARAMETERS:
            raise _Unusable(f"parameters has {name!r}, which is not for a profile to say")
        if not _is_json(value, _DEEPEST):
            raise _Unusable(f"parameters: {name:.40} is {value!r:.40}, which JSON cannot say")


def _is_json(value: Any, deep: int) -> bool:
    if isinstance(value, dict):
        return deep > 0 and all(_is_json(each, deep - 1) for each in value.values())
    if isinstance(value, list):
        return deep > 0 and all(_is_json(each, deep - 1) for each in value)
    return isinstance(value, str | bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _response_format(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(values),
        "additionalProperties": False,
        "properties": {value: dict(kind_of(spec).json) for value, spec in values.items()},
    }
    called = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return {
        "type": "json_schema",
        "json_schema": {"name": called, "strict": True, "schema": schema},
    }


def _only(table: Mapping[str, Any], keys: set[str], what: str) -> None:
    if strange := sorted(table.keys() - keys):
        raise _Unusable(f"{what} has {strange[0]!r:.60}; known are {', '.join(sorted(keys))}")


_LACKING = object()


def _of(table: Mapping[str, Any], key: str, kind: type, what: str, default: Any = _LACKING) -> Any:
    """Return a value of a table, of this kind, or ``default`` where it has none."""
    if key not in table:
        if default is _LACKING or default is None:
            raise _Unusable(f"there is no {key}")
        return default
    if not isinstance(table[key], kind):
        raise _Unusable(f"{key} is to be {what}")
    return table[key]
