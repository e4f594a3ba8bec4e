"""From two texts to estimated scores, with what they are worth.

A score is ``1 + 4 / (1 + exp(-z))``; z adds up what the caption shares with the reference and, to a
bounded part, how it is written: models that GPT-4o scores higher than their agreement with the
reference explains (Gemini, of those recorded) write with a richer and less repeated vocabulary, and
nothing else in the words tells them from models that imitate them. That is how they are recognised,
not why they are better: a model of that quality that writes plainly is estimated too low.
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
class Linear:
    """An intercept and a coefficient for each measure by name."""

    intercept: float
    coefficients: Mapping[str, float]

    def of(self, measured: Mapping[str, float]) -> float:
        """Return the weighted sum of what is ``measured``."""
        terms = (weight * measured[name] for name, weight in self.coefficients.items())
        return self.intercept + sum(terms)


@dataclass(frozen=True)
class Spread:
    """How far off estimates are, in points of 100.

    Attributes:
        model: half of the 95 % interval of a mean over very many clips, from the models left out.
        clip: standard deviation of a clip's judged score.
    """

    model: float
    clip: float


@dataclass(frozen=True)
class Weights:
    """All figures.

    Attributes:
        version: name of this way of estimating.
        sha256: digest of every figure that an estimate depends on.
        fitted_on: the models whose captions it was fitted to.
        agreement: what agreement with the reference adds to a dimension.
        style: what makes a caption look like those of the models that stand above the others.
        above: what looking like those adds to a dimension.
        spread: by column, ``average`` among them.
        usual: lowest and highest value, in captions fitted to, of the measures that tell captions
            from other texts.
    """

    version: str
    sha256: str
    fitted_on: tuple[str, ...]
    agreement: Mapping[str, Linear]
    style: Linear
    above: Mapping[str, float]
    spread: Mapping[str, Spread]
    usual: Mapping[str, tuple[float, float]]


@functools.cache
def load_weights() -> Weights:
    """Return the figures that the package was built with."""
    raw = WEIGHTS.read_bytes()
    data = json.loads(raw)
    return Weights(
        version=data["version"],
        sha256=hashlib.sha256(raw + VOCABULARY.read_bytes()).hexdigest(),
        fitted_on=tuple(data["fitted_on"]),
        agreement={name: _linear(data[name]) for name in DIMENSIONS},
        style=_linear(data["style"]),
        above={name: data[name]["above"] for name in DIMENSIONS},
        spread={name: Spread(**spread) for name, spread in data["spread"].items()},
        usual={name: (low, high) for name, (low, high) in data["usual"].items()},
    )


def _linear(data: Mapping[str, Any]) -> Linear:
    return Linear(data["intercept"], data["coefficients"])


def estimate(prediction: str, reference: str) -> Scores:
    """Return the estimated scores, fractions from 1 to 5, of a caption against its reference.

    Deterministic, and a few milliseconds whatever the texts.
    """
    weights = load_weights()
    measured = features(prediction, reference)
    looks = _share(weights.style.of(measured))
    scores = {
        name: 1 + 4 * _share(weights.agreement[name].of(measured) + weights.above[name] * looks)
        for name in DIMENSIONS
    }
    return Scores(**scores)


def _share(z: float) -> float:
    return 1 / (1 + math.exp(-max(-_STEEPEST, min(_STEEPEST, z))))


def interval(column: str, mean: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, the estimated ``column`` over ``n`` clips, 20-100.

    Two errors add up: that of the estimate for a model it was not fitted to, which more clips do
    not lessen (from the errors of the recorded models, each left out of the fit in its turn), and
    that of having judged ``n`` clips and not all. It holds for models of a kind that is among the
    recorded ones; the benchmark's table says how much further off others are.

    Args:
        column: ``visual``, ``audio``, ``details`` or ``average``.
        mean: the estimate.
        n: clips in it, at least one.
    """
    spread = load_weights().spread[column]
    sampling = NormalDist().inv_cdf(0.975) * spread.clip / math.sqrt(n)
    half = math.hypot(spread.model, sampling)
    return max(_LOWEST, mean - half), min(_HIGHEST, mean + half)


def difference_interval(column: str, mean: float, half: float) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, one model's estimated ``column`` minus another's.

    Both estimates are off, each by its own. Models of one kind are off alike, so between two
    checkpoints of one model this is wider than it need be.

    Args:
        column: ``visual``, ``audio``, ``details`` or ``average``.
        mean: the difference of the estimates.
        half: half of the interval that the clips alone give.
    """
    wide = math.hypot(half, math.sqrt(2) * load_weights().spread[column].model)
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
