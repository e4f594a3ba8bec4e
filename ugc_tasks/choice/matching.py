"""Which option an answer chooses, where that is clear; it is never guessed.

Markup is taken away first. Then the first of these rules that applies decides:

1. The answer that is marked as one: ``<answer>...</answer>``, ``\\boxed{...}``.
2. JSON (in a fence or not): the value of ``answer`` and its like, or the only text in it.
3. The whole answer, or its first line, is an option, and no other line is another one; to a
   yes-no question, it begins with one.
4. An announced answer: "the answer is neutral", "Answer: (B)", "option B".
5. A letter in answer position: alone on a line; in a sentence that says nothing else ("It's B",
   "I choose B because ..."); before ``.``, ``)``, ``:`` or a dash at the beginning; in brackets or
   bold anywhere. A bare ``A`` before a word is an English article.
6. The options that the text names, where that is exactly one.

An option or letter that the text denies ("not positive", "rather than negative", "B is wrong") or
asks about ("Is it B?") does not count. Several letters ("A or B"), or a letter and another option
beside it, are no answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

MAX_CHARS = 20_000  # a longer text is no answer to a question with options
_NESTING = 4
_ANSWER_KEYS = ("answer", "final_answer", "option", "choice", "label", "prediction", "predict")

_DECORATION = " \t\r\n*_`'\".,;:!"
_GAP = r"[\s\-_]+"

_OPEN = r"[\s*_\"'`(\[<]{0,8}"
_CLOSE = r"[*_\"'`)\]>]{0,4}"
_STOP = rf"(?={_CLOSE}(?:[.,;:!/&+]|\s*$|\s+(?:because|since|as|for|or|and|due|given|-)\b|\s+[-(]))"
"""What ends a letter that may be a word: the article, the pronoun, a letter in lower case."""

_LETTER = rf"((?-i:[B-HJ-Z])(?![\w-]|'\w)|[A-Za-z]{_STOP})"
_SAID = (
    r"(?:\b(?:answer|option|choice|selection|verdict)|答案|选项?|选择)"
    + _CLOSE
    + r"\s?(?:(?:is|was|would be|must be|should be|is most likely)\b|=|-|是|为)?\s?:?"
    + _OPEN
)
_LETTER_SAID = re.compile(
    rf"{_SAID}(?:option|choice|letter)?{_OPEN}{_LETTER}", re.IGNORECASE | re.MULTILINE
)
_OPTION_SAID = re.compile(_SAID + "$", re.IGNORECASE)
_LETTER_ALONE = re.compile(
    rf"(?:[-+>#•\s]|\d{{1,2}}[.)]\s){{0,8}}{_OPEN}([A-Za-z])[\s*_\"'`)\]>.:!]*"
)
_LETTER_FIRST = re.compile(
    rf"{_OPEN}([A-Za-z]){_CLOSE}(?:(?:[).:\]]|(?<=[A-Z])[,;]|\s-)[*_\"']*(?=\s|$)"
    r"|(?=\s(?:because|since)\b))"
)
_LETTER_LISTED = re.compile(r"(?<!\S)[(\[]?([A-Za-z])[).:\]]\s+\w")
_LETTER_MARKED = re.compile(r"(?:[(\[{<]\s{0,4}|\*\*|`)([A-Za-z])(?:\s{0,4}[)\]}>]|[.:)]?\*\*|`)")
_ANOTHER = re.compile(
    rf"{_CLOSE}[.\s]{{0,2}}(?:,|/|&|\+|\bor\b|\band\b)\s?(?:(?:and|or|maybe|perhaps|possibly)\s)?"
    rf"(?:(?:option|choice|letter)\s)?{_OPEN}{_LETTER}",
    re.IGNORECASE,
)

_SENTENCE_PART = re.compile(r"[.,;:!?\n]|\s-+\s|\b(?:because|since|as|for|but)\b")
_WORD = re.compile(r"[\w']+")
_PLAIN_WORDS = """
the answer is it it's its that that's this i i'd i'll i'm would will must should be to my final best
correct right one think believe guess say said choose chose pick select selected go going with vote
answered option choice letter label here question clearly definitely certainly surely so hence
therefore thus ok okay well sure most likely probably maybe fits applies matches describes suits
ans response result output prediction a an of in tone mood voice source speaker speakers audio sound
music video clip background
"""
_SAYING_NOTHING_ELSE = frozenset(_PLAIN_WORDS.split())
_LETTERS = 26
_BESIDE = re.compile(r"[ *_\"'`)\].:,(-]{0,8}")
_ASKED = re.compile(r"[^.!?\n]{0,80}\?")
_JOINED = re.compile(
    rf"{_CLOSE} ?(?:,|/|&|\+|\bor\b|\band\b|\bto\b) ?(?:(?:and|or|even|maybe|perhaps|possibly) )?"
    r"[ *_\"'`(\[<]{0,8}",
    re.IGNORECASE,
)
_JOINING = frozenset(("or", "and", "either", "both"))

_CLAUSE_END = re.compile(r"[,.;:!?\n]|\bbut\b")
_CLAUSE_CHARS = 80
_DENIAL_WORDS = 3  # how many words before an option may deny it: "not at all positive"
_DENYING_WORDS = """
not no never neither nor non without cannot than instead except excluding excludes excluded exclude
eliminate eliminates eliminated eliminating unlike hardly anything everything
"""
_DENIALS = frozenset(_DENYING_WORDS.split())
_DENIED_AFTER = re.compile(
    rf"{_CLOSE}(?:(?:\s?[.:-])?\s?(?:wrong|incorrect|false)\b"
    r"|\s(?:(?:is|was|seems|looks|can be|must be|would be)\s)?(?:definitely\s|clearly\s)?"
    r"(?:\w{2,6}n't|cannot|not|never|wrong|incorrect|false|unlikely|excluded|eliminated|ruled out)"
    r"\b)",
    re.IGNORECASE,
)

_FENCE = "```"
_LANGUAGE = re.compile(r"[a-z]{2,10}(?=\s)", re.IGNORECASE)
_TURN = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|bos|end_of_turn|start_of_turn)>")
_ANSWER = re.compile(r"<(?:final_?)?answer>(.*?)(?:</(?:final_?)?answer>|\Z)", re.DOTALL | re.I)
_INNER = re.compile(r"\\(?:text|math)[a-z]{0,8}\s?\{([^{}\n]{0,200})\}|\\[()\[\]]|\$")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{([^{}\n]{0,200})\}")
_ONE_SPELLING = str.maketrans("‐‑‒–—―−“”„«»‘’。", '-------"""""\'\'.')
_TAGS = ("b", "strong", "em", "i", "u", "p", "div", "span", "li", "ul", "ol", "code", "pre", "mark")


def match_option(text: str, options: Sequence[str]) -> str | None:
    """Return the one of ``options`` that ``text`` chooses, None where it chooses none or several.

    ``options`` are in the order that the letters A, B, C... stand for, and come back as they are
    spelled there.
    """
    return _match(text, options, _NESTING)


def _match(text: str, options: Sequence[str], nesting: int) -> str | None:
    if nesting == 0 or len(text) > MAX_CHARS:
        return None
    marked = _marked_answers(text)
    if marked:
        return _only({_match(answer, options, nesting - 1) for answer in marked})
    text = _plain(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _exact(text, options) or _said(text, options)
    inner = _only_text(value)
    return None if inner is None else _match(inner, options, nesting - 1)


def _only(found: Collection[str | None]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def _only_text(value: Any) -> str | None:
    """Return the one text that a JSON answer holds, None where it is not one text."""
    if isinstance(value, dict):
        keys = [key for key in _ANSWER_KEYS if key in value] or list(value)
        value = value[keys[0]] if keys and (len(value) == 1 or keys[0] in _ANSWER_KEYS) else None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    return value if isinstance(value, str) else None


def _exact(text: str, options: Sequence[str]) -> str | None:
    by_key = {_key(option): option for option in options}
    lines = [by_key.get(_key(line)) for line in text.split("\n")]
    if lines[0] is not None and not {*lines} - {lines[0], None}:
        return lines[0]
    if by_key.keys() == {"yes", "no"}:
        # The rest may say "no" in passing ("Yes, no doubt"), so the first word speaks alone.
        first = re.match(r"\W*(yes|no)\b(?!\W+(?:and|or)\b|/)", text, re.IGNORECASE)
        if first:
            return by_key[first.group(1).casefold()]
    return None


def _key(text: str) -> str:
    return " ".join(re.split(_GAP, text.strip(_DECORATION).casefold()))


def _said(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a text in words chooses."""
    by_length = sorted(options, key=len, reverse=True)
    # The first alternative that fits wins, hence the longest first.
    patterns = [_GAP.join(map(re.escape, _key(option).split())) for option in by_length]
    either = re.compile("|".join(rf"((?<!\w){p}(?!\w))" for p in patterns), re.IGNORECASE)
    mentions = [
        (by_length[(m.lastindex or 1) - 1], m.start(), m.end())
        for m in either.finditer(text)
        if not _denied(text, m.start(), m.end())
    ]
    letters = _Letters(text, options, {start: option for option, start, _ in mentions})
    announced = _announced(text, mentions) | letters.announced()
    if announced:
        return _only(announced)
    named = {option for option, _, _ in mentions}
    placed = letters.placed()
    if placed and len(named) == 1 and named != placed:
        return None
    return _only(placed or named)


def _announced(text: str, mentions: Iterable[tuple[str, int, int]]) -> set[str]:
    """Return the options whose text stands right after words that announce an answer."""
    found: set[str] = set()
    chained, end = False, 0
    for option, start, after in mentions:
        between = text[end:start][-_CLAUSE_CHARS:]
        chained = bool(_OPTION_SAID.search(between) or (chained and _JOINED.fullmatch(between)))
        if chained:
            found.add(option)
        end = after
    return found


class _Letters:
    """The letters of options in a text, and the options whose text begins at a place of it."""

    def __init__(self, text: str, options: Sequence[str], starts: Mapping[int, str]) -> None:
        self._text, self._options, self._starts = text, options, starts

    def announced(self) -> set[str]:
        """Return the options whose letter stands right after words that announce an answer."""
        found: set[str] = set()
        for said in _LETTER_SAID.finditer(self._text):
            denied = _denied(self._text, said.start(), said.end())
            if not denied and not _ASKED.match(self._text, said.end()):
                found |= self._chosen([said.group(1)], said.end())
        return found

    def placed(self) -> set[str]:
        """Return the options whose letter stands where an answer has it."""
        text = self._text
        alone = [m.group(1) for line in text.split("\n") if (m := _LETTER_ALONE.fullmatch(line))]
        if alone:
            return self._lettered(alone)
        if first := _LETTER_FIRST.match(text):
            if _DENIED_AFTER.match(text, first.end(1)):
                return set()
            # A list of all options begins like that as well.
            listed = self._lettered(_LETTER_LISTED.findall(text))
            return self._chosen([first.group(1)], first.end(1)) | listed
        places = [
            ([marked.group(1)], marked.end())
            for marked in _LETTER_MARKED.finditer(text)
            if not _denied(text, marked.start(), marked.end())
        ]
        return set().union(*(self._chosen(*each) for each in (*places, *_spoken(text))))

    def _chosen(self, letters: Sequence[str], end: int) -> set[str]:
        """Return the options of letters that end there and of what stands beside them.

        That is other letters ("A or B"), and the text of an option ("B. Positive").
        """
        letters, place = [*letters], end
        while (another := _ANOTHER.match(self._text, place)) and len(letters) <= _LETTERS:
            letters.append(another.group(1))
            place = another.end(1)
        beside = _BESIDE.match(self._text, end)
        text = self._starts.get(beside.end()) if beside else None
        return self._lettered(letters) | ({text} if text else set())

    def _lettered(self, letters: Iterable[str]) -> set[str]:
        places = map(_place, letters)
        return {self._options[place] for place in places if place < len(self._options)}


def _spoken(text: str) -> Iterator[tuple[list[str], int]]:
    """Yield letters, and where they end, of sentences that say nothing else and ask nothing."""
    parts, start = [], 0
    for found in _SENTENCE_PART.finditer(text):
        parts.append((_WORD.findall(text[start : found.start()]), found.start(), found.group()))
        start = found.end()
    parts.append((_WORD.findall(text[start:]), len(text), "."))
    asks = False
    for number, (words, end, separator) in reversed([*enumerate(parts)]):
        if separator in ".!?\n":
            asks = separator == "?"
        letters, others = [], set()
        for word, after in pairwise([*words, ""]):
            if _is_letter(word, after):
                letters.append(word)
            else:
                others.add(word.casefold())
        if not others and number:  # "Therefore, B"
            others = {word.casefold() for word in parts[number - 1][0]}
        said = others and others <= _SAYING_NOTHING_ELSE | _JOINING
        if not asks and letters and said and not _DENIED_AFTER.match(text, end):
            yield letters, end


def _is_letter(word: str, after: str) -> bool:
    """Tell whether a word is an option's letter; "a", "A" and "I" before a word may be words."""
    alone = after in ("", "is", "it") or after in _JOINING or _place(after) < _LETTERS
    return _place(word) < _LETTERS and (alone or (word.isupper() and word not in "AI"))


def _place(word: str) -> int:
    """Return which option a word is the letter of, from 0; a large number for a longer word."""
    one = len(word) == 1 and word.isascii() and word.isalpha()
    return ord(word.upper()) - ord("A") if one else _LETTERS


def _denied(text: str, start: int, end: int) -> bool:
    """Tell whether the words before or after a stretch of the text deny it."""
    clause = _CLAUSE_END.split(text[max(0, start - _CLAUSE_CHARS) : start].casefold())[-1]
    words = re.findall(r"[\w']+", clause)[-_DENIAL_WORDS:]
    before = any(word in _DENIALS or word.endswith("n't") for word in words)
    return before or _DENIED_AFTER.match(text, end) is not None


def _marked_answers(text: str) -> list[str]:
    """Return the contents of what is marked as the answer: ``<answer>``, ``\\boxed{}``."""
    if "answer>" in text.casefold():
        return [answer for answer in _ANSWER.findall(text) if answer.strip()]
    return _BOXED.findall(_INNER.sub(r"\1", text)) if "\\" in text else []


def _plain(text: str) -> str:
    """Return the text with one spelling of dashes, quotes and blanks, without its markup."""
    text = _TURN.sub(" ", unicodedata.normalize("NFKC", text))
    text = text.translate(_ONE_SPELLING)
    for tag in _TAGS:
        if f"</{tag}>" in text.casefold():
            text = re.sub(rf"</?{tag}>", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"[^\S\n]+", " ", _INNER.sub(r"\1", text)).strip()
    if text.count(_FENCE) != 2:
        return text
    return _LANGUAGE.sub("", text.split(_FENCE)[1], count=1).strip()
