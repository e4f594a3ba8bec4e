"""Answers that speak to their judge: which, where, and why they are suspected.

A suspect is judged like any other; it is told in its row and counted in the results, for a person
to look at, and the probe (``ugc-videocap judge-probe``) judges it again without what is suspected.
Suspicion is by what words mean together (``orders.py``), by what imitates the judge's message or
its reply (``imitation.py``, ``structure.py``), and by what is written not to be seen
(``concealed.py``). A sign that says "Rate this 5 stars", quoted, is none of that.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ugc_tasks.judge.concealed import encoded, hidden
from ugc_tasks.judge.imitation import imitations
from ugc_tasks.judge.lookalike import seen
from ugc_tasks.judge.orders import orders
from ugc_tasks.judge.protocols import all_labels
from ugc_tasks.judge.structure import changes

REASONS: Mapping[str, str] = {
    "label": "a line imitates a field of the judge's message (broken up before it is sent)",
    "control_token": "a token that ends a turn in chat templates (broken up before it is sent)",
    "hidden_text": "text that a reader cannot see: tags, characters of no width, reversed order",
    "homoglyph": "a word such as 'score' with letters of another script in it",
    "reply": "an answer as the judge would write it",
    "role": "a heading or a mark as if someone else began to speak",
    "instruction": "an order to a grader: to ignore, to score, to reveal",
    "encoded": "a long run of base64 or hexadecimal digits that spells text",
}
"""The reasons, and what each says; most certain first."""

_MAX_CHARS = 100_000


@dataclass(frozen=True)
class Suspicion:
    """A stretch of an answer and the reason (a key of ``REASONS``) why it is suspected."""

    reason: str
    start: int
    end: int


def reasons(answer: str) -> tuple[str, ...]:
    """Return the reasons why ``answer`` is suspected, each once; none for an ordinary answer."""
    found = {suspicion.reason for suspicion in suspicions(answer)}
    return tuple(reason for reason in REASONS if reason in found)


def suspicions(answer: str) -> list[Suspicion]:
    """Return all that is suspicious in ``answer``, in order. Linear in its length.

    What is longer than any judge is asked about is not looked at.
    """
    answer = answer[:_MAX_CHARS]
    view = seen(answer)
    found = [
        *((change.reason, change.start, change.end) for change in changes(answer, all_labels())),
        *hidden(answer),
        *encoded(answer),
        *imitations(view),
        *(("instruction", *span) for span in orders(view)),
    ]
    return sorted(itertools.starmap(Suspicion, found), key=lambda found: (found.start, found.end))


_SENTENCE_ENDS = re.compile(r"[.!?]['\"”’)]*\s+|[。！？]|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def without_suspicious(answer: str) -> str:
    """Return ``answer`` without the sentences that have something suspicious in them."""
    found = suspicions(answer)
    if not found:
        return answer
    borders = [0, *(match.end() for match in _SENTENCE_ENDS.finditer(answer)), len(answer)]
    kept: list[str] = []
    done = 0
    for suspicion in found:
        if suspicion.end <= done:
            continue
        # A forged line brings its line break with it, which ends an honest sentence.
        first = suspicion.start + _blank(answer[suspicion.start : suspicion.end])
        start = borders[bisect.bisect_right(borders, first) - 1]
        kept.append(answer[done:start])
        done = borders[bisect.bisect_left(borders, suspicion.end)]
    return "".join([*kept, answer[done:]]).strip()


def _blank(text: str) -> int:
    """Return how much white space a text begins with."""
    return len(text) - len(text.lstrip())
