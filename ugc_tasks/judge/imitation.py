"""What in an answer imitates the judge's message or its reply, or begins to speak as someone else.

Looked for in the text as it is seen (``lookalike.py``): lower case, plain letters. Every repetition
is bounded, so that the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ugc_tasks.judge.lookalike import Seen

_VALUE = (
    r"\b(?:visual|audio|details?|consistent|match_score|overall|average)"
    r"(?:[ _]?(?:score|rating|grade))?"
    r"['\"*_` ]{0,3}(?:\s(?:is|of)\s|[:=])\s?['\"*_` ]{0,3}(?:[0-9]|yes\b|five|max)"
)
_FIVE = r"\b(?:visual|audio|details?)[^0-9a-z]{1,4}(?:five|5)\b"
_LINE = r"(?:^|\n)[^0-9a-z\n]{0,20}"
_COLON = r"[^0-9a-z\n]{0,6}:"
_SPEAKER = r"(?:system|assistant|developer|evaluator|grader|judge|chatgpt|gpt-?4o?)"
_KIND = (
    r"(?:message|prompt|note|instructions?|override|update|notice|response|reply|output|verdict)"
)
_TAG = (
    r"(?:system|instructions?|prediction|candidate|reference|ground_?truth|user|assistant|prompt"
    r"|scores?|evaluation|predicted_?description|human|admin)"
)
_PART = (
    r"(?:prediction|predicted description|predicted text|candidate|caption|user input|input|prompt"
    r"|message|submission|untrusted)"
)
_PATTERNS = tuple(
    (reason, re.compile(pattern))
    for reason, pattern in (
        # Two values, or one in an object, as the prompts ask for them.
        ("reply", rf"{_VALUE}.{{0,40}}?{_VALUE}"),
        ("reply", rf"{_FIVE}.{{0,30}}?{_FIVE}"),
        ("reply", r"\{\s{0,20}['\"]?(?:visual|audio|details|consistent|match_score)['\"]?\s?:"),
        ("reply", r"\bfive[\s,/]{1,3}five[\s,/]{1,3}five\b"),
        ("reply", r"\b[5五]\s?[/,]\s?[5五]\s?[/,]\s?[5五]\b"),
        # Other words for the fields of the message.
        (
            "role",
            rf"{_LINE}(?:ground[ _-]?truth|gold(?:en)?|reference|actual|true|correct|expected)"
            rf"(?: (?:description|caption|answer|text|label|annotation|transcript))?{_COLON}",
        ),
        # Someone else begins to speak.
        ("role", rf"{_LINE}{_SPEAKER}(?: {_KIND})?{_COLON}"),
        ("role", rf"[\[(<{{]{{1,3}}{_SPEAKER}(?: {_KIND})?{_COLON}"),
        ("role", r"#{2,}\s?(?:system|instructions?|response|new|end|task|user|assistant|human)\b"),
        ("role", r"['\"]role['\"]\s?:\s?['\"](?:system|assistant|user|developer|tool)"),
        (
            "role",
            r"[\[(<*=-](?:begin|start|end|end of|new)?[ _-]?"
            rf"(?:system|admin|developer|assistant|override)[ _-]?{_KIND}?[\])>*=-]",
        ),
        ("role", rf"</?\s?{_TAG}\b[^<>\n]{{0,60}}>"),
        ("role", rf"\bend of (?:the )?{_PART}\b"),
    )
)


def imitations(view: Seen) -> Iterator[tuple[str, int, int]]:
    """Yield what imitates: the reason, and start and end in the original text."""
    for reason, pattern in _PATTERNS:
        for match in pattern.finditer(view.text):
            yield reason, *view.original(match.start(), match.end())
