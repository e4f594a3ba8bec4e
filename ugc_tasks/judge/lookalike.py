"""Text as a reader sees it, so that no spelling of a word hides it.

What cannot be seen is dropped; wide, accented, styled and foreign letters that look like Latin ones
become those, in lower case; every kind of line break becomes one, every kind of space a space. Each
character of the result knows where it came from. (After Unicode Technical Standard 39, "confusable
detection", with a small table of our own in place of its data.)
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

_LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_LONGEST = 4  # letters for one character: some stand for whole sentences
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"  # letters by category, nothing on the screen
_COLONS = "ː˸։׃܃܄፡᛬꞉∶︓ㆍ︰﹕："
_BRACKETS = dict.fromkeys("【〔〖⟦⟨〚❲⁅「『", "[") | dict.fromkeys("】〕〗⟧⟩〛❳⁆」』", "]")
# Each line: letters that look like the ones below them.
_LOOKS = (
    ("АВЕЅІЈКМНОРСТУХҮԌԚԜҺ", "abesijkmhopctyxygqwh"),
    ("аеѕіјорсухһԁӏԛԝвкмнтгпьѵꙇ", "aesijopcyxhdlqwbkmhtrnbvi"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx"),
    ("αβγεικνορτυχωη", "abyeikvoptuxwn"),
    ("օսհցոԁ", "ouhgnd"),
    ("ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏃᎾᏢᏒᏚᎢᏙᎳᎩ", "abcdeghijklmnoprstvwy"),
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
    ("ɑɡıƖɩʋ", "agiliv"),
)
_LATIN = {letter: plain for row, looks in _LOOKS for letter, plain in zip(row, looks, strict=True)}

_KNOWN = _LATIN | _BRACKETS | dict.fromkeys(_COLONS, ":")


@dataclass(frozen=True)
class Seen:
    """What a reader sees of a text: ``text[i]`` comes from the original's character ``at[i]``."""

    text: str
    at: range | tuple[int, ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original ``text[start:end]`` is; what is invisible around it not."""
        if start >= end:
            return (0, 0)
        return self.at[start], self.at[end - 1] + 1


def seen(text: str) -> Seen:
    """Return ``text`` as it is seen. Linear in its length."""
    if text.isascii():
        plain = text.lower().translate(_ASCII)
        if len(plain) == len(text):
            return Seen(plain, range(len(text)))
    parts: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        looks = _looks(character)
        parts.append(looks)
        places.extend([place] * len(looks))
    return Seen("".join(parts), tuple(places))


@functools.lru_cache(maxsize=4096)
def _looks(character: str) -> str:
    if character.isspace() or character in _LINE_BREAKS:
        return "\n" if character in _LINE_BREAKS else " "
    known = _KNOWN.get(character) or _enclosed(ord(character))
    if known or is_invisible(character):
        return known
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not is_invisible(part)
    )[:_LONGEST]
    return "".join(
        _LATIN.get(part) or "".join(_LATIN.get(low, low) for low in part.casefold())
        for part in plain
    )


def is_invisible(character: str) -> bool:
    """Tell whether a character shows nothing of its own: marks, formats, controls, fillers."""
    if character in _BLANK:
        return True
    return unicodedata.category(character) in {"Cf", "Cc", "Mn", "Me", "Cn", "Co", "Cs"}


def _enclosed(code: int) -> str:
    """Return the letter in a dark circle, a square or of a flag; these do not decompose."""
    for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6):
        if first <= code < first + 26:
            return chr(ord("a") + code - first)
    return ""


_ASCII = str.maketrans(
    {c: "\n" for c in _LINE_BREAKS if c.isascii()} | {"\t": " "}
) | dict.fromkeys([*range(9), *range(14, 28), 31, 127])
