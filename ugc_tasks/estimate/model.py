"""From two texts to estimated scores, with their intervals.

A score is ``1 + 4 / (1 + exp(-z))``; z adds up what the caption shares with the reference and, to a
bounded part, how it is written. GPT-4o scores some models (Gemini, of those recorded) higher than
their agreement with the reference explains. They write with a richer and less repeated vocabulary;
nothing else in the words shows them. It is not the reason why they are better: a model of that
quality that writes plainly is estimated too low.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ugc_tasks.estimate.features import VOCABULARY, features
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import Scores

WEIGHTS = Path(__file__).with_name("weights.json")

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

_STEEPEST = 30.0  # beyond it exp() adds nothing, and at 710 it fails
_LOWEST, _HIGHEST = 20.0, 100.0
_WORTH_TELLING = 0.1
_SAME = 0.02


@dataclass(frozen=True)
class Weights:
    """All figures; an ``intercept`` and ``coefficients`` by measure, where several are added up."""

    version: str
    sha256: str
    """Digest of every figure that an estimate depends on."""
    agreement: Mapping[str, Mapping[str, Any]]
    """By dimension: what agreement with the reference adds, and what style does (``above``)."""
    style: Mapping[str, Any]
    """How much a caption is written like those of the better models."""
    spread: Mapping[str, Mapping[str, float]]
    """By column, how far off estimates are, in points of 100: ``model``, half of the 95 % interval
    of a mean over very many clips, from the models left out; ``clip``, the standard deviation of a
    clip's judged score."""
    usual: Mapping[str, tuple[float, float]]
    """Lowest and highest value, in captions fitted to, of what tells captions from other texts."""


@functools.cache
def load_weights() -> Weights:
    """Return the figures that the package was built with."""
    raw = WEIGHTS.read_bytes()
    data = json.loads(raw)
    digest = hashlib.sha256(raw + VOCABULARY.read_bytes()).hexdigest()
    agreement = {name: data[name] for name in DIMENSIONS}
    usual = {name: (low, high) for name, (low, high) in data["usual"].items()}
    return Weights(data["version"], digest, agreement, data["style"], data["spread"], usual)


def estimate(prediction: str, reference: str) -> Scores:
    """Return the estimated scores, fractions from 1 to 5, of a caption against its reference.

    Deterministic, and a few milliseconds whatever the texts.
    """
    weights = load_weights()
    measured = features(prediction, reference)

    def weighted(figures: Mapping[str, Any]) -> float:
        terms = (weight * measured[name] for name, weight in figures["coefficients"].items())
        return float(figures["intercept"] + sum(terms))

    looks = _share(weighted(weights.style))
    return Scores(
        **{
            name: 1 + 4 * _share(weighted(figures) + figures["above"] * looks)
            for name, figures in weights.agreement.items()
        }
    )


def _share(z: float) -> float:
    return 1 / (1 + math.exp(-max(-_STEEPEST, min(_STEEPEST, z))))


def interval(column: str, mean: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, the estimated ``column`` over ``n`` clips, 20-100.

    Two errors add up: that of the estimate for a model that it was not fitted to, which more clips
    do not lessen (each recorded model was left out of the fit in turn), and that of having judged
    only ``n`` clips. It holds for models like the recorded ones; the benchmark's table says how
    much further off others are. ``column``: ``visual``, ``audio``, ``details`` or ``average``.
    """
    spread = load_weights().spread[column]
    sampling = NormalDist().inv_cdf(0.975) * spread["clip"] / math.sqrt(n)
    half = math.hypot(spread["model"], sampling)
    return max(_LOWEST, mean - half), min(_HIGHEST, mean + half)


def difference_interval(column: str, mean: float, half: float) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, one model's estimated ``column`` minus another's.

    ``half`` is half of the interval that the clips alone give. Both estimates have an error. Models
    of one kind have similar errors, so for two checkpoints of one model this is wider than needed.
    """
    wide = math.hypot(half, math.sqrt(2) * load_weights().spread[column]["model"])
    return mean - wide, mean + wide


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

    ``reasons`` is what ``unlike`` said of each of them.
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
    for text, times in texts.most_common(1):
        if times > max(1, _SAME * texts.total()):
            found.append(
                f"{times} captions are the same text ({text[:60]!r}): an estimate of a model that "
                "does not look at the clip means nothing"
            )
    return found
