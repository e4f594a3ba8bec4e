"""From two texts to estimated scores, with their intervals.

A score is ``1 + 4 / (1 + exp(-z))``; z adds up what the caption shares with the reference and, to a
bounded part, how it is written. GPT-4o scores some models (Gemini, of those recorded) higher than
their agreement with the reference explains. They write with a richer and less repeated vocabulary;
nothing else in the words shows them. It is not the reason why they are better: a model of that
quality that writes plainly is estimated too low.

Time is bounded: a text is cut at ``MAX_CHARS``, a word at 40 characters, and sentences after the
first 80 are left out, because comparing them takes quadratic time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import Scores

VOCABULARY = Path(__file__).with_name("vocabulary.json")
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
_WORTH_TELLING = 0.1
_SAME = 0.02
_SMALL = 0.05  # added to a share before its logarithm: bounds what the first word found adds
_RELATED = 0.12  # a cosine that hardly any caption has with another clip's reference
_UNKNOWN = 0.5  # a share of nothing

MAX_CHARS = 16_000  # what is read of a text: some seven times the longest published caption
_MAX_SENTENCES = 80
_ONE_AT_A_TIME = threading.Lock()
_WORD = re.compile(r"[^\W_]{1,40}(?:['’][^\W_]{1,10})?")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”]?\s+")

_FUNCTION_WORDS = """
a about after all also an and another any are as at be been before being between both but by can
could down during each had has have he her him his if in into is it its more no not of off on one
onto or other out over so some such than that the their them then there these they this those
through throughout to up very video was were when where which while who with within without
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())  # which are no evidence of agreement

_SOUND_WORDS = """
accent audible audio auditory beat cheer cheering chirping chuckle clapping clatter dialogue drum
drums effects electronic exclaim guitar hear heard humming instrumental laugh laughing laughs
laughter loud lyrics melodic melody monologue music musical narrate narrates narration narrator
noise noises piano pitched pop quiet rap rhythm rhythmic rock say saying says scream screaming
shout shouting silence silent sing singer singing sings song songs sound sounds soundscape
soundtrack speak speaker speaking speaks speech spoken synth talk talking tempo tone track upbeat
vocal vocals voice voiceover voices whisper whispering
"""
_SOUND = frozenset(_SOUND_WORDS.split())


@dataclass(frozen=True)
class Text:
    """What is counted in a text; stems are of the words that are not ``FUNCTION_WORDS``."""

    words: tuple[str, ...]
    stems: Counter[str]
    sentences: tuple[frozenset[str], ...]
    heard: Counter[str]  # stems in sentences with a word about sound
    seen: Counter[str]  # in those without one
    sounds: frozenset[str]  # the words about sound


@functools.lru_cache(maxsize=16)  # the same two texts are measured again at once
def read(text: str) -> Text:
    text = text[:MAX_CHARS].replace("’", "'")
    heard: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    sentences = []
    for sentence in _SENTENCE_END.split(text):
        words = _words(sentence)
        stems = [_stem(word) for word in words if word not in FUNCTION_WORDS]
        (seen if _SOUND.isdisjoint(words) else heard).update(stems)
        sentences.append(frozenset(stems))
    every = tuple(_words(text))
    shown = tuple(sentences[:_MAX_SENTENCES])
    return Text(every, heard + seen, shown, heard, seen, _SOUND.intersection(every))


def _words(text: str) -> list[str]:
    return [word.lower().removesuffix("'s") for word in _WORD.findall(text)]


@functools.lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    # A stemmer keeps the word that it works on, and lmms-eval scores in four threads.
    with _ONE_AT_A_TIME:
        return str(_stemmer().stemWord(word))


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer  # light, unlike nltk, whose import takes seconds

    return snowballstemmer.stemmer("english")


@functools.cache
def _vocabulary() -> Mapping[str, Any]:
    """Return how many ``references`` were published, and in how many each ``common`` stem occurs.

    A stem that is not common is rare: a name, a brand, a word of the speech. It is taken to occur
    in ``rare_in`` of them, and counts most.
    """
    vocabulary: dict[str, Any] = json.loads(VOCABULARY.read_text(encoding="utf-8"))
    return vocabulary


def is_rare(stem: str) -> bool:
    return stem not in _vocabulary()["common"]


def weight(stem: str) -> float:
    """Return the inverse document frequency of ``stem``: log of texts by texts with it."""
    counts = _vocabulary()
    return math.log(counts["references"] / counts["common"].get(stem, counts["rare_in"]))


def features(prediction: str, reference: str) -> dict[str, float]:
    """Return all measures of a caption by name.

    * Logarithms of the share of the reference that the caption has: ``rare`` of its rare stems,
      ``heard`` of its sentences about sound, ``seen`` of the others (of all, where it has no such
      sentences), ``sentences`` the mean over its sentences of the best match in the caption.
    * ``sounds``: share of its words about sound; ``sound_match``: cosine of what both say about
      sound; ``sound_amount``: logarithm of how many stems the caption spends on sound.
    * ``related``: cosine of both texts, cut where it no longer separates captions of this clip from
      those of others; ``overlap``: weighted share of the reference's stems; ``order``: of its pairs
      of neighbours.
    * How it is written: ``richness``, mean weight of the stems; ``variety``, share of distinct
      words; ``words``, how many there are; ``function_words``, their share.
    """
    said, meant = read(prediction), read(reference)
    words = max(1, len(said.words))
    rare = filter(is_rare, meant.stems)
    pairs, given = (set(zip(text.words, text.words[1:], strict=False)) for text in (meant, said))
    return {
        "rare": _log(_weighed_share(rare, said.stems)),
        "heard": _log(_weighed_share(meant.heard or meant.stems, said.stems)),
        "seen": _log(_weighed_share(meant.seen or meant.stems, said.stems)),
        "sentences": _log(_by_sentence(said, meant)),
        "sound_match": _cosine(said.heard, meant.heard),
        "sounds": _part(said.sounds & meant.sounds, meant.sounds),
        "sound_amount": math.log1p(said.heard.total()),
        "related": min(_RELATED, _cosine(said.stems, meant.stems)),
        "richness": sum(map(weight, said.stems)) / max(1, len(said.stems)),
        "variety": len(set(said.words)) / words,
        "words": float(len(said.words)),
        "function_words": sum(word in FUNCTION_WORDS for word in said.words) / words,
        "overlap": _weighed_share(meant.stems, said.stems),
        "order": _part(pairs & given, pairs),
    }


def _part(some: Sized, of: Sized) -> float:
    return len(some) / len(of) if of else _UNKNOWN


def _weighed_share(wanted: Iterable[str], said: Counter[str]) -> float:
    """Return the share of ``wanted``, by weight, that is in ``said``; a half of nothing."""
    weights = {stem: weight(stem) for stem in wanted}
    total = sum(weights.values())
    return sum(w for stem, w in weights.items() if stem in said) / total if total else _UNKNOWN


def _by_sentence(said: Text, meant: Text) -> float:
    """Return the mean, over the reference's sentences, of the best share a sentence has of it."""
    shares = []
    for sentence in meant.sentences:
        if len(sentence) < 3:
            continue
        weights = {stem: weight(stem) for stem in sentence}
        best = max(sum(weights[stem] for stem in sentence & other) for other in said.sentences)
        shares.append(best / sum(weights.values()))
    return sum(shares) / len(shares) if shares else _UNKNOWN


def _cosine(first: Counter[str], second: Counter[str]) -> float:
    """Return the cosine of two bags of stems: logarithmic counts, weighted; 0 for an empty one."""
    one, other = (
        {stem: (1 + math.log(count)) * weight(stem) for stem, count in bag.items()}
        for bag in (first, second)
    )
    size = math.hypot(*one.values()) * math.hypot(*other.values())
    return sum(value * other.get(stem, 0.0) for stem, value in one.items()) / size if size else 0.0


def _log(share: float) -> float:
    return math.log(share + _SMALL)


@functools.cache
def load_weights() -> Mapping[str, Any]:
    """Return the figures that the package was built with, and their digest, ``sha256``.

    By dimension, what agreement with the reference adds (``intercept``, and ``coefficients`` by
    measure), and what style does (``above``); ``style``, how much a caption is written like those
    of the better models. ``spread``, by column, how far off estimates are, in points of 100:
    ``model``, half of the 95 % interval of a mean over very many clips, from the models left out;
    ``clip``, the standard deviation of a clip's judged score. ``usual``, the lowest and highest
    value, in captions fitted to, of the measures that tell captions from other texts.
    """
    raw = WEIGHTS.read_bytes()
    weights: dict[str, Any] = json.loads(raw)
    return weights | {"sha256": hashlib.sha256(raw + VOCABULARY.read_bytes()).hexdigest()}


def estimate(prediction: str, reference: str) -> Scores:
    """Return the estimated scores, fractions from 1 to 5, of a caption against its reference."""
    weights = load_weights()
    measured = features(prediction, reference)

    def weighted(figures: Mapping[str, Any]) -> float:
        terms = (weight * measured[name] for name, weight in figures["coefficients"].items())
        return float(figures["intercept"] + sum(terms))

    looks = _logistic(weighted(weights["style"]))
    scores = {
        name: 1 + 4 * _logistic(weighted(weights[name]) + weights[name]["above"] * looks)
        for name in DIMENSIONS
    }
    return Scores(**scores)


def _logistic(z: float) -> float:
    return 1 / (1 + math.exp(-max(-_STEEPEST, min(_STEEPEST, z))))


def interval(column: str, mean: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, the estimated ``column`` over ``n`` clips, 20-100.

    Two errors add up: that of the estimate for a model that it was not fitted to, which more clips
    do not lessen (each recorded model was left out of the fit in turn), and that of having judged
    only ``n`` clips. It holds for models like the recorded ones.
    """
    spread = load_weights()["spread"][column]
    sampling = NormalDist().inv_cdf(0.975) * spread["clip"] / math.sqrt(n)
    half = math.hypot(spread["model"], sampling)
    return max(20.0, mean - half), min(100.0, mean + half)


def difference_interval(column: str, mean: float, half: float) -> tuple[float, float]:
    """Return the 95 % interval around ``mean``, one model's estimated ``column`` minus another's.

    ``half`` is half of the interval that the clips alone give. Both estimates have an error. Models
    of one kind have similar errors, so for two checkpoints of one model this is wider than needed.
    """
    wide = math.hypot(half, math.sqrt(2) * load_weights()["spread"][column]["model"])
    return mean - wide, mean + wide


def unlike(prediction: str, reference: str) -> str:
    """Return why a caption is unlike those fitted on, a key of ``REASONS``; empty if it is not."""
    measured = features(prediction, reference)
    usual = load_weights()["usual"]
    for reason, (name, side, _) in REASONS.items():
        low, high = usual[name]
        if measured[name] < low if side < 0 else measured[name] > high:
            return reason
    return ""


def doubts(reasons: Sequence[str], captions: Iterable[str]) -> list[str]:
    """Return what a reader must know of captions, of which ``unlike`` gave these reasons."""
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
