"""What is written not to be seen or not to be read: invisible, disguised or encoded text."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator

from ugc_tasks.judge.lookalike import seen
from ugc_tasks.judge.phrases import is_known

_ZERO_WIDTH = r"\u200b\u200c\u200d\u2060\u2061-\u2064\ufeff\u180e\u00ad\u034f"
_INSIDE_WORD = re.compile(rf"(?<=[A-Za-z])[{_ZERO_WIDTH}]+(?=[A-Za-z])|[{_ZERO_WIDTH}]{{4,}}")
_REVERSED = re.compile(r"[\u202d\u202e][^\u202c]*")
_WORD = re.compile(r"[^\W\d_]{4,}")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN")


def hidden(answer: str) -> Iterator[tuple[str, int, int]]:
    """Yield what a reader cannot see, or takes for other letters: reason, start and end."""
    if answer.isascii():
        return
    for pattern in (_INSIDE_WORD, _REVERSED):
        for match in pattern.finditer(answer):
            yield "hidden_text", match.start(), match.end()
    for match in _WORD.finditer(answer):
        word = match.group()
        if not word.isascii() and len(_scripts(word)) > 1 and is_known(seen(word).text):
            yield "homoglyph", match.start(), match.end()


def _scripts(word: str) -> set[str]:
    names = {unicodedata.name(letter, "").split(" ", 1)[0] for letter in word}
    return names & set(_SCRIPTS)


_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/=])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ ,]?){24,}(?![0-9A-Za-z])")


def encoded(answer: str) -> Iterator[tuple[str, int, int]]:
    """Yield runs of digits that spell text: reason, start and end."""
    for match in _BASE64.finditer(answer):
        if _spells(_from_base64(match.group())):
            yield "encoded", match.start(), match.end()
    for match in _HEX.finditer(answer):
        digits = re.sub(r"0x|\\x|[ ,]", "", match.group())
        if _spells(bytes.fromhex(digits[: len(digits) // 2 * 2])):
            yield "encoded", match.start(), match.end()


def _from_base64(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _spells(data: bytes) -> bool:
    """Tell whether bytes are text: printable ASCII, and mostly letters."""
    printable = sum(32 <= byte < 127 or byte in b"\n\r\t" for byte in data)
    letters = sum(chr(byte).isalpha() for byte in data)
    return len(data) >= 16 and printable > 0.95 * len(data) and letters > 0.6 * len(data)
