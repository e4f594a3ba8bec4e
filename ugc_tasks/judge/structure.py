"""Keeping an answer from passing for a part of the message that it stands in.

An answer may hold what a stranger wrote on the screen: a line that begins like the message's next
field, or the tokens that end a turn. Such a line is joined to the one before it, its label is
pulled apart and loses its colon; such tokens get a space. Any other text is returned as it was,
byte for byte: requests about clean answers are the published ones.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ugc_tasks.judge.lookalike import Seen, seen

_GAP = " [...] "
_LETTERS = {"a": "[a4@]", "e": "[e3]", "i": "[i1l]", "l": "[l1i]", "o": "[o0]", "s": "[s5$]",
            "t": "[t7]", "b": "[b8]", "g": "[g9]"}  # fmt: skip
_BETWEEN_LETTERS = r"[^0-9a-z\n]{0,2}"
_BETWEEN_WORDS = r"[^0-9a-z]{0,6}"
_LONGEST_LEAD = 120
_LEAD = re.compile(r"[\W_]*(?:[0-9]{1,3} ?[.):][\W_]*)?")  # bullets, quotes, numbering, markdown
_COLON = re.compile(r"(?:[\W_]{0,4}(?:is|are|as|follows|below|here)\b){0,3}[^0-9a-z\n]{0,8}?[:=]+")
_HEADED = re.compile(r"[^0-9a-z\n]{0,40}\n?")
_END_OR_DASH = re.compile(r"[^0-9a-z\n]{0,40}(?:\n|\Z)|[^0-9a-z\n]{0,3}[-–—→>|~]+")

# What chat templates and tokenizers take for the borders of turns.
_CONTROL = re.compile(
    r"<(?=[|｜][^<>\n]{1,60}[|｜]>)"
    r"|<(?=/?(?:s|bos|eos|pad|unk|sep|cls|mask|think|tool_call|tool_response|im_start|im_end"
    r"|start_of_turn|end_of_turn|start_header_id|end_header_id|eot_id)>)"
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)
# A black flag, two to six tags and the end tag are the flag of a region, such as Scotland's; other
# tags spell text that is not shown.
_TAGS = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f)"
    "|[\U000e0000-\U000e007f]+"
)


@dataclass(frozen=True)
class Change:
    """A stretch of an answer that is sent in other words, and why (a reason of ``suspicion``)."""

    start: int
    end: int
    instead: str
    reason: str


def broken_up(answer: str, labels: Sequence[str]) -> str:
    """Return ``answer`` without anything that passes for a part of a message with ``labels``."""
    parts: list[str] = []
    done = 0
    for change in changes(answer, labels):
        parts += [answer[done : change.start], change.instead]
        done = change.end
    return "".join([*parts, answer[done:]]) if parts else answer


def changes(answer: str, labels: Sequence[str]) -> list[Change]:
    """Return what ``broken_up`` changes, in order and without overlap."""
    return list(_apart(sorted(_all_changes(answer, labels), key=lambda c: (c.start, -c.end))))


def _apart(found: Sequence[Change]) -> Iterator[Change]:
    done = 0
    for change in found:
        if change.start >= done:
            yield change
            done = change.end


def _all_changes(answer: str, labels: Sequence[str]) -> Iterator[Change]:
    if "<" in answer or "[" in answer:
        for match in _CONTROL.finditer(answer):
            yield Change(match.start(), match.end(), f"{match.group()} ", "control_token")
    for start, end in hidden_tags(answer):
        yield Change(start, end, "", "hidden_text")
    if labels:
        yield from _labels(answer, seen(answer), tuple(labels))


def hidden_tags(answer: str) -> Iterator[tuple[int, int]]:
    """Yield where invisible tag characters are that belong to no flag."""
    for match in () if answer.isascii() else _TAGS.finditer(answer):
        if match["flag"] is None:
            yield match.span()


def _labels(answer: str, view: Seen, labels: tuple[str, ...]) -> Iterator[Change]:
    for label in labels:
        for match in _spelled(label).finditer(view.text):
            start, end = _imitation(view.text, match, label)
            if start < end:
                first, last = view.original(start, end)
                last = len(answer) - len(answer[last:].lstrip(" "))
                joined = " " if answer[:first].strip() and match.start() != start else ""
                yield Change(first, last, f"{joined}{_apart_words(label)} ", "label")


@functools.cache
def _spelled(label: str) -> re.Pattern[str]:
    """Return what finds the words of a label in a text as it is seen, with gaps and digits."""
    words = re.findall(r"\w+", label.lower())
    spelled = _BETWEEN_WORDS.join(
        _BETWEEN_LETTERS.join(_LETTERS.get(letter, letter) for letter in word) for word in words
    )
    return re.compile(rf"(?<![0-9a-z]){spelled}(?![0-9a-z])")


def _imitation(text: str, match: re.Match[str], label: str) -> tuple[int, int]:
    """Return the stretch of a text in which a label's words imitate the label; empty if they don't.

    At the start of a line they do with a colon, a dash or nothing after them; inside a line with a
    colon, and only where the label has several words: "Answer:" there is anybody's. A label that
    begins with a bracket needs one, and no more.
    """
    line = max(text.rfind("\n", 0, match.start()) + 1, match.start() - _LONGEST_LEAD)
    lead = text[line : match.start()]
    first = line == 0 or text[line - 1] == "\n"
    at_start = first and _LEAD.fullmatch(lead) is not None
    several = len(re.findall(r"\w+", label)) > 1
    if label.startswith("["):
        opened = re.search(r"[\[({<][^0-9a-z]{0,6}\Z", lead)
        if not opened or not (at_start or several):
            return 0, 0
        return _with_break(text, line) if at_start else line + opened.start(), match.end()
    tail = _COLON.match(text, match.end())
    if tail is None and at_start and several:
        tail = (_HEADED if "#" in lead else _END_OR_DASH).match(text, match.end())
    if tail is None or not (at_start or several):
        return 0, 0
    return _with_break(text, line) if at_start else match.start(), tail.end()


def _with_break(text: str, line: int) -> int:
    """Return where the white space before a line begins."""
    return len(text[:line].rstrip())


def _apart_words(label: str) -> str:
    words = re.findall(r"\w+", label)
    return _GAP.join(words) if len(words) > 1 else f"{_GAP.lstrip()}{words[0]}"
