"""Reading saved answers of a model, in the layouts that they are found in.

* the authors' captions: JSONL of ``{video_id, caption[, error]}``;
* the authors' OCR: JSONL of ``{video_id, ocr, predict_ocr}``, where ``ocr`` is the reference;
* the authors' objects and background: ``{"question": ..., "samples": [{video_id, answer,
  predict}]}``, where ``answer`` is the reference;
* lmms-eval's samples files: JSONL with ``filtered_resps`` or ``resps``, and ``video_id`` or, with
  ``--predict_only``, ``doc_id`` and ``target`` alone;
* anybody's: a JSON list, JSONL or CSV of rows with an id and one field that can be the model's text
  (``layout.py``), or a JSON object ``{video_id: answer}``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import storable
from ugc_tasks.common.files import DataError, quoted, read_values, rows_of
from ugc_tasks.data.questions import clip_id
from ugc_tasks.results.answer_text import ModelAnswer, model_answer
from ugc_tasks.results.layout import (
    RESPONSES,
    Layout,
    clip_of,
    has_text,
    is_unnamed,
    layout_of,
    names_clip,
    no_clip,
)

_NAMED = 5
_MAX_REASON = 1000
_FAILED = ("caption_failed", "answer_failed")
"""Why a clip has no answer, in samples files of ours."""

_NO_ERROR = frozenset(("", "none", "null", "nan", "false"))

NO_ANSWER = "the file has no answer"
"""Of a row without one."""

NOT_SAVED = "there is no saved answer for this clip"
"""Of a clip without a row."""


@dataclass(frozen=True)
class SavedAnswer:
    """One answer.

    Attributes:
        value: the text, or the JSON value that stands for it; None where there is none.
        error: why there is no answer, as the file says, or ``NO_ANSWER`` where it has ``null`` and
            says nothing; empty where there is one. What a blank text is, ``read`` says.
        reference: what the same row says the right answer is; None where it does not.
        generation: what the model told of the answer (samples files of ours), else None.
    """

    value: Any
    error: str = ""
    reference: Any = None
    generation: Mapping[str, Any] | None = None

    def read(self, task: str) -> ModelAnswer:
        """Return what is scored of it as an answer to a task, by the task's short name."""
        return model_answer(self.value, task, error=self.error, generation=self.generation)


@dataclass(frozen=True)
class UnnamedAnswer:
    """An answer to a document of lmms-eval: its number in the task, and its reference as a text."""

    where: str
    document: int
    target: str
    answer: SavedAnswer


@dataclass(frozen=True)
class SavedAnswers:
    """The answers of a file by ``video_id``, in its order, and those that tell no id."""

    path: Path
    answers: Mapping[str, SavedAnswer]
    unnamed: tuple[UnnamedAnswer, ...] = ()

    @property
    def values(self) -> list[Any]:
        """What the answers are, those without an id too."""
        answers = [*self.answers.values(), *(each.answer for each in self.unnamed)]
        return [answer.value for answer in answers]


def read_answers(path: Path, answer_field: str | None = None) -> SavedAnswers:
    """Read a file of answers.

    Args:
        path: the file.
        answer_field: the field of a row that holds the model's text; None: the only one that can.

    Raises:
        DataError: the file cannot be read, has none of the layouts above, has more than one field
            that could be the model's text, or answers a clip twice.
    """
    answers: dict[str, SavedAnswer] = {}
    unnamed: list[UnnamedAnswer] = []
    counts: Counter[str] = Counter()
    for where, video_id, row, answer in _answers(path, read_values(path), answer_field):
        if video_id is not None:
            answers[video_id] = answer
            counts[video_id] += 1
        elif is_unnamed(row):
            target = str(_writable(row["target"]))
            unnamed.append(UnnamedAnswer(where, row["doc_id"], target, answer))
        else:
            raise no_clip(where, row)
    refuse_twice(path, [video_id for video_id, count in counts.items() if count > 1])
    if not answers and not unnamed:
        raise DataError(f"{path}: there is no answer in it")
    return SavedAnswers(path, answers, tuple(unnamed))


def refuse_twice(path: Path, ids: list[str]) -> None:
    """Raise ``DataError`` if there are clips that a file answers more than once."""
    if ids:
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        raise DataError(
            f"{path}: answered more than once: {', '.join(ids[:_NAMED])}{more}; leave one answer "
            "for each clip"
        )


_Found = Iterator[tuple[str, str | None, Mapping[str, Any], SavedAnswer]]
"""Where it stands, the clip's id, the row, and its answer."""


def _answers(path: Path, content: Any, field: str | None) -> _Found:
    annotated = False
    if isinstance(content, dict):
        if "evaluations" in content or ("items" in content and "metrics" in content):
            raise DataError(
                f"{path}: these are scores, not answers: `ugc-videocap summarize` reads it"
            )
        rows_inside = _rows_inside(content)
        if rows_inside is None and not is_unnamed(content) and not clip_of(str(path), content):
            yield from _by_id(path, content, field)
            return
        annotated = rows_inside is not None and "question" in content
        content = [content] if rows_inside is None else rows_inside
    rows = list(rows_of(path, content if isinstance(content, list) else [content]))
    layout = layout_of(rows, field) if rows else Layout(())
    if annotated and field is None and layout.answer == ("answer",):
        raise DataError(
            f"{path}: its rows have a question and an 'answer' alone, as annotation files do; if "
            "that is the model's text, say so with --answer-field answer"
        )
    for where, row in rows:
        yield where, clip_of(where, row), row, _answer(row, layout)


def _rows_inside(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the only list of rows in an object (``samples``, ``results``), None without one."""
    lists = [
        value
        for value in content.values()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    return lists[0] if len(lists) == 1 and names_clip(lists[0][0]) else None


def _by_id(path: Path, content: Mapping[str, Any], field: str | None) -> _Found:
    """Read ``{video_id: answer}``; objects with a model's text in them are rows."""
    ids = {}
    for key in content:
        if (video_id := clip_id(key)) is None:
            raise DataError(f"{path}: {quoted(key)} is no video_id")
        ids[key] = video_id
    objects = [(f"{path}, {ids[k]}", v) for k, v in content.items() if isinstance(v, dict)]
    layout = None
    if field is not None or any(has_text(v) or _reason(v.get("error")) for _, v in objects):
        if not objects:
            raise DataError(f"{path}: its answers have no fields: leave out --answer-field")
        layout = layout_of(objects, field)
    for key, value in content.items():
        if layout is not None and isinstance(value, dict):
            yield f"{path}, {ids[key]}", ids[key], value, _answer(value, layout)
        else:
            answer = SavedAnswer(_writable(value), NO_ANSWER if value is None else "")
            yield str(path), ids[key], {}, answer


def _answer(row: Mapping[str, Any], layout: Layout) -> SavedAnswer:
    generation = _generation(row.get("generation"))
    if generation is None and isinstance(finish := row.get("finish_reason"), str):
        generation = {"finish_reason": _writable(finish)}
    errors = (row.get("error"), (generation or {}).get("error"), *map(row.get, _FAILED))
    error = next(filter(None, map(_reason, errors)), "")
    value = next((row[name] for name in layout.answer if name in row), None)
    if layout.answer and set(layout.answer) <= set(RESPONSES):
        value = _first(value)
    if value is None and not error:
        error = NO_ANSWER
    return SavedAnswer(
        value=_writable(value),
        error=error,
        reference=_reference(row.get(layout.reference)) if layout.reference else None,
        generation=generation,
    )


def _reference(value: Any) -> Any:
    """Return a reference; lmms-eval writes one that is a list of texts as JSON."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError, RecursionError):
            return _writable(json.loads(value))
    return _writable(value)


def _reason(error: Any) -> str:
    """Return a row's reason for having no answer; empty where it has none."""
    if not error or (isinstance(error, str) and error.strip().lower() in _NO_ERROR):
        return ""
    return str(_writable(error if isinstance(error, str) else repr(error)))[:_MAX_REASON]


def _generation(told: Any) -> dict[str, Any] | None:
    """Return what a model told of its answer, each value of the type that it is to have."""
    if not isinstance(told, dict):
        return None
    generation: dict[str, Any] = _writable(told)
    if "error" in told:
        generation["error"] = _reason(told["error"]) or None
    if "flags" in told:
        flags = generation["flags"] if isinstance(told["flags"], list) else []
        generation["flags"] = [flag for flag in flags if isinstance(flag, str)]
    return generation


def _first(responses: Any) -> Any:
    """Return the first response; lmms-eval writes a text where there is one, else lists."""
    for _ in range(3):
        if not isinstance(responses, list):
            break
        responses = responses[0] if responses else None
    return responses


def _writable(value: Any) -> Any:
    """Return a JSON value whose texts can be sent and stored."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    return value
