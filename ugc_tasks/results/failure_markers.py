"""Texts that stand where an answer should be: what programs write when their model gave none.

The forms are those of lmms-eval's installed models (``[LMMS_EVAL_REQUEST_FAILED ...]``,
``[SAFETY_BLOCKED:...]``, ``Error: ...``, ``Video ... can not load, check the source``) and those
that scripts around an API leave behind: an exception's text, an error body, a page of HTML.

A caption may speak of errors, and a sign in a clip may show one. Hence two rules:

* forms that no person writes are failures wherever they are the whole answer, also alone in a list
  or an object;
* a text that begins like an error message is a failure only if it goes on like one, that is in a
  program's words or in at most four words. Where the question is what can be read in the clip
  (OCR), a few words are no sign, and what is quoted or JSON is an answer.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SHOWN = 300
_BEGINNING = 500
"""Characters in which an error message shows that it is one."""

_FEW_WORDS = 4

_CERTAIN = re.compile(
    r"""
    \[ LMMS_EVAL_ \w
    | \[ SAFETY_BLOCKED \b
    | \[ (?: [A-Z]{1,40}_ ){1,5} (?: FAILED | FAILURE | BLOCKED | EXCEEDED | ERROR | TIMEOUT ) \b
    | (?i: < (?: !doctype\s+html | html ) \b )
    | Batch\ failed $
    | Can\ not\ infer\ the\ answer\. $
    """,
    re.VERBOSE,
)
_VIDEO_NOT_READ = ("can not load, check the source", "generate failed, check the source")
_NO_TEXT = 'can only concatenate str (not "NoneType") to str'
"""What lmms-eval's ``async_openai`` ends with where the endpoint sent a message without text."""

_BODY_KEYS = {
    *("error", "errors", "object", "type", "code", "status", "status_code", "message", "detail"),
    *("details", "param", "request_id", "success"),
}

_MESSAGE = re.compile(
    r"""
    [\s\[(<*_`#]* (?:
        (?: an?\s )? (?: (?: unexpected | unknown | internal | server | api | http | network
            | connection | request | model | generation | inference | runtime | fatal )\s+ ){0,3}
          error (?: \s*[:\])>*_\N{EN DASH}\N{EM DASH}-]
            | \s+ (?: code | processing | generating | calling | occurred | while | during | loading
                | reading | decoding | opening | in | from | with | \d{3} ) \b
            | [\s.!]* $ )
        | exception \s*:
        | failed\ to\ (?: load | generate | process | decode | read | open | connect | fetch
            | download | get | parse | call | infer | run | import ) \b
        | (?P<program>
            (?-i: (?: \w{1,40}\. ){0,5} [A-Z]\w{1,40} (?: Error | Exception | Timeout ) \s*[:(] )
            | (?: api | generation | inference )\ (?: call\ )? (?: failed | timed\ out ) \b
            | request\ (?: failed | timed\ out ) \b
            | error\ code:\ [45]\d\d\ -
            | connection\ (?: error\.$ | refused | reset | aborted | timed\ out ) \b
            | traceback\ \(most\ recent\ call\ last\) )
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
        | rate[\ _-]?limit\w* | quota | api[\ _-]?key | timed?[\ -]?out | time[\ -]?out
        | connection\ (?: error | refused | reset | aborted | closed | broken | failed | pool
            | timed ) | max\ retries | retries | try\ again | overloaded | unavailable
        | invalid\ (?: request | argument | literal | value | url | response | json )
        | context\ length | max_tokens | tokens? | nonetype | traceback | exception | errno
        | out\ of\ (?: memory | range ) | cuda | gpu | tensor | object\ (?: is | has | of )
        | has\ no\ attribute | not\ (?: subscriptable | iterable | callable | supported
            | implemented | defined | enough\ values ) | keyerror | expecting\ value
        | unexpected\ keyword | positional\ argument | can\ only\ concatenate | no\ such\ file
        | permission\ denied | no\ module\ named | max(?:imum)?\ recursion | decod(?:e|er|ing)
        | moov\ atom | ffmpeg | codec | corrupt(?:ed)? | empty\ (?: prompt | response | output
            | input ) | no\ (?: response | output | choices | candidates | content )
        | request\ (?: failed | timed | was | was\ blocked ) | failed\ to
        | content\ (?: filter | policy ) | safety | blocked | bad\ request | server\ error
        | gateway | ssl | certificate | proxy | socket | dns
    ) \b
    | \{ ['"] | ['"] (?: error | message | code ) ['"] \s*: | 0x[0-9a-f]{6} | \w+Error\b
    | line\ \d+ , | \.py\b | https?://
    """,
    re.VERBOSE | re.IGNORECASE,
)


def failure_in(text: str, *, shown_text: bool = False) -> str:
    """Return the failure that an answer states instead of answering; empty where it does not.

    Args:
        text: the whole answer, without reasoning.
        shown_text: whether the question asks for texts that are seen in the clip (OCR).
    """
    text = text.strip()
    value = _json(text)
    if _is_certain(text) or _is_error_body(value):
        return _shown(text)
    inner = _only_text(value)
    if inner is not None:
        return _shown(inner) if _is_certain(inner.strip()) else ""
    return _shown(text) if _is_message(text[:_BEGINNING], shown_text=shown_text) else ""


def _is_certain(text: str) -> bool:
    return bool(
        _CERTAIN.match(text)
        or (text.startswith("Video ") and text.endswith(_VIDEO_NOT_READ))
        or text.endswith(_NO_TEXT)
    )


def _is_message(text: str, *, shown_text: bool) -> bool:
    """Tell whether a text, or the beginning of a longer one, is an error message."""
    beginning = _MESSAGE.match(text)
    if beginning is None:
        return False
    if beginning["program"] or _PROGRAM.search(text, beginning.end()):
        return True
    return not shown_text and len(text[beginning.end() :].split()) <= _FEW_WORDS


def _is_error_body(value: Any) -> bool:
    """Tell whether an answer is an API's error: an object with ``error`` and nothing to read."""
    if not isinstance(value, dict) or not value.keys() <= _BODY_KEYS:
        return False
    return bool(value.get("error") or value.get("errors") or value.get("object") == "error")


def _only_text(value: Any) -> str | None:
    """Return the one text that a JSON answer holds; None where it is none, or holds more."""
    for _ in range(3):
        if isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
    return value if isinstance(value, str) else None


def _json(text: str) -> Any:
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(text: str) -> str:
    return " ".join(text[: 2 * _SHOWN].split())[:_SHOWN]
