"""Which captions are unlike those that the estimate was fitted on.

The fit saw captions in English prose, each about its own clip. What lies outside the range of those
in a measure gets a number like any text, and a name here for why that number is a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ugc_tasks.estimate.features import features
from ugc_tasks.estimate.weights import load_weights

REASONS = {
    "short": ("words", -1, "shorter than any"),
    "long": ("words", 1, "longer than any"),
    "repetitive": ("variety", -1, "says the same again and again"),
    "copied": ("order", 1, "follows the reference word by word"),
    "not_prose": ("function_words", -1, "a list of words, or not in English"),
    "unrelated": ("overlap", -1, "shares next to nothing with the reference"),
    "unconnected": ("function_words", 1, "hardly anything but function words"),
    "unknown_words": ("richness", 1, "made of words that the benchmark does not know"),
    "plain": ("richness", -1, "made of the commonest words only"),
    "scrambled": ("overlap", 1, "has the words of the reference and not its sentences"),
}
"""By reason: the measure, whether it is below (-1) or above (1) the usual, what it means."""

_WORTH_TELLING = 0.1
_SAME = 0.02


def unlike(prediction: str, reference: str) -> str:
    """Return why a caption is unlike those fitted on, a key of ``REASONS``; empty if it is not."""
    measured = features(prediction, reference)
    usual = load_weights().usual
    for reason, (name, side, _) in REASONS.items():
        low, high = usual[name]
        if measured[name] < low if side < 0 else measured[name] > high:
            return reason
    return ""


def doubts(reasons: Sequence[str], captions: Iterable[str]) -> list[str]:
    """Return what a reader of the estimate must know of the captions, a sentence each.

    Args:
        reasons: what ``unlike`` said of each caption.
        captions: the captions.
    """
    found = []
    counts = Counter(filter(None, reasons))
    if counts.total() > _WORTH_TELLING * len(reasons):
        each = ", ".join(
            f"{count} {reason} ({REASONS[reason][2]})" for reason, count in counts.most_common()
        )
        found.append(
            f"{counts.total()} of {len(reasons)} captions are unlike those that the estimate was "
            f"fitted on, so it may be far off: {each}"
        )
    texts = Counter(captions)
    text, times = max(texts.items(), key=lambda item: item[1], default=("", 0))
    if times > max(1, _SAME * texts.total()):
        found.append(f"{times} captions are the same text ({text[:60]!r}): an estimate of a "
                     "model that does not look at the clip means nothing")  # fmt: skip
    return found
