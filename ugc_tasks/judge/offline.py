"""A free estimate of a caption's scores from the two texts alone: an estimate, not a judgment.

A few measures of what caption and reference share go into a linear model that was fitted to
published GPT-4o scores; ``benchmarks/fit_offline.py`` makes the fit and prints how far off it is
for a model it was not fitted to (about 7.5 points of 100). It knows words, not meaning: good for
telling whether a run works and is roughly where it should be, not for a number to publish.
Deterministic. ROUGE was tried in place of these measures: slower, and further off (10.8 points),
since it rewards the reference's manner of writing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.judge.forms import DIMENSIONS
from ugc_tasks.judge.scores import Scores

_WEIGHTS = Path(__file__).with_name("offline_weights.json")
_MAX_CHARS = 16_000  # of either text; some seven times the longest published caption

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Names and on-screen words: capitals that do not begin a sentence.
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w']+")
_QUOTED = re.compile(r"[\"“«]([^\"“”«»]{1,300})[\"”»]|(?<!\w)['‘]([^'‘’]{1,300})['’](?!\w)")
_SOUND_WORDS = """
accent audible audio background beat cheer cheering chirping chuckle clapping clatter click crowd
dialogue drum drums effect effects electronic exclaim female guitar hear heard humming instrumental
laugh laughing laughs laughter loud lyrics male melodic melody monologue music musical narrate
narrates narration narrator noise noises piano pitched pop quiet rap rhythm rhythmic rock say
saying says scream screaming shout shouting silence silent sing singer singing sings soft song
songs sound sounds soundtrack speak speaker speaking speaks speech spoken synth talk talking tempo
tone track upbeat vocal vocals voice voiceover voices whisper whispering
"""
_SOUND = frozenset(_SOUND_WORDS.split())


@dataclass(frozen=True)
class Weights:
    """The fitted model: for each dimension an intercept and a coefficient for each feature."""

    version: str
    intercepts: Mapping[str, float]
    coefficients: Mapping[str, Mapping[str, float]]
    sha256: str


@functools.cache
def load_weights() -> Weights:
    """Return the weights that the package was built with."""
    raw = _WEIGHTS.read_bytes()
    data = json.loads(raw)
    return Weights(
        version=data["version"],
        intercepts={name: data[name]["intercept"] for name in DIMENSIONS},
        coefficients={name: data[name]["coefficients"] for name in DIMENSIONS},
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def estimate(prediction: str, reference: str) -> Scores:
    """Return the estimated scores, fractions from 1 to 5, of a caption against its reference."""
    weights = load_weights()
    measured = features(prediction, reference)

    def score(dimension: str) -> float:
        terms = weights.coefficients[dimension]
        value = math.fsum(weight * measured[name] for name, weight in terms.items())
        return min(5.0, max(1.0, weights.intercepts[dimension] + value))

    return Scores(visual=score("visual"), audio=score("audio"), details=score("details"))


def features(prediction: str, reference: str) -> dict[str, float]:
    """Return the measures that the model weighs, by name.

    ``words``, ``names``, ``numbers`` and ``quoted`` are the shares (0 to 1) of the reference's
    distinct words, names, words with digits and quoted words that the caption has, and
    ``sound_recall`` that of its words about sound; a half where the reference has none of them.
    ``sound_share`` is the share of sound words in the caption, ``variety`` that of its distinct
    words. ``sound_amount`` and ``quoted_amount`` are logarithms of how many the caption has, and
    ``length`` the logarithm of how much longer than the reference it is, cut to -3..3.
    """
    prediction, reference = prediction[:_MAX_CHARS], reference[:_MAX_CHARS]
    said, meant = _words(prediction), _words(reference)
    said_sound, meant_sound = _about_sound(said), _about_sound(meant)
    words = max(1, said.total())
    ratio = math.log((said.total() + 1) / (meant.total() + 1))
    return {
        "words": _found(set(meant), said),
        "names": _found({name.lower() for name in _NAME.findall(reference)}, said),
        "numbers": _found({word for word in meant if any(map(str.isdigit, word))}, said),
        "quoted": _found(set(_quoted(reference)), said),
        "sound_recall": _found(set(meant_sound), said),
        "sound_share": said_sound.total() / words,
        "sound_amount": math.log1p(said_sound.total()),
        "quoted_amount": math.log1p(_quoted(prediction).total()),
        "variety": len(said) / words,
        "length": max(-3.0, min(3.0, ratio)),
    }


def _words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in _WORD.findall(text))


def _quoted(text: str) -> Counter[str]:
    return _words(" ".join(double or single for double, single in _QUOTED.findall(text)))


def _about_sound(words: Counter[str]) -> Counter[str]:
    return Counter({word: count for word, count in words.items() if word in _SOUND})


def _found(wanted: set[str], said: Counter[str]) -> float:
    return sum(word in said for word in wanted) / len(wanted) if wanted else 0.5
