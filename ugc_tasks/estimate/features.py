"""The measures that the estimate weighs: what is shared with the reference, how it is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from ugc_tasks.estimate.vocabulary import Vocabulary, load_vocabulary
from ugc_tasks.estimate.words import FUNCTION_WORDS, Text, read

AGREEMENT = (
    "rare",
    "heard",
    "seen",
    "sentences",
    "sound_match",
    "sounds",
    "sound_amount",
    "related",
)
"""Measures of what a caption says, against its reference."""

STYLE = ("richness", "variety")
"""Measures of how a caption is written, whatever its reference."""

KIND = ("words", "function_words", "variety", "richness", "overlap", "order")
"""Measures that tell captions from other texts: word lists, other languages, copies, loops."""

_SMALL = 0.05  # added to a share before its logarithm: the first word found is not worth everything
_RELATED = 0.12  # a cosine that hardly any caption has with another clip's reference
_UNKNOWN = 0.5  # a share of nothing


def features(prediction: str, reference: str) -> dict[str, float]:
    """Return all measures of a caption by name.

    ``rare``, ``heard``, ``seen``, ``sentences``: logarithms of the share of the reference that the
    caption has: of its rare stems; of its sentences about sound; of the others (of all, where it
    has no such sentences); and, for each of its sentences, of the caption's sentence that has most
    of it, the mean. ``sounds``: share of its words about sound. ``sound_match``: cosine of what
    both say about sound. ``sound_amount``: logarithm of how many stems the caption spends on it.
    ``related``: cosine of all of both, cut where it no longer tells a caption of this clip from one
    of another.

    ``richness``: mean weight of the caption's stems. ``variety``: share of distinct words.
    ``words``: how many there are. ``function_words``: their share. ``overlap``: weighted
    share of the reference's stems that the caption has; ``order``: of its pairs of neighbours.
    """
    vocabulary = load_vocabulary()
    said, meant = read(prediction), read(reference)
    words = max(1, len(said.words))
    rare = [stem for stem in meant.stems if vocabulary.is_rare(stem)]
    sounds = meant.sounds.keys()
    return {
        "rare": _log(_share(rare, said.stems, vocabulary)),
        "heard": _log(_share(meant.heard or meant.stems, said.stems, vocabulary)),
        "seen": _log(_share(meant.seen or meant.stems, said.stems, vocabulary)),
        "sentences": _log(_by_sentence(said, meant, vocabulary)),
        "sound_match": _cosine(said.heard, meant.heard, vocabulary),
        "sounds": len(said.sounds.keys() & sounds) / len(sounds) if sounds else _UNKNOWN,
        "sound_amount": math.log1p(said.heard.total()),
        "related": min(_RELATED, _cosine(said.stems, meant.stems, vocabulary)),
        "richness": sum(map(vocabulary.weight, said.stems)) / max(1, len(said.stems)),
        "variety": len(set(said.words)) / words,
        "words": float(len(said.words)),
        "function_words": sum(word in FUNCTION_WORDS for word in said.words) / words,
        "overlap": _share(meant.stems, said.stems, vocabulary),
        "order": _order(said, meant),
    }


def _share(wanted: Iterable[str], said: Counter[str], vocabulary: Vocabulary) -> float:
    """Return the share of ``wanted``, by weight, that is in ``said``; a half of nothing."""
    weights = {stem: vocabulary.weight(stem) for stem in wanted}
    total = sum(weights.values())
    if not total:
        return _UNKNOWN
    return sum(weight for stem, weight in weights.items() if stem in said) / total


def _by_sentence(said: Text, meant: Text, vocabulary: Vocabulary) -> float:
    """Return the mean, over the reference's sentences, of the best share a sentence has of it."""
    shares = []
    for sentence in meant.sentences:
        if len(sentence) < 3:
            continue
        weights = {stem: vocabulary.weight(stem) for stem in sentence}
        best = max(
            (sum(weights[stem] for stem in sentence & other) for other in said.sentences),
            default=0.0,
        )
        shares.append(best / sum(weights.values()))
    return sum(shares) / len(shares) if shares else _UNKNOWN


def _cosine(first: Counter[str], second: Counter[str], vocabulary: Vocabulary) -> float:
    """Return the cosine of two bags of stems: logarithmic counts, weighted; 0 for an empty one."""

    def weigh(bag: Counter[str]) -> dict[str, float]:
        return {s: (1 + math.log(count)) * vocabulary.weight(s) for s, count in bag.items()}

    one, other = weigh(first), weigh(second)
    size = math.hypot(*one.values()) * math.hypot(*other.values())
    return sum(value * other.get(stem, 0.0) for stem, value in one.items()) / size if size else 0.0


def _order(said: Text, meant: Text) -> float:
    pairs = set(zip(meant.words, meant.words[1:], strict=False))
    given = set(zip(said.words, said.words[1:], strict=False))
    return len(pairs & given) / len(pairs) if pairs else _UNKNOWN


def _log(share: float) -> float:
    return math.log(share + _SMALL)
