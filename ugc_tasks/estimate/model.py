"""From two texts to estimated scores.

A score is ``1 + 4 / (1 + exp(-z))``; z adds up what the caption shares with the reference and, to a
bounded part, how it is written: models that GPT-4o scores higher than their agreement with the
reference explains (Gemini, of those recorded) write with a richer and less repeated vocabulary, and
nothing else in the words tells them from models that imitate them. It is how they are recognised,
not why they are better: a model of that quality that writes plainly is estimated too low.
"""

from __future__ import annotations

import math

from ugc_tasks.estimate.features import features
from ugc_tasks.estimate.weights import load_weights
from ugc_tasks.judge.forms import DIMENSIONS
from ugc_tasks.judge.scores import Scores

_STEEPEST = 30.0  # beyond it exp() adds nothing, and at 710 it fails


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
