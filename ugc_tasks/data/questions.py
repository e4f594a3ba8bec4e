"""Reading the benchmark's annotation files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ugc_tasks.common.files import DataError, kind, rows_of

MAX_BYTES = 64 << 20
"""Larger than any annotation file by a factor of ten; a file beyond it is something else."""

# A video_id becomes a file name: one path component, nothing hidden.
_VIDEO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_PATH = 4096
_MEDIA = frozenset(
    ("mp4", "m4v", "mov", "mkv", "webm", "avi", "wmv", "flv", "ts", "mpg", "mpeg", "3gp", "ogv")
)


@dataclass(frozen=True)
class Questions:
    """One annotation file.

    Attributes:
        question: what is asked of every clip.
        answers: reference answer by ``video_id``, in the file's order.
        sha256: digest of question, ids and answers, independent of how the file is laid out.
    """

    question: str
    answers: Mapping[str, str]
    sha256: str


def read_questions(path: Path) -> Questions:
    """Read ``{"question": ..., "samples": [{"video_id": ..., "answer": ...}, ...]}``.

    Other keys (``valid_count``; a sample's ``path``, which is a path on the authors' machine) are
    passed over.

    Raises:
        DataError: the file cannot be read, is not of that form, names a clip twice, or has an
            answer that is blank or no text.
    """
    content = _load(path)
    question = content.get("question") if isinstance(content, dict) else None
    samples = content.get("samples") if isinstance(content, dict) else None
    if not _is_text(question) or not isinstance(samples, list):
        raise DataError(
            f'{path}: an annotation file is {{"question": text, "samples": [...]}}; this is not one'
        )
    answers: dict[str, str] = {}
    for number, sample in enumerate(samples):
        video_id, answer = _sample(path, number, sample)
        if video_id in answers:
            raise DataError(f"{path}: {video_id} is there twice: remove one of the two samples")
        answers[video_id] = answer
    if not answers:
        raise DataError(f"{path}: there is no sample in it")
    return Questions(question, answers, content_digest(question, answers))


def is_video_id(value: object) -> TypeGuard[str]:
    """Tell whether a value can be a clip's id, and so the name of a file."""
    return isinstance(value, str) and _VIDEO_ID.fullmatch(value) is not None


def clip_id(value: object) -> str | None:
    """Return the id that people write as ``ID``, ``ID.mp4``, ``/path/ID.MP4`` or ``C:\\ID.mp4``.

    None where the value is no such text. Only the last part is taken: no path gets past here.
    """
    if not isinstance(value, str) or len(value) > _MAX_PATH:
        return None
    name = re.split(r"[/\\]", value.strip())[-1]
    stem, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in _MEDIA:
        name = stem
    return name if is_video_id(name) else None


def clip_rows(path: Path, values: list[Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield rows of ours, each with where it stands and its ``video_id``; else ``DataError``."""
    for where, row in rows_of(path, values):
        if (video_id := clip_id(row.get("video_id"))) is None:
            given = kind(row.get("video_id")) if "video_id" in row else "none is there"
            raise DataError(f"{where}: there is no usable video_id: {given}")
        yield where, video_id, row


def _load(path: Path) -> Any:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: {size} bytes are too many for an annotation file")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not valid JSON ({str(error)[:200]})") from None


def _sample(path: Path, number: int, sample: Any) -> tuple[str, str]:
    video_id = sample.get("video_id") if isinstance(sample, dict) else None
    if not is_video_id(video_id):
        raise DataError(f"{path}: sample {number} has no usable video_id: {video_id!r:.80}")
    answer = sample.get("answer")
    if not _is_text(answer):
        raise DataError(f"{path}: {video_id} has no answer: complete the sample or remove it")
    return video_id, answer


def _is_text(value: Any) -> TypeGuard[str]:
    """Tell whether a value is a text with something in it that can be written down again.

    JSON can spell half of a surrogate pair, which no judge can be sent and no file can hold.
    """
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_digest(question: str, answers: Mapping[str, Any]) -> str:
    """Return the SHA-256 of question, ids and answers, in whatever order and layout they stand."""
    canonical = json.dumps([question, sorted(answers.items())], ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
