"""Which option an answer chooses: found where it is plain, never guessed.

In this order, and the first rule that applies decides:

1. JSON (in a fence or not): the value of ``answer`` and its like, or the only text in it.
2. The whole answer, or its first line, is an option, and no other line is another one; to a
   yes-no question, it begins with one.
3. An announced answer: "the answer is neutral", "Answer: (B)", "option B".
4. A letter in answer position: alone on a line; before ``.``, ``)``, ``:`` or a dash at the
   beginning; in brackets anywhere. A bare ``A`` before a word is an English article.
5. The options that the text names, where that is exactly one.

An option inside a longer option is not named by the longer one ("Positive" in "Not Positive", where
that is an option too), nor is one inside another word. An option that the text denies ("not
positive", "rather than negative") is not named by it. Several letters, or a letter and the only
option named beside it that contradict each other, are no answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

MAX_CHARS = 20_000
"""A longer text is no answer to a question with options."""

_ANSWER_KEYS = ("answer", "final_answer", "option", "choice", "label", "prediction", "predict")
_NESTING = 4

_DECORATION = " \t\r\n*_`'\"“”‘«».,;:!"
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)
_GAP = r"[\s\-_]+"

_OPEN = r"[\s*_\"'(\[]*"
_SAID = r"\b(?:answer|option|choice)(?:\s+is)?\s*:?" + _OPEN
_LETTER_SAID = re.compile(_SAID + r"([A-Z])(?=[\"'*_)\].,;:!]|\s*$)", re.IGNORECASE | re.MULTILINE)
_LETTER_NAMED = re.compile(r"\b(?i:option|choice)\s+([A-Z])\b")
_LETTER_ALONE = re.compile(_OPEN + r"([A-Za-z])[\s*_\"')\].:]*")
_LETTER_FIRST = re.compile(_OPEN + r"([A-Za-z])[*_\"']*(?:[).:\]]|\s+-)[*_\"']*(?=\s|$)")
_LETTER_LISTED = re.compile(r"(?<!\S)[(\[]?([A-Za-z])[).:\]]\s+\w")
_LETTER_BRACKETED = re.compile(r"[(\[{]\s*([A-Za-z])\s*[)\]}]")

_CLAUSE_END = re.compile(r"[,.;:!?\n]|\bbut\b")
_CLAUSE_CHARS = 80
_DENIAL_WORDS = 3
"""How many words before an option may deny it: "not at all positive"."""
_DENIALS = frozenset(
    ("not", "no", "never", "neither", "nor", "non", "without", "cannot", "than", "instead")
)


def match_option(text: str, options: Sequence[str]) -> str | None:
    """Return the one of ``options`` that ``text`` chooses, None where it chooses none or several.

    ``options`` are in the order that the letters A, B, C... stand for, and come back as they are
    spelled there.
    """
    return _match(text, options, _NESTING)


def _match(text: str, options: Sequence[str], nesting: int) -> str | None:
    if nesting == 0 or len(text) > MAX_CHARS:
        return None
    text = _plain(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        inner = _only_text(value)
        return None if inner is None else _match(inner, options, nesting - 1)
    exact = _exact(text, options)
    if exact is not None:
        return exact
    mentions = _mentions(text.casefold(), options)
    announced = _announced(text, mentions, options)
    if announced:
        return _only(announced)
    named = {option for option, before in mentions if not _denied(before)}
    letters = _letters(text, options)
    if not letters:
        return _only(named)
    return None if len(named) == 1 and named != letters else _only(letters)


def _only(found: set[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def _plain(text: str) -> str:
    """Return the text with one spelling of dashes and quotes, out of a fence around all of it."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub("[\u2010-\u2015\u2212]", "-", text).replace("\u2019", "'")
    fenced = _FENCE.fullmatch(text)
    return fenced.group(1) if fenced else text


def _only_text(value: Any) -> str | None:
    """Return the text that a JSON answer comes to, None where it is not one text."""
    if isinstance(value, dict):
        keys = [key for key in _ANSWER_KEYS if key in value] or list(value)[:2]
        value = value[keys[0]] if keys and (len(keys) == 1 or keys[0] in _ANSWER_KEYS) else None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    return value if isinstance(value, str) else None


def _exact(text: str, options: Sequence[str]) -> str | None:
    by_key = {_key(option): option for option in options}
    lines = [by_key.get(_key(line)) for line in text.split("\n")]
    if lines[0] is not None and not {*lines} - {lines[0], None}:
        return lines[0]
    if by_key.keys() == {"yes", "no"}:
        # The rest may say "no" in passing ("Yes, no doubt"), so the first word speaks alone.
        first = re.match(r"\W*(yes|no)\b(?!\W+(?:and|or)\b|/)", text, re.IGNORECASE)
        if first:
            return by_key[first.group(1).casefold()]
    return None


def _key(text: str) -> str:
    return " ".join(re.split(_GAP, text.strip(_DECORATION).casefold()))


def _mentions(lowered: str, options: Sequence[str]) -> list[tuple[str, str]]:
    """Return where options stand as words of their own: the option, and the text just before it."""
    by_length = sorted(options, key=len, reverse=True)
    # The first alternative that fits wins, hence the longest first.
    patterns = [_GAP.join(map(re.escape, _key(option).split())) for option in by_length]
    either = re.compile("|".join(rf"((?<!\w){pattern}(?!\w))" for pattern in patterns))
    return [
        (by_length[(m.lastindex or 1) - 1], lowered[max(0, m.start() - _CLAUSE_CHARS) : m.start()])
        for m in either.finditer(lowered)
    ]


def _announced(text: str, mentions: Sequence[tuple[str, str]], options: Sequence[str]) -> set[str]:
    """Return the options named, by text or letter, right after words that announce an answer."""
    announcing = re.compile(_SAID + "$")
    by_text = {option for option, before in mentions if announcing.search(before)}
    said = _LETTER_SAID.findall(text) + _LETTER_NAMED.findall(text)
    return by_text | _lettered(said, options)


def _letters(text: str, options: Sequence[str]) -> set[str]:
    """Return the options whose letter stands where an answer has it."""
    alone = [m.group(1) for line in text.split("\n") if (m := _LETTER_ALONE.fullmatch(line))]
    if alone:
        return _lettered(alone, options)
    if first := _LETTER_FIRST.match(text):
        # A list of all options begins like that as well.
        return _lettered([first.group(1), *_LETTER_LISTED.findall(text)], options)
    return _lettered(_LETTER_BRACKETED.findall(text), options)


def _lettered(letters: Iterable[str], options: Sequence[str]) -> set[str]:
    places = {ord(letter.upper()) - ord("A") for letter in letters}
    return {options[place] for place in places if place < len(options)}


def _denied(before: str) -> bool:
    clause = _CLAUSE_END.split(before)[-1]
    words = re.findall(r"[\w']+", clause)[-_DENIAL_WORDS:]
    return any(word in _DENIALS or word.endswith("n't") for word in words)
