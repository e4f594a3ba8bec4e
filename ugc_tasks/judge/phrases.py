"""Where a text says certain things, in whatever language: words of categories, found in one pass.

The words are data (``suspicious_words.toml``), compared as they are seen (``lookalike.py``). Words
of scripts that put spaces between them are looked up whole; those of Chinese, Japanese, Korean and
Thai are found inside longer runs.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.judge.lookalike import seen

Span = tuple[int, int]
FOREIGN = "-foreign"
"""Behind a category's name: its words of other languages than English."""

_FILE = Path(__file__).with_name("suspicious_words.toml")
_TOKEN = re.compile(r"[0-9]+\.[0-9]+|\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff]")
_WIDEST_GAP = 3
_HEAD = 3  # letters that every open-ended word has


@dataclass(frozen=True)
class _Phrase:
    categories: tuple[str, ...]
    words: tuple[str, ...]
    open_ended: bool


@dataclass(frozen=True)
class _Vocabulary:
    by_first: Mapping[str, tuple[_Phrase, ...]]
    by_beginning: Mapping[str, tuple[_Phrase, ...]]
    by_head: Mapping[str, tuple[str, ...]]
    unspaced: Mapping[str, re.Pattern[str]]


def spoken_of(text: str) -> dict[str, list[Span]]:
    """Return where the categories occur in ``text`` (as it is seen), by name; linear in it."""
    vocabulary = _vocabulary()
    found: defaultdict[str, list[Span]] = defaultdict(list)
    tokens = [(match.group(), *match.span()) for match in _TOKEN.finditer(text)]
    for index, (word, start, _) in enumerate(tokens):
        phrases = vocabulary.by_first.get(word, ())
        for beginning in vocabulary.by_head.get(word[:_HEAD], ()):
            phrases += vocabulary.by_beginning[beginning] if word.startswith(beginning) else ()
        for phrase in phrases:
            end = _end_of(phrase, tokens, index)
            for category in phrase.categories if end else ():
                found[category].append((start, end))
    if _UNSPACED.search(text):
        for category, pattern in vocabulary.unspaced.items():
            spans = [match.span() for match in pattern.finditer(text)]
            found[category] += spans
            found[category + FOREIGN] += spans
    return dict(found)


def is_known(word: str) -> bool:
    """Tell whether a word (as it is seen) begins anything that ``spoken_of`` looks for."""
    return word in _vocabulary().by_first


def _end_of(phrase: _Phrase, tokens: list[tuple[str, int, int]], index: int) -> int:
    """Return where a phrase that begins at a token ends, 0 where it is not there."""
    if len(phrase.words) > len(tokens) - index:
        return 0
    last = len(phrase.words) - 1
    for offset, wanted in enumerate(phrase.words):
        word, start, _ = tokens[index + offset]
        if offset and start - tokens[index + offset - 1][2] > _WIDEST_GAP:
            return 0
        whole = word == wanted
        if not whole and not (phrase.open_ended and offset == last and word.startswith(wanted)):
            return 0
    return tokens[index + last][2]


@functools.cache
def _vocabulary() -> _Vocabulary:
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    by_first: defaultdict[str, list[_Phrase]] = defaultdict(list)
    by_beginning: defaultdict[str, list[_Phrase]] = defaultdict(list)
    by_head: defaultdict[str, set[str]] = defaultdict(set)
    unspaced: defaultdict[str, set[str]] = defaultdict(set)
    for category, languages in content.items():
        english = set(languages.get("en", ()))
        for word in dict.fromkeys(word for words in languages.values() for word in words):
            both = (category,) if word in english else (category, category + FOREIGN)
            plain = seen(word.rstrip("*")).text
            if _UNSPACED.search(plain):
                unspaced[category].add(plain)
                continue
            phrase = _Phrase(both, tuple(_TOKEN.findall(plain)), word.endswith("*"))
            one = len(phrase.words) == 1 and phrase.open_ended
            (by_beginning if one else by_first)[phrase.words[0]].append(phrase)
            if one:
                by_head[phrase.words[0][:_HEAD]].add(phrase.words[0])
    return _Vocabulary(
        {word: tuple(phrases) for word, phrases in by_first.items()},
        {word: tuple(phrases) for word, phrases in by_beginning.items()},
        {word: tuple(sorted(words)) for word, words in by_head.items()},
        {
            category: re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
            for category, words in unspaced.items()
        },
    )
