"""The measures that the estimate weighs: what a caption shares with the reference, and its style.

Their time is bounded: a text is cut at ``MAX_CHARS``, a word at 40 characters, and sentences after
the first 80 are left out, because comparing them takes quadratic time.
"""

from __future__ import annotations

import functools
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_CHARS = 16_000
"""What is read of a text: some seven times the longest published caption."""

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
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that every English text has; they are no evidence of agreement."""

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
    """What is counted in a text; stems are of the words that are not ``FUNCTION_WORDS``.

    ``heard`` and ``seen`` have the stems in sentences with a word about sound, and in those without
    one; ``sounds`` has the words about sound.
    """

    words: tuple[str, ...]
    stems: Counter[str]
    sentences: tuple[frozenset[str], ...]
    heard: Counter[str]
    seen: Counter[str]
    sounds: frozenset[str]


@functools.lru_cache(maxsize=16)  # the same two texts are measured again at once
def read(text: str) -> Text:
    """Return what is counted in ``text``."""
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


VOCABULARY = Path(__file__).with_name("vocabulary.json")


@functools.cache
def _vocabulary() -> Mapping[str, Any]:
    """Return how many ``references`` were published, and in how many each ``common`` stem occurs.

    A stem that is not common is rare: a name, a brand, a word of the speech. It is taken to occur
    in ``rare_in`` of them, and counts most.
    """
    vocabulary: dict[str, Any] = json.loads(VOCABULARY.read_text(encoding="utf-8"))
    return vocabulary


def is_rare(stem: str) -> bool:
    """Tell whether few of the published references have ``stem``."""
    return stem not in _vocabulary()["common"]


def weight(stem: str) -> float:
    """Return the inverse document frequency of ``stem``: log of texts by texts with it."""
    counts = _vocabulary()
    return math.log(counts["references"] / counts["common"].get(stem, counts["rare_in"]))


_SMALL = 0.05  # added to a share before its logarithm: bounds what the first word found adds
_RELATED = 0.12  # a cosine that hardly any caption has with another clip's reference
_UNKNOWN = 0.5  # a share of nothing


def features(prediction: str, reference: str) -> dict[str, float]:
    """Return all measures of a caption by name.

    What is shared with the reference:

    * logarithms of the share of the reference that the caption has: ``rare`` of its rare stems,
      ``heard`` of its sentences about sound, ``seen`` of the others (of all, where it has no such
      sentences), ``sentences`` the mean over its sentences of the best match in the caption;
    * ``sounds``: share of its words about sound; ``sound_match``: cosine of what both say about
      sound; ``sound_amount``: logarithm of how many stems the caption spends on sound;
    * ``related``: cosine of both texts, cut where it no longer separates captions of this clip from
      those of others;
    * ``overlap``: weighted share of the reference's stems; ``order``: of its pairs of neighbours.

    How it is written: ``richness``, mean weight of the stems; ``variety``, share of distinct words;
    ``words``, how many there are; ``function_words``, their share.
    """
    said, meant = read(prediction), read(reference)
    words = max(1, len(said.words))
    rare = filter(is_rare, meant.stems)
    pairs, given = (set(zip(text.words, text.words[1:], strict=False)) for text in (meant, said))
    return {
        "rare": _log(_share(rare, said.stems)),
        "heard": _log(_share(meant.heard or meant.stems, said.stems)),
        "seen": _log(_share(meant.seen or meant.stems, said.stems)),
        "sentences": _log(_by_sentence(said, meant)),
        "sound_match": _cosine(said.heard, meant.heard),
        "sounds": _part(said.sounds & meant.sounds, meant.sounds),
        "sound_amount": math.log1p(said.heard.total()),
        "related": min(_RELATED, _cosine(said.stems, meant.stems)),
        "richness": sum(map(weight, said.stems)) / max(1, len(said.stems)),
        "variety": len(set(said.words)) / words,
        "words": float(len(said.words)),
        "function_words": sum(word in FUNCTION_WORDS for word in said.words) / words,
        "overlap": _share(meant.stems, said.stems),
        "order": _part(pairs & given, pairs),
    }


def _part(some: Sized, of: Sized) -> float:
    return len(some) / len(of) if of else _UNKNOWN


def _share(wanted: Iterable[str], said: Counter[str]) -> float:
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
