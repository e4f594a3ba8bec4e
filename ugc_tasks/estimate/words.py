"""A text as the estimate sees it: words, stems, sentences, and which of them are about sound.

Bounded whatever the text: it is cut at ``MAX_CHARS``, a word at 40 characters, and the sentences
after the first 80 are left out, as their comparison takes quadratic time.
"""

from __future__ import annotations

import functools
import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

MAX_CHARS = 16_000
"""Of a text, what is read: some seven times the longest published caption."""

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
"""Words that every English text has, whatever it is about; they are no evidence of agreement."""

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

    Attributes:
        words: all words, lower-case, in their order.
        stems: how often each stem occurs.
        sentences: the stems of each sentence.
        heard, seen: stems in sentences with a word about sound, and in those without one.
        sounds: the words about sound.
    """

    words: tuple[str, ...]
    stems: Counter[str]
    sentences: tuple[frozenset[str], ...]
    heard: Counter[str]
    seen: Counter[str]
    sounds: Counter[str]


@functools.lru_cache(maxsize=16)  # the same two texts are measured again at once
def read(text: str) -> Text:
    """Return what is counted in ``text``."""
    text = text[:MAX_CHARS].replace("’", "'")
    heard: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    sentences = []
    for sentence in _SENTENCE_END.split(text):
        words = _words(sentence)
        stems = _stems(words)
        (seen if _SOUND.isdisjoint(words) else heard).update(stems)
        sentences.append(frozenset(stems))
    words = _words(text)
    return Text(
        words=tuple(words),
        stems=heard + seen,
        sentences=tuple(sentences[:_MAX_SENTENCES]),
        heard=heard,
        seen=seen,
        sounds=Counter(word for word in words if word in _SOUND),
    )


def _words(text: str) -> list[str]:
    return [word.lower().removesuffix("'s") for word in _WORD.findall(text)]


def _stems(words: list[str]) -> list[str]:
    return [_stem(word) for word in words if word not in FUNCTION_WORDS]


@functools.lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    # A stemmer has the word that it works on as its state, and lmms-eval scores in four threads.
    with _ONE_AT_A_TIME:
        return str(_stemmer().stemWord(word))


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer  # light, unlike nltk, whose import takes seconds

    return snowballstemmer.stemmer("english")
