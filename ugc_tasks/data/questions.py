"""The annotation files: what is asked of each clip, and what an answer is compared with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ugc_tasks.common.display import storable
from ugc_tasks.common.files import DataError, kind, read_values, rows_of

# The longest published reference has 1,347; with the bound on answers it bounds a comparison.
MAX_OCR_CHARS = 4096
_MAX_OPTIONS = 26  # as many as there are letters for them
_MAX_PATH = 4096

# An id becomes the name of a file: no folder, nothing hidden.
_VIDEO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MEDIA = frozenset(
    ("mp4", "m4v", "mov", "mkv", "webm", "avi", "wmv", "flv", "ts", "mpg", "mpeg", "3gp", "ogv")
)


@dataclass(frozen=True)
class Questions:
    question: str  # asked of every clip, without options
    references: Mapping[str, Any]
    """What an answer is compared with, by ``video_id`` in the file's order: a text, one of the
    clip's options, or a list of texts (OCR)."""
    sha256: str  # of question, ids and references as published, whatever the file's layout
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a choice question offers, by ``video_id``, in the order of their letters."""

    def document(self, video_id: str) -> dict[str, Any]:
        """Return lmms-eval's document: the options stand lettered under the question."""
        options = self.options.get(video_id, ())
        lines = (f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))
        return {
            "question": "\n".join((self.question, *lines)),
            "answer": self.references[video_id],
            "options": list(options),
        }


def read_questions(path: Path) -> Questions:
    """Read ``{"question": ..., "samples": [{"video_id": ..., "answer": ...}, ...]}``.

    Other keys are ignored. ``DataError``: it has another form, or an answer is blank or no text.
    """
    return _read(path)[0]


def read_choice_questions(path: Path) -> Questions:
    """Read an annotation file whose samples have ``options``; references are spelled like these."""
    questions, rows = _read(path)
    options = {i: _options(f"{where}: {i}", row) for i, (where, row) in rows.items()}
    labels = {}
    for video_id, answer in questions.references.items():
        spelled = {option.casefold(): option for option in options[video_id]}
        if (label := spelled.get(answer.strip().casefold())) is None:
            raise DataError(
                f"{path}: the answer of {video_id} is none of its options: {answer!r:.80}"
            )
        labels[video_id] = label
    return Questions(questions.question, labels, questions.sha256, options)


def read_ocr_references(path: Path) -> dict[str, list[str]]:
    """Read ``{"video_id": ..., "ocr": [text, ...]}`` a line; raises ``DataError``."""
    content = read_values(path, as_is=True)
    rows = _rows_by_id(path, content if isinstance(content, list) else [content])
    return {i: ocr_reference(row.get("ocr"), f"{where}: {i}") for i, (where, row) in rows.items()}


def read_ocr_questions(path: Path, question: str) -> Questions:
    """Read OCR references; the file does not state the question. Raises ``DataError``."""
    references = read_ocr_references(path)
    return Questions(question, references, _digest(question, references))


def ocr_reference(value: Any, where: str) -> list[str]:
    """Return ``value`` if it is a list of texts that can be compared with; else ``DataError``."""
    usable = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if not usable or not any(text.strip() for text in value):
        raise DataError(f"{where} needs a list of texts in 'ocr', at least one of them not blank")
    if sum(len(text) + 1 for text in value) > MAX_OCR_CHARS:
        raise DataError(f"{where} has a reference of more than {MAX_OCR_CHARS} characters")
    return list(value)


def clip_ids(path: Path) -> tuple[str, ...]:
    """Return the ids in an annotation file of any form; raises ``DataError``."""
    content = read_values(path, as_is=True)
    if isinstance(content, dict):
        content = content.get("samples", [content])
    if not isinstance(content, list):
        raise DataError(f"{path}: not an annotation file: remove it, and fetch the published one")
    return tuple(dict.fromkeys(video_id for _, video_id, _ in clip_rows(path, content)))


def clip_rows(path: Path, values: list[Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield rows, each with where it stands and its ``video_id``; else ``DataError``."""
    for where, row in rows_of(path, values):
        if (video_id := clip_id(row.get("video_id"))) is None:
            given = kind(row.get("video_id")) if "video_id" in row else "none is there"
            raise DataError(f"{where}: there is no usable video_id: {given}")
        yield where, video_id, row


def clip_id(value: object) -> str | None:
    """Return the id that people write as ``ID``, ``ID.mp4`` or ``/path/ID.MP4``, else None.

    Only the last part is taken: no path gets past here.
    """
    if not isinstance(value, str) or len(value) > _MAX_PATH:
        return None
    name = re.split(r"[/\\]", value.strip())[-1]
    stem, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in _MEDIA:
        name = stem
    return name if _VIDEO_ID.fullmatch(name) else None


def _rows_by_id(path: Path, values: list[Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return rows by ``video_id``, one a clip, each with where it stands; else ``DataError``."""
    rows: dict[str, tuple[str, dict[str, Any]]] = {}
    for where, video_id, row in clip_rows(path, values):
        if video_id in rows:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        rows[video_id] = (where, row)
    if not rows:
        raise DataError(f"{path}: there is no clip in it")
    return rows


def _read(path: Path) -> tuple[Questions, dict[str, tuple[str, dict[str, Any]]]]:
    content = read_values(path, as_is=True)
    question = content.get("question") if isinstance(content, dict) else None
    samples = content.get("samples") if isinstance(content, dict) else None
    if not _is_text(question) or not isinstance(samples, list):
        raise DataError(
            f'{path}: an annotation file is {{"question": text, "samples": [...]}}; this is not one'
        )
    rows = _rows_by_id(path, samples)
    answers: dict[str, str] = {}
    for video_id, (where, sample) in rows.items():
        if sample["video_id"] != video_id:  # it was a path
            raise DataError(f"{where}: there is no usable video_id: {kind(sample['video_id'])}")
        if not _is_text(answer := sample.get("answer")):
            raise DataError(f"{where}: {video_id} has no answer: complete the row or remove it")
        answers[video_id] = answer
    return Questions(question, answers, _digest(question, answers)), rows


def _is_text(value: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that is not blank and can be encoded.

    JSON can spell half of a surrogate pair, which no judge can be sent and no file can hold.
    """
    return isinstance(value, str) and bool(value.strip()) and storable(value) == value


def _options(where: str, sample: Mapping[str, Any]) -> tuple[str, ...]:
    options = sample.get("options")
    texts = options if isinstance(options, list) and all(map(_is_text, options)) else []
    different = {text.strip().casefold() for text in texts}
    if not 2 <= len(texts) == len(different) <= _MAX_OPTIONS:
        raise DataError(f"{where} needs 2 to {_MAX_OPTIONS} different options, each a text")
    return tuple(text.strip() for text in texts)


def _digest(question: str, references: Mapping[str, Any]) -> str:
    canonical = json.dumps([question, sorted(references.items())], ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
