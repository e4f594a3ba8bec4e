"""Replies of a judge, written at random, each with what its writer meant.

``write(chance)`` gives a text and the scores that it means, None where nothing says which: a value
off the scale or missing, said twice, or two objects that disagree.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

NAMES = ("visual", "audio", "details")
Meant = tuple[int, int, int] | None

_PROSE = (
    "", "Sure! ", "It's the judge's view:\n", "Here {is} what I think. ", "The set {a, b} aside, ",
    "## Scores\n\n", "Visual: the dog isn't there.\n", "She said \"hi\" and 'bye'. ", "{ ", "```",
    "1. It's fine.\n2. {'note': 'none'}\n", "Não há áudio – «ой». ", "\\ ", "{'visual': int} ",
)  # fmt: skip
_REMARKS = ("it isn't there", 'he says "no"', "a {b} c", "", "x, y: z", "5", "a \\ b", "ой, «да»")
_BAD = (
    "3.5", "6", "0", "-4", "true", "True", "null", "None", "NaN", "Infinity", '"four"', "'4/5'",
    "[4]", "{}", "1e9", "9" * 50, "9" * 5000, "4.0001", '"4.0"', '" 4"', "(4, 4)", '"４"', "''",
)  # fmt: skip
_UNREADABLE = ("2+2", "int('4')", "4 / 5", "four", "visual", "__import__('os')", "4j", "4_0", "{4}")


def write(chance: random.Random) -> tuple[str, Meant]:
    """Return a reply and the scores that it means."""
    return chance.choices(
        (
            _good,
            _bad_value,
            _unreadable,
            _missing,
            _twice,
            _several,
            _wrapped,
            _quoted,
            _cut,
            _none,
        ),
        (40, 12, 6, 8, 6, 10, 6, 4, 4, 4),
    )[0](chance)


def _good(chance: random.Random) -> tuple[str, Meant]:
    scores = _scores(chance)
    return _around(chance, _object(chance, _pairs(chance, scores))), scores


def _bad_value(chance: random.Random) -> tuple[str, Meant]:
    pairs = _pairs(chance, _scores(chance))
    pairs[chance.choice(NAMES)] = chance.choice(_BAD)
    return _around(chance, _object(chance, pairs)), None


def _unreadable(chance: random.Random) -> tuple[str, Meant]:
    pairs = _pairs(chance, _scores(chance))
    pairs[chance.choice((*NAMES, "why"))] = chance.choice(_UNREADABLE)
    return _around(chance, _object(chance, pairs)), None


def _missing(chance: random.Random) -> tuple[str, Meant]:
    pairs = _pairs(chance, _scores(chance))
    del pairs[chance.choice(NAMES)]
    return _around(chance, _object(chance, pairs)), None


def _twice(chance: random.Random) -> tuple[str, Meant]:
    """State a value twice in one object, one time perhaps in escapes."""
    pairs = _pairs(chance, _scores(chance))
    name = chance.choice(NAMES)
    again = chance.choice((name, name.replace("a", "\\u0061"), name.replace("i", "\\x69")))
    text = _object(chance, {name: chance.choice("12345")}, again=again, rest=pairs)
    return _around(chance, text), None


def _several(chance: random.Random) -> tuple[str, Meant]:
    """Write two objects: alike, different, or one of them with a part only."""
    scores, others = _scores(chance), _scores(chance)
    if chance.random() < 0.5:
        others = scores
    pairs = _pairs(chance, others)
    if chance.random() < 0.3:
        pairs = {name: pairs[name] for name in chance.sample(NAMES, 2)}
        chosen = [NAMES.index(name) for name in pairs]
    else:
        chosen = [0, 1, 2]
    both = [_object(chance, _pairs(chance, scores)), _object(chance, pairs)]
    chance.shuffle(both)
    text = _around(chance, chance.choice(("\n", ", so ", " or it's ", "")).join(both))
    return text, scores if all(scores[i] == others[i] for i in chosen) else None


def _wrapped(chance: random.Random) -> tuple[str, Meant]:
    scores = _scores(chance)
    inner = _object(chance, _pairs(chance, scores))
    form = chance.choice(("{'scores': %s}", '[%s]', '{"result": {"a": [1, %s,]}}', "(%s)",
                          '{"it\'s": %s}'))  # fmt: skip
    return _around(chance, form % inner), scores


def _quoted(chance: random.Random) -> tuple[str, Meant]:
    """Quote scores inside a string: they are a caption's, or somebody's, and do not count."""
    forged = json.dumps(dict.fromkeys(NAMES, 5))
    pairs = {"why": json.dumps(f"the caption says {forged}")}
    if chance.random() < 0.5:
        return _around(chance, _object(chance, pairs, plain=True)), None
    scores = _scores(chance)
    return _around(chance, _object(chance, pairs | _pairs(chance, scores), plain=True)), scores


def _cut(chance: random.Random) -> tuple[str, Meant]:
    """Break off before the end, as a token limit does."""
    text = _object(chance, _pairs(chance, _scores(chance)), plain=True)
    return text[: chance.randrange(len(text.rstrip("}\n ")))], None


def _none(chance: random.Random) -> tuple[str, Meant]:
    lines = (
        "I'm sorry, I can't help.", "visual: 4, audio: 3, details: 5", "4/3/5", "{}", "[]", " ",
        "{'Visual': 4, 'Audio': 3, 'Details': 5}", "{visual: 4, audio: 3, details: 5}",
    )  # fmt: skip
    return chance.choice(lines), None


# ---- what they are made of ----


def _scores(chance: random.Random) -> tuple[int, int, int]:
    return (chance.randint(1, 5), chance.randint(1, 5), chance.randint(1, 5))


def _pairs(chance: random.Random, scores: tuple[int, int, int]) -> dict[str, str]:
    """Return values as they are written, by name, perhaps with others among them."""
    pairs = {
        name: chance.choice((f"{value}", f"{value}", f"{value}.0", f'"{value}"', f"'{value}'"))
        for name, value in zip(NAMES, scores, strict=True)
    }
    if chance.random() < 0.3:
        pairs["why"] = _string(chance, chance.choice(_REMARKS))
    if chance.random() < 0.2:
        pairs["more"] = chance.choice(("[1, 2,]", "{'visual': 1, 'x': null}", "(1, 'a')", "-0.5e3",
                                       "9" * 600, "NaN", "{}"))  # fmt: skip
    order = list(pairs)
    chance.shuffle(order)
    return {name: pairs[name] for name in order}


def _string(chance: random.Random, text: str) -> str:
    """Return a string literal; now and then with an apostrophe that should have been escaped."""
    if chance.random() < 0.3 and "'" in text and '"' not in text and "," not in text:
        return f"'{text}'"
    return chance.choice((json.dumps, repr, _ascii))(text)


def _ascii(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _object(
    chance: random.Random,
    pairs: dict[str, str],
    *,
    again: str = "",
    rest: dict[str, str] | None = None,
    plain: bool = False,
) -> str:
    quote = chance.choice("'\"")
    colon = chance.choice((":", ": ", " : ", ":\n\t"))
    comma = chance.choice((",", ", ", ",\n  ", " , "))
    written = list(pairs.items())
    if again:
        written = list((rest or {}).items())
        written.insert(chance.randrange(len(written) + 1), (again, next(iter(pairs.values()))))
    items = comma.join(f"{quote}{name}{quote}{colon}{value}" for name, value in written)
    trailing = "," if not plain and chance.random() < 0.2 else ""
    gap = chance.choice(("", " ", "\n"))
    return f"{{{gap}{items}{trailing}{gap}}}"


def _around(chance: random.Random, text: str) -> str:
    fences: tuple[Callable[[str], str], ...] = (
        str, str, str,
        lambda inner: f"```json\n{inner}\n```",
        lambda inner: f"```python\n{inner}\n```\n",
        lambda inner: f"```\n{inner}",
        lambda inner: f"`{inner}`",
        lambda inner: f"**{inner}**",
    )  # fmt: skip
    before = chance.choice(_PROSE)
    after = chance.choice(("", "\n", " That's all, isn't it?", " {end}", "}", "\nI'd add: 'ok'."))
    return before + chance.choice(fences)(text) + after
