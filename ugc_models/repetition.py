"""Whether a caption collapsed into saying the same thing again and again."""

from __future__ import annotations

import re
import zlib
from operator import eq

_LONGEST_PERIOD = 60
"""Words. A phrase longer than that said again is rather an answer given twice."""
_TIMES = 4
"""How often in a row it must come."""
_LEAST_WORDS = 24
"""How many words the run must have together: "no, no, no, no" is a quotation."""
_WORD = re.compile(r"\w+|[^\w\s]")
_SAME_CHARACTER = re.compile(r"(\S{1,8}?)\1{39,}")


def is_repetitive(text: str) -> bool:
    """Whether some phrase comes at least four times in a row and fills at least 24 words.

    Languages that are written without spaces have long "words": there a string of up to eight
    characters that comes 40 times in a row counts too. The search takes time in proportion to the
    text's length.
    """
    if _SAME_CHARACTER.search(text):
        return True
    words = [zlib.crc32(word.encode()) for word in _WORD.findall(text.lower())]
    for period in range(1, _LONGEST_PERIOD + 1):
        need = max(period * (_TIMES - 1), _LEAST_WORDS - period)
        run = 0
        for same in map(eq, words[period:], words):
            run = run + 1 if same else 0
            if run >= need:
                return True
    return False
