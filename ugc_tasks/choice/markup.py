"""An answer out of its markup: fences, tags, LaTeX, tokens that end a turn."""

from __future__ import annotations

import re
import unicodedata

_FENCE = "```"
_LANGUAGE = re.compile(r"[a-z]{2,10}(?=\s)", re.IGNORECASE)
_TURN = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|bos|end_of_turn|start_of_turn)>")
_ANSWER = re.compile(r"<(?:final_?)?answer>(.*?)(?:</(?:final_?)?answer>|\Z)", re.DOTALL | re.I)
_INNER = re.compile(r"\\(?:text|math)[a-z]{0,8}\s?\{([^{}\n]{0,200})\}|\\[()\[\]]|\$")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{([^{}\n]{0,200})\}")
_ONE_SPELLING = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2018\u2019", "'")
    | {"\u3002": "."}
)
_TAGS = ("b", "strong", "em", "i", "u", "p", "div", "span", "li", "ul", "ol", "code", "pre", "mark")


def marked_answers(text: str) -> list[str]:
    """Return the contents of what is marked as the answer: ``<answer>``, ``\\boxed{}``."""
    if "answer>" in text.casefold():
        return [answer for answer in _ANSWER.findall(text) if answer.strip()]
    return _BOXED.findall(_INNER.sub(r"\1", text)) if "\\" in text else []


def plain(text: str) -> str:
    """Return the text with one spelling of dashes, quotes and blanks, without its markup."""
    text = _TURN.sub(" ", unicodedata.normalize("NFKC", text))
    text = text.translate(_ONE_SPELLING)
    for tag in _TAGS:
        if f"</{tag}>" in text.casefold():
            text = re.sub(rf"</?{tag}>", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"[^\S\n]+", " ", _INNER.sub(r"\1", text)).strip()
    if text.count(_FENCE) != 2:
        return text
    return _LANGUAGE.sub("", text.split(_FENCE)[1], count=1).strip()
