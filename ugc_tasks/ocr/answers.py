"""The text that an OCR answer comes to, in the two ways of the authors' scripts.

Models were asked for ``{"ocr": [text, ...]}`` and gave that, lists, JSON in fences, broken JSON and
prose. The published column comes from two scripts (``results/ocr`` in the authors' repository) that
read such answers differently, and a model's published figure is of the one or the other:

``score`` (their ``gemini.py``)
    What is no readable list counts as it stands, without its JSON marks. Nothing is left out: an
    empty answer has no overlap. Punctuation is taken out of the answer, not of the reference.
``skip`` (their ``eval2.py``)
    Of what is no readable JSON, only passages in double quotes count. An answer without any text
    list is left out of the means. Punctuation is taken out on both sides.

Where their scripts would fail (an item that is no text, ``null``) the answer is read sensibly
instead: numbers are texts, everything else in a list is passed over, ``null`` is an empty answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

Mode = Literal["score", "skip"]

MAX_CHARS = 32_768
"""Of a longer answer, the text beyond is not compared: ROUGE-L takes time and memory by its length.
Recorded answers that repeat themselves to the token limit have hundreds of thousands; where one is
cut here, its overlap is under 0.02 instead of under 0.01, and no published figure changes."""

_DEPTH = 4
_QUOTED = re.compile(r'"([^"]+)"')
_MARKS = str.maketrans("", "", '\\"[]{}')
_FIELD_NAME = re.compile(r"\bocr\b\s*:")


def prediction_text(prediction: Any, mode: Mode) -> str | None:
    """Return the text to compare for an answer, None where ``skip`` leaves it out.

    ``prediction`` is whatever JSON value or text the model's answer is stored as.
    """
    if prediction is None:
        prediction = ""
    items = _listed(prediction, _DEPTH)
    if mode == "score":
        return _without_marks(" ".join(items) if items is not None else _as_text(prediction))[
            :MAX_CHARS
        ]
    if items is None:
        items = _quoted(prediction)
    return " ".join(map(_without_punctuation, items))[:MAX_CHARS] if items else None


def reference_text(reference: Sequence[str], mode: Mode) -> str:
    """Return the text that answers are compared with."""
    if mode == "score":
        return " ".join(reference).lower()
    return " ".join(map(_without_punctuation, reference))


def _listed(value: Any, depth: int) -> list[str] | None:
    """Return the texts of an answer that is a list or JSON with one; None where it is neither."""
    if isinstance(value, list):
        return [str(item) for item in value if _is_item(item)]
    if depth == 0:
        return None
    if isinstance(value, dict) and "ocr" in value:
        inner = value["ocr"]
        listed = _listed(inner, depth - 1)
        return [inner] if listed is None and isinstance(inner, str) else listed
    if isinstance(value, str):
        decoded = _decoded(value)
        return _listed(decoded, depth - 1) if isinstance(decoded, dict | list) else None
    return None


def _is_item(item: Any) -> bool:
    return isinstance(item, str | int | float) and not isinstance(item, bool)


def _decoded(text: str) -> Any:
    """Return the value of JSON in a fence or not, the text itself where it is none."""
    text = text.strip()
    text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _quoted(prediction: Any) -> list[str]:
    """Return what ``skip`` takes for the texts of an answer that holds no list."""
    if isinstance(prediction, str):
        decoded = _decoded(prediction)
        if isinstance(decoded, str):
            return _QUOTED.findall(decoded)
        prediction = decoded
    # Readable, but of another form: their script compares it as it is printed.
    return [_as_text(prediction)]


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _without_marks(text: str) -> str:
    """Lower the case and keep words, digits and apostrophes; JSON marks and field name go too."""
    text = text.lower().replace("\\n", " ")
    text = text.replace("```json", "").replace("```", "").translate(_MARKS)
    text = _FIELD_NAME.sub("", text)
    return " ".join(re.sub(r"[^\w\s']", "", text).split())


def _without_punctuation(text: str) -> str:
    """Lower the case and keep words, digits, apostrophes and double quotes."""
    text = re.sub(r"\\[nt]", " ", text.lower())
    return " ".join(re.sub(r"[^\w\s'\"]", "", text).split())
