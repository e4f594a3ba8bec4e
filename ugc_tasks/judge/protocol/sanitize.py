"""Keeping an answer from passing for a part of the message that it is sent in.

An answer may hold what a stranger wrote on the screen. Three things are changed before it is sent,
and the answer's row says so (``sanitized``):

- ``hidden``: characters that show nothing are removed, except where emoji and scripts need them;
- ``label``: one of the message's own labels (any case, spacing, markdown; compared after NFKC) is
  pulled apart, loses its colon, and is joined to the line before it;
- ``turn_token``: a token that ends a turn in chat templates (``<|im_end|>``) gets a space.

Any other text is returned as it was: requests about clean answers are the published ones. Labels in
other words, languages or look-alike letters are not found. What is certain without such a list is
the rubric's: its marker lines carry a code that no answer can foresee.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

REASONS = ("hidden", "label", "turn_token")

_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
_JOINERS = "\u200b-\u200f\u061c"
_INVISIBLE = (
    f"{_SELECTORS}{_JOINERS}\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\u00ad\u034f\u115f\u1160"
    "\u17b4\u17b5\u180e\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
)
_VISIBLE = f"[^\\x00-\\x7f{_INVISIBLE}]"  # and not ASCII, whose letters need no joiners
_HIDDEN = re.compile(
    # Kept: the flags of regions (a black flag and tags), a selector of the character before it, and
    # a joiner or mark beside a character that may need it (emoji, Persian, Hindi, Thai).
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f"
    f"|(?:(?<={_VISIBLE})|(?<=[0-9#*]))[{_SELECTORS}]"
    f"|(?<={_VISIBLE})[{_JOINERS}]|[{_JOINERS}](?={_VISIBLE})"
    f"|(?P<hidden>[{_INVISIBLE}])"
)
_UNSEEN = re.compile(f"[{_INVISIBLE}]")
_LINE_BREAKS = str.maketrans(dict.fromkeys("\v\f\r\x1c\x1d\x1e\x85\u2028\u2029", "\n"))

_NAMES = (
    "s|bos|eos|pad|unk|sep|cls|mask|think|tool_call|tool_response|im_start|im_end|start_of_turn"
    "|end_of_turn|start_header_id|end_header_id|eot_id|eom_id|endoftext"
)
_TURN_TOKEN = (
    r"<(?=\|[^<>\n]{1,60}\|>)"
    rf"|<(?=/?(?:{_NAMES})>)"
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)
_MARKS = r"(?:[^\w\n]|_)*"  # of one line: spaces, bullets, quotes, brackets, markdown
_LEAD = rf"^{_MARKS}(?:\d{{1,3}}(?:[^\w\n]|_){_MARKS})?"
_BETWEEN = r"[\s_*`~\"'()\[\]<>#|/\\-]*"  # words of a label; no full stop, which stands in _GAP
_COLON = r"(?:(?:[^\S\n]|[_*`~\"'()\[\]<>#|/\\-])*[:=])+"
_OPENED = r"\[(?:[^\S\n]|[_*`~\"'#-])*"
_GAP = " [...] "


def sanitize(answer: str, labels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return ``answer`` as it is sent beside ``labels``, and which of ``REASONS`` changed it."""
    text = without_hidden(answer)
    found = {"hidden"} if text != answer else set()
    parts: list[str] = []
    done = 0
    for start, end, instead, reason in _imitations(text, tuple(labels)):
        parts += [text[done:start], instead]
        done = end
        found.add(reason)
    return "".join([*parts, text[done:]]), tuple(each for each in REASONS if each in found)


def without_hidden(text: str) -> str:
    """Return ``text`` without the characters that show nothing; see the module."""
    return _HIDDEN.sub(lambda match: "" if match["hidden"] else match.group(), text)


def _imitations(text: str, labels: tuple[str, ...]) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end, replacement and reason of each, in order; two may share white space."""
    seen, at = _as_compared(text)
    for match in _pattern(labels).finditer(seen):
        start, end = match.span()
        if match["turn_token"]:
            yield at[start], at[start] + 1, f"{text[at[start]]} ", "turn_token"
            continue
        while match["mid_line"] is None and start and seen[start - 1].isspace():
            start -= 1  # the break before its line, too
        while end < len(seen) and seen[end] == " ":
            end += 1
        words = re.findall(r"[^\W_]+", match.group(match.lastgroup or 0))
        apart = _GAP.join(words) if len(words) > 1 else f"{_GAP.lstrip()}{words[0]}"
        joined = " " if start and match["mid_line"] is None else ""
        yield at[start], at[end], f"{joined}{apart} ", "label"


def _as_compared(text: str) -> tuple[str, Sequence[int]]:
    """Return ``text`` after NFKC with one kind of line break, and where each character is from."""
    if text.isascii():
        return text.translate(_LINE_BREAKS), range(len(text) + 1)
    parts: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        compared = _compared(character)
        parts.append(compared)
        places.extend([place] * len(compared))
    return "".join(parts), [*places, len(text)]


@functools.lru_cache(maxsize=4096)
def _compared(character: str) -> str:
    plain = unicodedata.normalize("NFKC", character)
    return _UNSEEN.sub("", plain).translate(_LINE_BREAKS)


@functools.cache
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds turn tokens and labels; the names of its groups say which and where.

    A label of several words counts anywhere with a colon after it, and at the start of a line also
    with a dash or nothing after it, or as a heading. A label of a single word ("Answer:" is common)
    and an opened bracket with a single word count only at the start of a line.
    """
    plain: dict[bool, list[str]] = {True: [], False: []}
    bracketed: dict[bool, list[str]] = {True: [], False: []}
    for label in labels:
        words = re.findall(r"\w+", label)
        spelled = _BETWEEN.join(map(re.escape, words)) + r"(?![^\W_])"
        (bracketed if label.startswith("[") else plain)[len(words) > 1].append(spelled)
    several, single = _any(plain[True]), _any(plain[False])
    return re.compile(
        rf"(?P<turn_token>{_TURN_TOKEN})"
        rf"|{_LEAD}(?P<line>{several})(?:{_COLON}|{_MARKS}(?:[-–—]|$))"
        rf"|^(?=(?:[^\w\n#]|_)*\#){_LEAD}(?P<heading>{several})"
        rf"|{_LEAD}(?P<single>{single}){_COLON}"
        rf"|{_LEAD}{_OPENED}(?P<opened>{_any(bracketed[True] + bracketed[False])})"
        rf"|(?P<mid_line>(?<![^\W_])(?:{several}){_COLON}|{_OPENED}(?:{_any(bracketed[True])}))",
        re.IGNORECASE | re.MULTILINE,
    )


def _any(alternatives: Sequence[str]) -> str:
    return "|".join(alternatives) if alternatives else r"(?!)"
