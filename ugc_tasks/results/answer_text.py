"""From what a model gave to what is scored: one way, whichever task asks and whichever door it is.

lmms-eval's filter and scores, judging while captions are made, ``ugc-videocap score`` and
``ugc_replay`` all call :func:`model_answer`. It cuts out reasoning, recognises what other models
write where they failed (``failure_markers.py``), and says why there is no answer where there is
none. A failure is never scored, and a judge is never asked about one.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import storable
from ugc_tasks.results.failure_markers import failure_in

_MAX_REASON = 1000
_MAX_DEPTH = 8
_MAX_INTEGER = 2**63
_INDENT = 64
_NOT_A_TEXT = "the answer is not a text"
_STR_OF_NONE = frozenset(("none", "null", "nan", "n/a", "undefined", "no response", "no output"))
"""What a program makes of an answer that is missing; no caption reads like that."""

_TAG = re.compile(
    r"<(?P<xml>/?)\s{0,2}(?:think|thinking|thoughts?|analysis|reasoning)\s{0,2}>"
    r"|\u25c1(?P<kimi>/?)think\u25b7|\[(?P<mistral>/?)(?-i:THINK)\]",
    re.IGNORECASE,
)
"""Marks of reasoning: lmms-eval's own two, and those of chat templates it does not know."""

_ANSWER_TAG = re.compile(r"</?\s{0,2}answer\s{0,2}>", re.IGNORECASE)
_ENDED = frozenset(("stop", "eos", "end_turn", "STOP", "FinishReason.STOP"))


@dataclass(frozen=True)
class ModelAnswer:
    """What is scored of a model's answer.

    Attributes:
        text: the answer without reasoning and without blanks around it; JSON where the answer is a
            JSON value. Of a failure, what there is of it: not to be scored.
        failure: why there is no answer; empty where there is one.
        generation: what the model told of its answer, as plain JSON values; None if nothing.
    """

    text: str
    failure: str = ""
    generation: Mapping[str, Any] | None = None


def model_answer(
    value: Any, task: str, *, error: Any = None, generation: Any = None
) -> ModelAnswer:
    """Return what is scored of an answer, or why there is nothing to score.

    Never raises, whatever is given.

    Args:
        value: the answer: a text, or the JSON value that stands for it in a file. None: none.
        task: short name of the task (a key of ``SPECS``).
        error: why there is no answer, as the file or the model says; empty or None: nothing said.
        generation: what the model told of its answer; anything but an object tells nothing.
    """
    told = _generation(generation)
    text, reasoned, cut = _without_reasoning(_as_text(value))
    reason = _reason(error) or _reason((told or {}).get("error"))
    if not reason:
        blank = _is_blank(text)
        reason = (
            _why_blank(task, value, told, reasoned, cut) if blank else _why_none(task, value, text)
        )
    return ModelAnswer(text, reason, told)


def no_answer(task: str) -> str:
    """Return the reason of an answer that is blank."""
    return f"the model gave no {subject_of(task)}"


def subject_of(task: str) -> str:
    """Return what the answer to a task is called: ``caption`` or ``answer``."""
    return "caption" if task.endswith("caption") else "answer"


def _why_blank(
    task: str, value: Any, told: Mapping[str, Any] | None, reasoned: bool, cut: bool
) -> str:
    if cut:
        return "the model's reasoning was cut off before any answer"
    if reasoned:
        return f"{no_answer(task)} after its reasoning"
    finish = (told or {}).get("finish_reason")
    if isinstance(finish, str) and finish and finish not in _ENDED:
        return f"{no_answer(task)} (finish reason: {finish})"[:_MAX_REASON]
    # A blank is an answer to the question which texts are seen: the published OCR figures count it.
    return "" if value is not None and _kind(task) == "ocr" else no_answer(task)


def _why_none(task: str, value: Any, text: str) -> str:
    if _kind(task) == "text" and not isinstance(value, str):
        return _NOT_A_TEXT
    if task in ("caption", "visual_caption") and text.strip("[]()<>.").casefold() in _STR_OF_NONE:
        return f"{no_answer(task)} (its text is {text!r})"
    return failure_in(text, shown_text=_kind(task) == "ocr")


def _kind(task: str) -> str:
    return SPECS[task].kind if task in SPECS else "text"


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return f"({type(value).__name__})"
    return storable(str(value))


def _without_reasoning(text: str) -> tuple[str, bool, bool]:
    """Return a text without reasoning, whether there was some, and whether it has no end.

    A block from an opening to the next closing tag is cut out, as lmms-eval does. Where a template
    put the opening tag into the prompt, all before the closing tag is reasoning. An opening tag
    without a closing one begins reasoning that the token limit cut off, if it begins a line or
    stands behind reasoning; in the middle of a sentence it is a quotation.
    """
    kept: list[str] = []
    start, opened, reasoned, sure = 0, None, False, False
    for tag in _TAG.finditer(text):
        if "/" not in tag.group():
            if not sure:
                opened, sure = tag, reasoned or _begins_line(text, tag.start())
            continue
        if opened is None:
            kept.clear()
        else:
            kept.append(text[start : opened.start()])
        start, opened, reasoned, sure = tag.end(), None, True, False
    kept.append(text[start : opened.start() if opened is not None and sure else None])
    # A blank between the parts, so that they do not make a new tag together.
    answer = " ".join(part for part in kept if part).strip()
    return (_without_answer_tags(answer) if reasoned else answer), reasoned or sure, sure


def _begins_line(text: str, place: int) -> bool:
    before = text[max(0, place - _INDENT) : place].rstrip(" \t")
    return before.endswith("\n") or (not before and place <= _INDENT)


def _without_answer_tags(text: str) -> str:
    """Take away the tags that models which think aloud put around their whole answer."""
    tags = list(_ANSWER_TAG.finditer(text))
    if not tags or tags[0].start() != 0 or "/" in tags[0].group():
        return text
    if len(tags) == 1:
        return text[tags[0].end() :].strip()
    if len(tags) == 2 and "/" in tags[1].group() and tags[1].end() == len(text):
        return text[tags[0].end() : tags[1].start()].strip()
    return text


def _is_blank(text: str) -> bool:
    return all(char.isspace() or unicodedata.category(char) in ("Cc", "Cf") for char in text)


def _reason(error: Any) -> str:
    if not error:
        return ""
    text = error if isinstance(error, str) else _as_text(error)
    return storable(text).strip()[:_MAX_REASON]


def _generation(value: Any) -> dict[str, Any] | None:
    return plain_json(value) if isinstance(value, Mapping) else None


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object that any writer of JSON can write and any reader can read.

    What is no number (NaN, infinity), too large, nested too deeply, no JSON value at all, or half a
    character is replaced by a text that says what it was.
    """
    return {_key(key): _plain(item, _MAX_DEPTH - 1) for key, item in value.items()}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    small = isinstance(value, int) and abs(value) < _MAX_INTEGER
    if value is None or small or isinstance(value, float):
        return value
    if depth and isinstance(value, Mapping):
        return {_key(key): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return f"({type(value).__name__})"


def _key(key: Any) -> str:
    return storable(key) if isinstance(key, str) else str(_plain(key, 0))
