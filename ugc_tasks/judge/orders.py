"""What in an answer means an order to its judge: to ignore, to score, to reveal, to be lenient.

Single words of ``suspicious_words.toml`` mean nothing; some of them together, within a short
stretch and each by a word of its own, do. The rules were chosen on attacks in some twenty languages
and on 12,000 recorded captions, of which they find one. A new wording may well escape them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ugc_tasks.judge.lookalike import Seen
from ugc_tasks.judge.phrases import Span, spoken_of

_TOGETHER = 90
_MOST = 50  # stretches a rule: who writes more of them is suspected already

# Categories that mean something where all of them are within so many characters; "then" between
# two demands that order, since most languages forget instructions and do not instruct to forget.
_RULES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (50, ("ignore", "then", "order")),
    (50, ("ignore", "then", "this")),
    (30, ("give-foreign", "five_of_five-foreign")),
    (40, ("ignore_last", "order")),
    (60, ("judge", "score", "top", "this")),
    (_TOGETHER, ("give", "score", "top", "this")),
    (0, ("giveaway",)),
    (30, ("address", "grader")),
    (60, ("grader", "score", "top")),
    (60, ("grader", "urge", "top")),
    (60, ("urge", "score", "five")),
    (60, ("give", "five", "this")),
    (50, ("give", "five", "everywhere")),
    (80, ("score", "five", "side", "side")),
    (60, ("urge", "five_of_five")),
    (50, ("five_of_five", "everywhere")),
    (60, ("five_of_five", "grader")),
    (60, ("five_of_five", "this")),
    (50, ("reference", "invalid")),
    (40, ("grader", "agrees")),
    (60, ("ignore", "score", "top")),
    (60, ("ignore_last", "score", "top")),
    (60, ("give-foreign", "score-foreign", "top-foreign")),
    (60, ("ignore-foreign", "top-foreign")),
    (60, ("ignore_last-foreign", "top-foreign")),
    (60, ("give-foreign", "five-foreign", "everywhere-foreign")),
    (_TOGETHER, ("address", "judge", "score")),
    (_TOGETHER, ("address", "judge", "order")),
    (60, ("judge", "give", "score", "top")),
    (60, ("reveal", "secret")),
    (120, ("bribe", "score", "top", "give")),
    (60, ("reference", "agrees")),
    (40, ("rules", "changed")),
)


def orders(view: Seen) -> Iterator[Span]:
    """Yield where in the original text an order to the judge is: start and end."""
    places = spoken_of(view.text)
    for reach, wanted in _RULES:
        columns = [places.get(category, []) for category in wanted if category != "then"]
        if all(columns):
            for start, end in _within(columns, reach or _TOGETHER, in_order="then" in wanted):
                yield view.original(start, end)


def _within(columns: list[list[Span]], reach: int, *, in_order: bool) -> Iterator[Span]:
    """Yield stretches of at most ``reach`` with a word of each column, no word in two roles."""
    words = sorted((*span, role) for role, column in enumerate(columns) for span in column)
    first = found = 0
    for last, (_, end, _) in enumerate(words):
        while first < last and words[first][0] < end - reach:
            first += 1
        if _cast(words[first : last + 1], len(columns), in_order=in_order):
            yield words[first][0], end
            found += 1
            if found == _MOST:
                return


def _cast(words: list[tuple[int, int, int]], roles: int, *, in_order: bool) -> bool:
    """Tell whether every role can have a word of its own: "rate" is not both order and score."""
    by_role = [[w[:2] for w in words if w[2] == role] for role in range(roles)]

    def fill(role: int, taken: tuple[Span, ...]) -> bool:
        if role == roles:
            return True
        return any(
            fill(role + 1, (*taken, span))
            for span in by_role[role][:6]
            if not any(span[0] < end and (in_order or start < span[1]) for start, end in taken)
        )

    return all(by_role) and fill(0, ())
