"""Which option an answer chooses, where that is clear; it is never guessed.

Markup is taken away first. Then the first of these rules that applies decides:

1. The answer that is marked as one: ``<answer>...</answer>``, ``\\boxed{...}``.
2. JSON (in a fence or not): the value of ``answer`` and its like, or the only text in it.
3. The whole answer, or its first line, is an option, and no other line is another one.
4. An announced answer: "the answer is neutral", "Answer: (B)", "option B".
5. A letter in answer position: alone on a line; in a sentence that says nothing else ("It's B",
   "I choose B because ..."); before ``.``, ``)``, ``:`` or a dash at the beginning; in brackets or
   bold anywhere. A bare ``A`` before a word is an English article.
6. The options that the text names, where that is exactly one.

An option or letter that the text denies ("not positive", "rather than negative", "B is wrong") or
asks about ("Is it B?") does not count. Several letters ("A or B"), or a letter and another option
beside it, are no answer.

Rules 4 to 6 look at the kinds of the words and signs, a character each (``_CODES``): "The answer is
B." is ``fsvL.``, and an announced letter is a match of ``sv*L``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

MAX_CHARS = 20_000  # a longer text is no answer to a question with options
_NESTING = 4
_ANSWER_KEYS = ("answer", "final_answer", "option", "choice", "label", "prediction", "predict")

_DECORATION = " \t\r\n*_`'\".,;:!"
_GAP = r"[\s\-_]+"
_PIECE = r"答案|选择|选项?|[是为]|\*\*| -+ |[^\W_一-鿿]+(?:['.-][^\W_一-鿿]+)*|\n|\S"

# Besides: O an option, L a letter, A and a those that may be words (A, I; in lower case), d a
# number of a list, w another word, # another sign.
_CODES = {
    "s": "answer option choice selection verdict 答案 选 选项 选择",
    "l": "letter",
    "v": "is was 是 为",
    "u": "would must should be most likely",
    "p": "seems looks can",
    "i": "it",
    "j": "or and",
    "t": "to",
    "e": "either both maybe",
    "h": "even perhaps possibly",
    "c": "because since",
    "k": "as for",
    "b": "but",
    "g": "due given",
    "n": "no neither nor non without than instead except excluding excludes exclude eliminate "
    "eliminates eliminating unlike hardly anything everything",
    "N": "not never cannot excluded eliminated",
    "x": "wrong incorrect false unlikely ruled",
    "f": "the its it's that that's this i'd i'll i'm will my final best correct right one think "
    "believe guess say said choose chose pick select selected go going with vote answered label "
    "here question clearly definitely certainly surely so hence therefore thus ok okay well sure "
    "probably fits applies matches describes suits ans response result output prediction an of in "
    "tone mood voice source speaker speakers audio sound music video clip background",
    "(": "( [ { <",
    ")": ") ] } >",
    "*": "** `",
    '"': "* _ \" '",
    ".": ". ! ;",
    ",": ",",
    "/": "/ & +",
    ":": ": =",
    "-": "-",
    "?": "?",
    "\n": "\n",
}
_CODE = {word: code for code, words in _CODES.items() for word in words.split(" ")}
_FILLERS = frozenset("sluvijtefAa")  # in a sentence that says nothing else
_LETTERS = 26

_CHOSEN = r"(?:[LO]|[Aa](?=[*\")]*(?:[.,:/\-(\nckgj]|$)))"
_SAID = re.compile(rf"s[*\")]*[vu]{{0,3}}[:\-]{{0,2}}[(*\"\n]{{0,8}}[sl]?[(*\"\n]{{0,8}}{_CHOSEN}")
_ALONE = re.compile(r"^(?:[)>#/*\"(\-]|d[.)])*([LAa])[*\").:]*$", re.MULTILINE)
_FIRST = re.compile(r"[(*\"]*([LAa])[*\"]*(?:[).:]|-|(?=c)|(?<=[LA]),)")
_LISTED = re.compile(r"([LAa])[).:]+(?=[A-Za-z])")
_MARKED = re.compile(r"[(*]([LAa])(?:\)|[.:)]?\*)")
_ANOTHER = re.compile(rf"[*\").]*[,/jt]j?[eh]?[sl]?[(*\"]*{_CHOSEN}")
_BESIDE = re.compile(r"[*\").:,(\-]{0,8}O")
_ASKED = re.compile(r"[^.?\n]{0,40}\?")
_SPOKEN = re.compile(r"L|[Aa](?=[vijeLAa]|$)")
_PART = re.compile(r"[.,:?\n\-ckb]|$")
_DENIED_AFTER = re.compile(r"[*\")]*(?:[.:\-]?x|[vpu]{0,2}f?[Nx])")

_LANGUAGE = re.compile(r"[a-z]{2,10}(?=\s)", re.IGNORECASE)
_TURN = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|bos|end_of_turn|start_of_turn)>")
_ANSWER = re.compile(r"<(?:final_?)?answer>(.*?)(?:</(?:final_?)?answer>|\Z)", re.DOTALL | re.I)
_INNER = re.compile(r"\\(?:text|math)[a-z]{0,8}\s?\{([^{}\n]{0,200})\}|\\[()\[\]]|\$")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{([^{}\n]{0,200})\}")
_ONE_SPELLING = str.maketrans("‐‑‒–—―−“”„«»‘’。", '-------"""""\'\'.')
_TAGS = ("b", "strong", "em", "i", "u", "p", "div", "span", "li", "ul", "ol", "code", "pre", "mark")


def match_option(text: str, options: Sequence[str], nesting: int = _NESTING) -> str | None:
    """Return the one of ``options`` that ``text`` chooses, None where it chooses none or several.

    ``options`` are in the order that the letters A, B, C... stand for, and come back as they are
    spelled there.
    """
    if nesting == 0 or len(text) > MAX_CHARS:
        return None
    marked = _marked_answers(text)
    if marked:
        return _only({match_option(answer, options, nesting - 1) for answer in marked})
    text = _plain(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _exact(text, options) or _said(text, options)
    inner = _only_text(value)
    return None if inner is None else match_option(inner, options, nesting - 1)


def _only(found: set[str | None]) -> str | None:
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
    return lines[0] if not {*lines} - {lines[0], None} else None


def _key(text: str) -> str:
    return " ".join(re.split(_GAP, text.strip(_DECORATION).casefold()))


def _said(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a text in words chooses."""
    codes, meant = _scan(text, options)
    announced = {
        meant[place]
        for said in _SAID.finditer(codes)
        if not _denied(codes, said.start(), said.end()) and not _ASKED.match(codes, said.end())
        for place in _with_others(codes, said.end() - 1)
    } - {None}
    if announced:
        return _only(announced)
    mentions = [m.start() for m in re.finditer("O", codes)]
    named = {meant[place] for place in mentions if not _denied(codes, place, place + 1)}
    letters = {meant[place] for place in _letters(codes)} - {None}
    if letters and len(named) == 1 and named != letters:
        return None
    return _only(letters or named)


def _scan(text: str, options: Sequence[str]) -> tuple[str, list[str | None]]:
    """Return the kind of each word and sign, and the option that it names or is the letter of."""
    by_key = {_key(option): option for option in options}
    # The first alternative that fits wins, hence the longest first.
    by_length = sorted(by_key, key=len, reverse=True)
    either = "|".join(_GAP.join(map(re.escape, key.split())) for key in by_length)
    codes, meant = [], []
    for token in re.finditer(rf"(?<![^\W_])({either})(?![^\W_])|{_PIECE}", text, re.IGNORECASE):
        word, option = token.group().strip(" ").casefold() or "-", None
        if token.group(1):
            code, option = "O", by_key.get(_key(word))
        elif len(word) == 1 and "a" <= word <= "z":
            place = ord(word) - ord("a")
            option = options[place] if place < len(options) else None
            code = "a" if token.group() == word else "A" if word in "ai" else "L"
        elif word.endswith("n't"):
            code = "N"
        elif word.isdigit() and len(word) <= 2:
            code = "d"
        else:
            code = _CODE.get(word.lstrip("-") or "-", "w" if word[0].isalnum() else "#")
        codes.append(code)
        meant.append(option)
    return "".join(codes), meant


def _denied(codes: str, start: int, end: int) -> bool:
    """Tell whether the three words before a stretch of the text, or those after it, deny it."""
    clause = re.split(r"[.,:?\nb]", codes[max(0, start - 40) : start])[-1]
    before = [code for code in clause if code.isalpha()][-3:]
    return "n" in before or "N" in before or _DENIED_AFTER.match(codes, end) is not None


def _with_others(codes: str, place: int) -> list[int]:
    """Return a place with those of what stands beside it: "A or B", "B. Positive"."""
    places = [place]
    while len(places) <= _LETTERS and (another := _ANOTHER.match(codes, places[-1] + 1)):
        places.append(another.end() - 1)
    beside = _BESIDE.match(codes, place + 1) if codes[place] != "O" else None
    if beside and not _denied(codes, beside.end() - 1, beside.end()):
        places.append(beside.end() - 1)
    return places


def _letters(codes: str) -> list[int]:
    """Return the places of letters that stand where an answer has them, and what is beside them."""
    if alone := [line.start(1) for line in _ALONE.finditer(codes)]:
        return alone
    if first := _FIRST.match(codes):
        if _DENIED_AFTER.match(codes, first.start(1) + 1):
            return []
        # A list of all options begins like that as well.
        listed = [each.start(1) for each in _LISTED.finditer(codes)]
        return [*_with_others(codes, first.start(1)), *listed]
    marked = [
        place
        for each in _MARKED.finditer(codes)
        if not _denied(codes, each.start(), each.end())
        for place in _with_others(codes, each.start(1))
    ]
    return [*marked, *_spoken(codes)]


def _spoken(codes: str) -> Iterator[int]:
    """Yield the places of letters in sentences that say nothing else and ask nothing."""
    start, previous = 0, ""
    for end in (separator.start() for separator in _PART.finditer(codes)):
        words = [place for place in range(start, end) if codes[place].isalpha()]
        kinds = "".join(codes[place] for place in words)
        letters = [words[each.start()] for each in _SPOKEN.finditer(kinds)]
        context = _SPOKEN.sub("", kinds) or previous  # "Therefore, B"
        questioned = _ASKED.match(codes, end) or _DENIED_AFTER.match(codes, end)
        if letters and context and _FILLERS.issuperset(context) and not questioned:
            yield from letters
            yield from _with_others(codes, end - 1)[1:]
        start, previous = end + 1, kinds


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
    fenced = text.split("```")
    return _LANGUAGE.sub("", fenced[1], count=1).strip() if len(fenced) == 3 else text
