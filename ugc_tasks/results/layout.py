"""Which field of a row names the clip, and which one holds the model's text.

Fields are judged by the words of their names (``modelOutput`` is ``model output``), in the whole
file at once: a row that lacks the field has no answer, whatever else is in it. Never is one of two
fields preferred that could both be the model's text: the other may be the reference, and scoring
that gives a model full marks for nothing. Known are three layouts with a reference in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError, kind, quoted
from ugc_tasks.data.questions import clip_id

Rows = Sequence[tuple[str, Mapping[str, Any]]]
"""Rows of a file, each with where it stands."""

RESPONSES = ("filtered_resps", "resps")
"""lmms-eval's names in its samples files: what its filters left of the responses, and those."""

# The first that is there and can be an id. A mere ``id`` or ``path`` may be of something else.
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

_NAMED = 12


@dataclass(frozen=True)
class Layout:
    """The fields of a file: ``answer``, the first of these that a row has; ``reference``."""

    answer: tuple[str, ...]
    reference: str | None = None


def layout_of(rows: Rows, chosen: str | None = None) -> Layout:
    """Return which fields hold the model's text and the reference.

    Args:
        rows: all rows of a file.
        chosen: the field that the user names, if any.

    Raises:
        DataError: no field could be the model's text, or more than one, and none was chosen.
    """
    if chosen is not None:
        if not any(chosen in row for _, row in rows):
            raise DataError(
                f"{_file(rows)}: no row has the field {quoted(chosen)}; there are {_names(rows)}"
            )
        return Layout((chosen,), "ocr" if chosen != "ocr" else None)
    found: dict[str, str] = {}
    for where, row in rows:
        for name in _candidates(row):
            found.setdefault(name, where)
    if set(found) == {"answer", "predict"}:  # the authors' objects and background
        return Layout(("predict",), "answer")
    if len(found) > 1:
        where = list(found.values())[1]
        names = " and ".join(quoted(name) for name in list(found)[:_NAMED])
        raise DataError(
            f"{where}: {len(found)} fields could be the model's text, {names}; say which with "
            "--answer-field (ugc_replay: answer_field=)"
        )
    if RESPONSES[0] in found:
        return Layout(RESPONSES, "target")
    if not found and not any(row.get("error") for _, row in rows):
        raise DataError(
            f"{rows[0][0]}: no field is known to hold the model's text, such as caption, "
            f"prediction, response, answer; there are {_names(rows)}; is it a file of annotations? "
            "If not, say which with --answer-field (ugc_replay: answer_field=)"
        )
    return Layout(tuple(found), "ocr")


def clip_of(where: str, row: Mapping[str, Any]) -> str | None:
    """Return the id of a row's clip; None where it has no field for one.

    Raises:
        DataError: it has such fields, and in none of them is an id.
    """
    values = _clip_values(row)
    found = next((video_id for value in values if (video_id := clip_id(value))), None)
    if values and found is None and not is_unnamed(row):
        raise DataError(f"{where}: {kind(values[0])} is no id of a clip")
    return found


def names_clip(row: Mapping[str, Any]) -> bool:
    """Tell whether a row has a field that says whose it is."""
    return bool(_clip_values(row)) or is_unnamed(row)


def is_unnamed(row: Mapping[str, Any]) -> bool:
    """Tell whether lmms-eval wrote a row without the clip's id (``--predict_only``)."""
    return isinstance(row.get("doc_id"), int) and isinstance(row.get("target"), str)


def no_clip(where: str, row: Mapping[str, Any]) -> DataError:
    """Return the error of a row that does not say whose it is."""
    return DataError(
        f"{where}: no field names the clip (video_id, video, id, path or the like); there are "
        f"{_names([(where, row)])}"
    )


def has_text(row: Mapping[str, Any]) -> bool:
    """Tell whether a field of an object could be a model's text."""
    return bool(_candidates(row))


def _candidates(row: Mapping[str, Any]) -> list[str]:
    """Return the fields that could be the model's text; lmms-eval's go under one name."""
    if any(name in row for name in RESPONSES):
        return [RESPONSES[0]]
    return [key for key, value in row.items() if _could_be_text(key, value)]


def _could_be_text(key: str, value: Any) -> bool:
    if key == "generation" and not isinstance(value, str):
        return False  # in our own rows: how the answer came about
    words = set(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", key[:200]))
    words = {word.lower() for word in words}
    return bool(words & _TEXT) and not words & _NO_TEXT


def _clip_values(row: Mapping[str, Any]) -> list[Any]:
    by_name = {_plain(key): value for key, value in row.items()}
    return [by_name[name] for name in _CLIP if by_name.get(name) is not None]


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key[:200].lower())


def _names(rows: Rows) -> str:
    names = list(dict.fromkeys(key for _, row in rows for key in row))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shown(name, 80) for name in names[:_NAMED]) + more if names else "none"


def _file(rows: Rows) -> str:
    return rows[0][0].rpartition(", row ")[0]
