"""From what a model gave to what is scored, the same for every task and every command.

Reasoning is cut out, and failures are told from answers: they are never scored, and no judge is
asked about them. lmms-eval's models write them as texts, and so do scripts around an API; but a
caption may speak of errors, and a sign in a clip may show one. Hence two rules:

* forms that no person writes, such as those of lmms-eval's models (``lmms_models.toml``), are
  failures where they are the whole answer, also alone in a list or an object;
* a text that begins like an error message is a failure only if it goes on like one: in a program's
  words, or in at most four words. Where the question is what can be read in the clip (OCR), a few
  words are not enough, and what is quoted or JSON is an answer.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.results.lmms_models import is_failure

_MAX_REASON = 1000
_MAX_DEPTH = 8
_MAX_INTEGER = 2**63
_INDENT = 64
_NO_ERROR = frozenset(("", "none", "null", "nan", "false"))
_STR_OF_NONE = frozenset(("none", "null", "nan", "n/a", "undefined", "no response", "no output"))

_TAG = re.compile(
    r"<(?P<xml>/?)\s{0,2}(?:think|thinking|thoughts?|analysis|reasoning)\s{0,2}>"
    r"|\u25c1(?P<kimi>/?)think\u25b7|\[(?P<mistral>/?)(?-i:THINK)\]",
    re.IGNORECASE,
)

_ANSWERED = re.compile(
    r"<\s{0,2}answer\s{0,2}>((?:(?!</?\s{0,2}answer\s{0,2}>).)*)(?:</\s{0,2}answer\s{0,2}>)?",
    re.IGNORECASE | re.DOTALL,
)

_ENDED = frozenset(("stop", "eos", "end_turn", "STOP", "FinishReason.STOP"))

_SHOWN = 300
_BEGINNING = 500  # characters in which an error message shows that it is one
_FEW_WORDS = 4
_MARKER = re.compile(
    r"\[(?:[A-Z]{1,40}_){1,5}(?:FAILED|FAILURE|BLOCKED|EXCEEDED|ERROR|TIMEOUT)\b"
    r"[^\[\]]{0,300}\]\s*"
)
_PAGE = re.compile(
    r"<(?:!doctype\s+html[^<>]{0,300}|html(?:\s[^<>]{0,300})?)>\s*(?:<|$)", re.IGNORECASE
)
_NO_TEXT = 'can only concatenate str (not "NoneType") to str'
"""What lmms-eval's ``async_openai`` ends with where the endpoint sent a message without text."""

_BODY_KEYS = {
    *("error", "errors", "object", "type", "code", "status", "status_code", "message", "detail"),
    *("details", "param", "request_id", "success"),
}

_MESSAGE = re.compile(
    r"""
    [\s\[(<*_`#]* (?:
        (?P<program>
            (?-i: (?: \w{1,40}\. ){0,5} [A-Z]\w{1,40} (?: Error | Exception | Timeout ) \s*[:(] )
            | (?: api | generation | inference )\ (?: call\ )? (?: failed | timed\ out ) \b
            | request\ (?: failed | timed\ out ) \b
            | error\ code:\ [45]\d\d\ -
            | connection\ (?: refused | reset | aborted | timed\ out ) \b
            | traceback\ \(most\ recent\ call\ last\) )
        | (?: an?\s )? (?: (?: unexpected | unknown | internal | server | api | http | network
            | connection | request | model | generation | inference | runtime | fatal )\s+ ){0,3}
          error (?: \s*[:\])>*_\N{EN DASH}\N{EM DASH}-]
            | \s+ (?: code | processing | generating | calling | occurred | while | during | loading
                | reading | decoding | opening | in | from | with | \d{3} ) \b
            | [\s.!]* $ )
        | exception \s*:
        | failed\ to\ (?: load | generate | process | decode | read | open | connect | fetch
            | download | get | parse | call | infer | run | import ) \b
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PROGRAM = re.compile(
    r"""
    \b (?:
        error\ code:?\ [45]\d\d | status(?:\ code)?:?\ [45]\d\d | http(?:/[\d.]+)?\ [45]\d\d
        | [45]\d\d\ (?: bad\ request | unauthorized | forbidden | not\ found | too\ many\ requests
            | internal\ server\ error | bad\ gateway | service\ unavailable | gateway\ time )
        | rate[\ _-]?limit\w* | quota | api[\ _-]?key | timed?[\ -]?out | retries | try\ again
        | connection\ (?: error | refused | reset | aborted | closed | broken | failed | pool
            | timed ) | overloaded | unavailable | proxy | socket | dns
        | invalid\ (?: request | argument | literal | value | url | response | json )
        | context\ length | max_tokens | tokens? | nonetype | traceback | exception | errno
        | out\ of\ (?: memory | range ) | cuda | gpu | tensor | object\ (?: is | has | of )
        | has\ no\ attribute | not\ (?: subscriptable | iterable | callable | supported
            | implemented | defined | enough\ values ) | keyerror | expecting\ value
        | unexpected\ keyword | positional\ argument | can\ only\ concatenate | no\ such\ file
        | permission\ denied | no\ module\ named | max(?:imum)?\ recursion | decod(?:e|er|ing)
        | moov\ atom | ffmpeg | codec | corrupt(?:ed)? | empty\ (?: prompt | response | output
            | input ) | no\ (?: response | output | choices | candidates | content )
        | request\ (?: failed | timed | was ) | failed\ to | content\ (?: filter | policy ) | safety
        | blocked | bad\ request | server\ error | gateway | ssl | certificate
    ) \b
    | \{ ['"] | ['"] (?: error | message | code ) ['"] \s*: | 0x[0-9a-f]{6} | \w+Error\b
    | line\ \d+ , | \.py\b | https?://
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelAnswer:
    """What is scored of a model's answer.

    Attributes:
        text: the answer without reasoning and without blanks around it; JSON of a JSON value.
        failure: why there is no answer; empty where there is one.
        generation: what the model reported of its answer, as plain JSON values; None if nothing.
    """

    text: str
    failure: str = ""
    generation: Mapping[str, Any] | None = None


def model_answer(
    value: Any, task: str, *, error: Any = None, generation: Any = None
) -> ModelAnswer:
    """Return what is scored of an answer, or why there is nothing to score; never raises.

    Args:
        value: the answer: a text, or the JSON value that stands for it in a file; None if missing.
        task: short name of the task (a key of ``SPECS``).
        error: why there is no answer, as the file or the model says; empty or None: no reason.
        generation: what the model reported of its answer; anything but an object counts as nothing.
    """
    reported = plain_json(generation) if isinstance(generation, Mapping) else None
    told = reported or {}
    text, reasoned, cut = _without_reasoning(_as_text(value))
    failure = reason_of(error) or reason_of(told.get("error"))
    if not failure and cut and _is_blank(text):
        failure = "the model's reasoning was cut off before any answer"
    failure = failure or _why_missing(value, text, task, reasoned, told.get("finish_reason"))
    return ModelAnswer(text, failure, reported)


def _why_missing(value: Any, text: str, task: str, reasoned: bool, finish: Any) -> str:
    """Return why a text without a stated error is no answer; empty where it is one."""
    kind = SPECS[task].kind if task in SPECS else "text"
    no_answer = f"the model gave no {subject_of(task)}"
    if _is_blank(text):
        if reasoned:
            return f"{no_answer} after its reasoning"
        if isinstance(finish, str) and finish and finish not in _ENDED:
            return f"{no_answer} (finish reason: {finish})"[:_MAX_REASON]
        # A blank answers the question which texts are seen: the published OCR figures count it.
        return "" if value is not None and kind == "ocr" else no_answer
    if kind == "text" and not isinstance(value, str):
        return "the answer is not a text"
    if task in ("caption", "visual_caption") and text.strip("[]()<>.").casefold() in _STR_OF_NONE:
        return f"{no_answer} (its text is {text!r})"
    return failure_in(text, shown_text=kind == "ocr")


def subject_of(task: str) -> str:
    """Return what the answer to a task is called: ``caption`` or ``answer``."""
    return "caption" if task.endswith("caption") else "answer"


def reason_of(error: Any) -> str:
    """Return a stated error as a text of bounded length; empty where it states none."""
    text = _as_text(error or "").strip()
    return "" if text.lower() in _NO_ERROR else text[:_MAX_REASON]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return f"({type(value).__name__})"
    return str(_plain(value, 0))


def _without_reasoning(text: str) -> tuple[str, bool, bool]:
    """Return a text without reasoning, whether there was some, and whether it has no end.

    Where a template put the opening tag into the prompt, all before the closing tag is reasoning.
    An opening tag without a closing one begins reasoning that the token limit cut off, if it begins
    a line or follows other reasoning; in the middle of a sentence it is a quotation.
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
    if reasoned and (whole := _ANSWERED.fullmatch(answer)):
        answer = whole.group(1).strip()
    return answer, reasoned or sure, sure


def _begins_line(text: str, place: int) -> bool:
    before = text[max(0, place - _INDENT) : place].rstrip(" \t")
    return before.endswith("\n") or (not before and place <= _INDENT)


def _is_blank(text: str) -> bool:
    return all(char.isspace() or unicodedata.category(char) in ("Cc", "Cf") for char in text)


def plain_json(value: Mapping[str, Any], depth: int = _MAX_DEPTH) -> dict[str, Any]:
    """Return an object that any writer of JSON can write and any reader can read.

    What is not such a value (NaN, huge numbers, deep nesting, other types) becomes a text.
    """
    return {str(_plain(key, 0)): _plain(item, depth - 1) for key, item in value.items()}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode()  # a file takes no lone surrogates
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    small = isinstance(value, int) and abs(value) < _MAX_INTEGER
    if value is None or small or isinstance(value, float):
        return value
    if depth and isinstance(value, Mapping):
        return plain_json(value, depth)
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return f"({type(value).__name__})"


def failure_in(text: str, *, shown_text: bool = False) -> str:
    """Return the failure that a whole answer states instead of answering; empty where it does not.

    ``shown_text``: whether the question asks for texts that are seen in the clip (OCR).
    """
    text = text.strip()
    value = None
    if text.startswith(("{", "[", '"')):
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
    if _is_certain(text) or _is_error_body(value):
        return _shown(text)
    inner = _only_text(value)
    if inner is not None:
        return _shown(inner) if _is_certain(inner.strip()) else ""
    return _shown(text) if _is_message(text[:_BEGINNING], shown_text) else ""


def _is_certain(text: str) -> bool:
    if is_failure(text) or _PAGE.match(text) or text.endswith(_NO_TEXT):
        return True
    marker = _MARKER.match(text)
    return marker is not None and marker.end() == len(text)


def _is_message(text: str, shown_text: bool) -> bool:
    """Tell whether a text, or the beginning of a longer one, is an error message."""
    beginning = _MARKER.match(text) or _MESSAGE.match(text)
    if beginning is None:
        return False
    if beginning.groupdict().get("program") or _PROGRAM.search(text, beginning.end()):
        return True
    return not shown_text and len(text[beginning.end() :].split()) <= _FEW_WORDS


def _is_error_body(value: Any) -> bool:
    """Tell whether an answer is an API's error: an object with ``error`` and nothing to read."""
    if not isinstance(value, dict) or not value.keys() <= _BODY_KEYS:
        return False
    return bool(value.get("error") or value.get("errors") or value.get("object") == "error")


def _only_text(value: Any) -> str | None:
    """Return the one text that a JSON answer holds; None where it holds no text, or several."""
    for _ in range(3):
        if isinstance(value, dict | list) and len(value) == 1:
            (value,) = value.values() if isinstance(value, dict) else value
    return value if isinstance(value, str) else None


def _shown(text: str) -> str:
    return " ".join(text[: 2 * _SHOWN].split())[:_SHOWN]
