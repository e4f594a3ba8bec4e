"""Reading saved answers of a model, in the layouts that they are found in.

* the authors' captions: JSONL of ``{video_id, caption[, error]}``;
* the authors' OCR: JSONL of ``{video_id, ocr, predict_ocr}``, where ``ocr`` is the reference;
* the authors' objects and background: ``{"question": ..., "samples": [{video_id, answer,
  predict}]}``, where ``answer`` is the reference;
* lmms-eval's samples files: JSONL with ``video_id`` and ``filtered_resps`` or ``resps``;
* anybody's: JSON list or JSONL of ``{video_id, caption | predict | prediction | predict_ocr |
  answer}``, or a JSON object ``{video_id: answer}``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.answer_text import ModelAnswer, model_answer
from ugc_tasks.data.home import DataError
from ugc_tasks.data.questions import is_video_id
from ugc_tasks.saved.files import read_json_or_lines, rows_of

_PREDICTION_KEYS = ("caption", "predict", "predict_ocr", "prediction")
_FAILED_KEYS = ("caption_failed", "answer_failed")
"""Why a clip has no answer, in samples files of ours."""

_NAMED = 5

NO_ANSWER = "the file has no answer"


@dataclass(frozen=True)
class SavedAnswer:
    """One answer.

    Attributes:
        value: the text, or the JSON value that stands for it; None where there is none.
        error: why there is no answer, as the file says, or ``NO_ANSWER`` where it has ``null`` and
            says nothing; empty where there is one. A blank text is an answer.
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
class SavedAnswers:
    """The answers of a file by ``video_id``, in its order."""

    path: Path
    answers: Mapping[str, SavedAnswer]


def read_answers(path: Path) -> SavedAnswers:
    """Read a file of answers.

    Raises:
        DataError: the file cannot be read, has none of the layouts above, or answers a clip twice.
    """
    content = read_json_or_lines(path)
    try:
        pairs = list(_pairs(path, content))
    except RecursionError:
        raise DataError(f"{path}: an answer is nested too deeply") from None
    counts = Counter(video_id for video_id, _ in pairs)
    twice = [video_id for video_id, count in counts.items() if count > 1]
    if twice:
        more = f" and {len(twice) - _NAMED} more" if len(twice) > _NAMED else ""
        raise DataError(
            f"{path}: answered more than once: {', '.join(twice[:_NAMED])}{more}; leave one answer "
            "for each clip"
        )
    if not pairs:
        raise DataError(f"{path}: there is no answer in it")
    return SavedAnswers(path, dict(pairs))


def _pairs(path: Path, content: Any) -> Iterator[tuple[str, SavedAnswer]]:
    if isinstance(content, dict) and isinstance(content.get("samples"), list):
        for where, row in rows_of(path, content["samples"]):
            if "predict" not in row:
                raise DataError(
                    f"{where}: {row['video_id']} has no 'predict': is this an annotation file?"
                )
            yield row["video_id"], _row(where, row)
    elif isinstance(content, dict) and "evaluations" in content:
        raise DataError(f"{path}: these are scores, not answers: `ugc-videocap summarize` reads it")
    elif isinstance(content, dict) and "video_id" not in content:
        for video_id, value in content.items():
            if not is_video_id(video_id):
                raise DataError(f"{path}: {video_id!r:.80} is no video_id")
            yield video_id, SavedAnswer(_writable(value), NO_ANSWER if value is None else "")
    else:
        for where, row in rows_of(path, content if isinstance(content, list) else [content]):
            yield row["video_id"], _row(where, row)


def _row(where: str, row: Mapping[str, Any]) -> SavedAnswer:
    generation = row.get("generation")
    if not isinstance(generation, dict):
        finish = row.get("finish_reason")
        generation = {"finish_reason": finish} if isinstance(finish, str) else None
    errors = (row.get("error"), (generation or {}).get("error"), *map(row.get, _FAILED_KEYS))
    error = next(filter(None, errors), "")
    for key in ("filtered_resps", "resps"):
        if key in row:
            value, reference = _first(row[key]), row.get("target")
            break
    else:
        value, reference = _prediction(where, row)
    if value is None and not error:
        error = NO_ANSWER
    return SavedAnswer(
        value=_writable(value),
        error=str(_writable(error if isinstance(error, str) else repr(error)))[:1000],
        reference=_writable(reference),
        generation=generation,
    )


def _prediction(where: str, row: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the answer of a row and the reference beside it."""
    keys = [key for key in _PREDICTION_KEYS if key in row]
    if len(keys) > 1:
        raise DataError(f"{where}: which is the answer, {' or '.join(map(repr, keys))}? Keep one")
    if keys:
        reference = row.get("ocr") if keys[0] == "predict_ocr" else row.get("answer")
        return row[keys[0]], reference
    if "answer" in row:
        return row["answer"], None
    if row.get("error"):
        return None, None
    known = ", ".join((*_PREDICTION_KEYS, "answer"))
    raise DataError(f"{where}: {row['video_id']} has no answer; it is looked for in {known}")


def _first(responses: Any) -> Any:
    """Return the first response; lmms-eval writes a text where there is one, else lists."""
    for _ in range(3):
        if not isinstance(responses, list):
            break
        responses = responses[0] if responses else None
    return responses


def _writable(value: Any) -> Any:
    """Replace halves of surrogate pairs, which JSON can spell and nothing can send or store."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8") if _is_broken(value) else value
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    return value


def _is_broken(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
