"""Reading saved answers of a model, in the layouts that they are found in.

* the authors': JSONL of ``{video_id, caption[, error]}`` or ``{video_id, ocr, predict_ocr}``, where
  ``ocr`` is the reference; ``{"question": ..., "samples": [{video_id, answer, predict}]}``, where
  ``answer`` is (objects and background);
* lmms-eval's samples files: JSONL with ``filtered_resps`` or ``resps``, and ``video_id`` or, with
  ``--predict_only``, only ``doc_id`` and ``target``;
* any other JSON list, JSONL or CSV whose rows have an id and one field that can be the model's
  text, or a JSON object ``{video_id: answer}``.

Fields are known by the words in their names (``modelOutput`` is ``model output``), for the whole
file at once: a row without the field has no answer, whatever else is in it. Where two fields could
be the model's text, neither is chosen: the other one may be the reference, and scoring that would
give a model full marks for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import listed
from ugc_tasks.common.files import DataError, kind, parse_json, quoted, read_values, rows_of
from ugc_tasks.data.questions import clip_id
from ugc_tasks.results.answer_text import ModelAnswer, model_answer, reason_of

NO_ANSWER = "the file has no answer"  # the error of a row without an answer
NOT_SAVED = "there is no saved answer for this clip"  # the error of a clip without a row

_RESPONSES = ("filtered_resps", "resps")  # lmms-eval's: after its filters, and before
# The first that is there and can be an id. A mere ``id`` or ``path`` may belong to something else.
_CLIP = (
    *("videoid", "clipid", "video", "clip", "videoname", "videofile", "videofilename"),
    *("videopath", "clippath", "customid", "filename", "file", "filepath", "path", "id"),
)
_TEXT_WORDS = """
    answer answers caption captions completion completions content description generated generation
    hyp hypothesis output outputs pred predict predicted prediction predictions preds reply response
    responses resps result summary text
"""
_TEXT = frozenset(_TEXT_WORDS.split())
_OTHER_WORDS = """
    accuracy chars code confidence correct count date duration error failed file format gold ground
    gt hash id ids index judge kind label lang language latency len length level logprob logprobs
    name num path probability prompt question reason ref reference score scores source status
    target time token tokens truth type url usage version words
"""
_NO_TEXT = frozenset(_OTHER_WORDS.split())
"""With one of these in its name, a field is about the text (``output_tokens``) or the reference."""

_FAILED = ("caption", "answer")  # whose failure it is that a clip has no answer, in our rows
_CHOOSE = "say which with --answer-field (ugc_replay: answer_field=)"
_MOST_NAMES = 12

_Rows = Sequence[tuple[str, Mapping[str, Any]]]  # each with where it stands
# The fields of which the first that a row has is the model's text; and the reference's.
_Fields = tuple[tuple[str, ...], str | None]


@dataclass(frozen=True)
class SavedAnswer:
    """One answer.

    Attributes:
        value: the text, or the JSON value in its place; None where there is none.
        error: why there is no answer, as the file says, else empty.
        reference: the right answer that stands in the same row, if any.
        generation: what the model reported of the answer (samples files of ours), if anything.
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
    """An answer without a clip's id: its document's number in the task, and its reference."""

    where: str
    document: int
    target: str
    answer: SavedAnswer


@dataclass(frozen=True)
class SavedAnswers:
    """The answers of a file by ``video_id``, in its order, and those without an id."""

    path: Path
    answers: Mapping[str, SavedAnswer]
    unnamed: tuple[UnnamedAnswer, ...] = ()


def read_answers(path: Path, answer_field: str | None = None) -> SavedAnswers:
    """Read a file of answers; ``answer_field`` holds the model's text, else the only one that can.

    Raises ``DataError`` where it has none of the layouts above, or answers a clip twice.
    """
    named: list[tuple[str, SavedAnswer]] = []
    unnamed: list[UnnamedAnswer] = []
    for where, video_id, row, answer in _answers(path, read_values(path), answer_field):
        if video_id is not None:
            named.append((video_id, answer))
        elif _is_unnamed(row):
            unnamed.append(UnnamedAnswer(where, row["doc_id"], row["target"], answer))
        else:
            raise DataError(
                f"{where}: no field names the clip (video_id, video, id, path or the like); there "
                f"are {_names([(where, row)])}"
            )
    refuse_twice(path, [video_id for video_id, _ in named])
    if not named and not unnamed:
        raise DataError(f"{path}: there is no answer in it")
    return SavedAnswers(path, dict(named), tuple(unnamed))


def refuse_twice(path: Path, ids: Iterable[str]) -> None:
    """Raise ``DataError`` where a file answers a clip more than once."""
    twice = [video_id for video_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: answered more than once: {listed(twice)}; leave one answer for each clip"
        )


def _answers(
    path: Path, content: Any, field: str | None
) -> Iterator[tuple[str, str | None, Mapping[str, Any], SavedAnswer]]:
    annotated = False
    if isinstance(content, dict):
        if "evaluations" in content or ("items" in content and "metrics" in content):
            raise DataError(
                f"{path}: these are scores, not answers: `ugc-videocap summarize` reads it"
            )
        inside = _rows_inside(content)
        if inside is None and not _is_unnamed(content) and not _clip_of(str(path), content):
            yield from _by_id(path, content, field)
            return
        annotated = inside is not None and "question" in content
        content = [content] if inside is None else inside
    rows = list(rows_of(path, content if isinstance(content, list) else [content]))
    fields = _fields_of(rows, field) if rows else ((), None)
    if annotated and field is None and fields[0] == ("answer",):
        raise DataError(
            f"{path}: its rows have a question and an 'answer' alone, as annotation files do; if "
            "that is the model's text, say so with --answer-field answer"
        )
    for where, row in rows:
        yield where, _clip_of(where, row), row, _answer(row, fields)


def _rows_inside(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the only list of rows in an object (``samples``, ``results``), None without one."""
    lists = [v for v in content.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) != 1:
        return None
    first = lists[0][0]
    return lists[0] if _clip_values(first) or _is_unnamed(first) else None


def _by_id(
    path: Path, content: Mapping[str, Any], field: str | None
) -> Iterator[tuple[str, str | None, Mapping[str, Any], SavedAnswer]]:
    """Read ``{video_id: answer}``; objects that hold a model's text are read as rows."""
    ids = {key: clip_id(key) for key in content}
    if (bad := next((key for key, video_id in ids.items() if video_id is None), None)) is not None:
        raise DataError(f"{path}: {quoted(bad)} is no video_id")
    objects = [(f"{path}, {ids[k]}", v) for k, v in content.items() if isinstance(v, dict)]
    fields = None
    if field is not None or any(_candidates(v) or reason_of(v.get("error")) for _, v in objects):
        if not objects:
            raise DataError(f"{path}: its answers have no fields: leave out --answer-field")
        fields = _fields_of(objects, field)
    for key, value in content.items():
        if fields and isinstance(value, dict):
            yield str(path), ids[key], {}, _answer(value, fields)
        else:
            yield str(path), ids[key], {}, SavedAnswer(value, NO_ANSWER if value is None else "")


def _fields_of(rows: _Rows, chosen: str | None = None) -> _Fields:
    """Return which fields of a file's rows hold the model's text and the reference.

    Raises ``DataError`` where no field could be the text, or more than one, and none is ``chosen``.
    """
    if chosen is not None:
        if not any(chosen in row for _, row in rows):
            raise DataError(
                f"{rows[0][0].rpartition(', row ')[0]}: no row has the field {quoted(chosen)}; "
                f"there are {_names(rows)}"
            )
        return (chosen,), "ocr" if chosen != "ocr" else None
    found: dict[str, str] = {}
    for where, row in rows:
        for name in _candidates(row):
            found.setdefault(name, where)
    if set(found) == {"answer", "predict"}:  # the authors' objects and background
        return ("predict",), "answer"
    if len(found) > 1:
        names = " and ".join(quoted(name) for name in list(found)[:_MOST_NAMES])
        raise DataError(
            f"{list(found.values())[1]}: {len(found)} fields could be the model's text, {names}; "
            f"{_CHOOSE}"
        )
    if _RESPONSES[0] in found:
        return _RESPONSES, "target"
    if not found and not any(row.get("error") for _, row in rows):
        raise DataError(
            f"{rows[0][0]}: no field is known to hold the model's text, such as caption, "
            f"prediction, response, answer; there are {_names(rows)}; is it a file of annotations? "
            f"If not, {_CHOOSE}"
        )
    return tuple(found), "ocr"


def _candidates(row: Mapping[str, Any]) -> list[str]:
    """Return the fields that could be the model's text; lmms-eval's go under one name."""
    if any(name in row for name in _RESPONSES):
        return [_RESPONSES[0]]
    return [key for key, value in row.items() if _could_be_text(key, value)]


def _could_be_text(key: str, value: Any) -> bool:
    if key == "generation" and not isinstance(value, str):
        return False  # in our own rows: how the answer came about
    words = {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", key[:200])}
    return bool(words & _TEXT) and not words & _NO_TEXT


def _clip_of(where: str, row: Mapping[str, Any]) -> str | None:
    """Return the id of a row's clip; None where it has no field for one.

    Raises ``DataError`` where it has such fields and none of them holds an id.
    """
    values = _clip_values(row)
    found = next((video_id for value in values if (video_id := clip_id(value))), None)
    if values and found is None and not _is_unnamed(row):
        raise DataError(f"{where}: {kind(values[0])} is no id of a clip")
    return found


def _clip_values(row: Mapping[str, Any]) -> list[Any]:
    by_name = {re.sub(r"[^a-z0-9]", "", key[:200].lower()): value for key, value in row.items()}
    return [by_name[name] for name in _CLIP if by_name.get(name) is not None]


def _is_unnamed(row: Mapping[str, Any]) -> bool:
    """Tell whether lmms-eval wrote a row without the clip's id (``--predict_only``)."""
    return isinstance(row.get("doc_id"), int) and isinstance(row.get("target"), str)


def _names(rows: _Rows) -> str:
    return listed(dict.fromkeys(key for _, row in rows for key in row), _MOST_NAMES) or "none"


def _answer(row: Mapping[str, Any], fields: _Fields) -> SavedAnswer:
    names, reference_name = fields
    generation = row.get("generation")
    if not isinstance(generation, dict):
        finish = row.get("finish_reason")
        generation = {"finish_reason": finish} if isinstance(finish, str) else None
    failure = row.get("failure")
    if isinstance(failure, dict) and failure.get("kind") in _FAILED:
        failure = failure.get("reason")
    else:
        failure = next((row[name + "_failed"] for name in _FAILED if name + "_failed" in row), None)
    errors = (row.get("error"), (generation or {}).get("error"), failure)
    error = next(filter(None, map(reason_of, errors)), "")
    value = next((row[name] for name in names if name in row), None)
    if set(names) <= set(_RESPONSES):  # a text, or lists of one where it did not unpack them
        while isinstance(value, list):
            value = value[0] if value else None
    if value is None and not error:
        error = NO_ANSWER
    reference = row.get(reference_name) if reference_name else None
    if isinstance(reference, str) and reference.startswith("["):
        with suppress(DataError):  # lmms-eval writes a list of texts as JSON
            reference = parse_json(reference, "")
    return SavedAnswer(value, error, reference, generation)
