"""Objects are read from hostile text as JSON and Python mean them, and never by running it."""

from __future__ import annotations

import ast
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.growth import assert_linear
from ugc_tasks.judge.parsing import read_object

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
OBJECTS = st.dictionaries(st.text(), VALUES)


def plain(value: object) -> Any:
    """Return what was read as Python would have it."""
    if isinstance(value, tuple):
        return {name: plain(inner) for name, inner in value}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def read(text: str) -> Any:
    found = read_object(text, 0)
    assert found is not None
    value, end = found
    assert end == len(text)
    return plain(value)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_json_means_it(
    value: dict[str, Any], ascii_only: bool, indent: Any
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read(text) == json.loads(text)


@given(OBJECTS)
def test_a_python_dictionary_is_read_as_python_means_it(value: dict[str, Any]) -> None:
    text = repr(value)
    try:
        meant = ast.literal_eval(text)
    except ValueError:  # "inf" is no literal to Python, and a number to us
        return
    # Python spells what is not printable with \U and eight digits; no judge does.
    if "\\U" not in text:
        assert read(text) == meant


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1,}", {"a": 1}),
        ("{'a': [1, 2, ], 'b': (1, 'x'),}", {"a": [1, 2], "b": [1, "x"]}),
        ("{'why': 'it isn't there', 'a': 1}", {"why": "it isn't there", "a": 1}),
        ('{"why": "he says "no" twice", "a": 1}', {"why": 'he says "no" twice', "a": 1}),
        ('{"why": "two\nlines"}', {"why": "two\nlines"}),
        ("{'a': true, \"b\": None, 'c': -Infinity}", {"a": True, "b": None, "c": -math.inf}),
        ("{'a': .5, 'b': 4., 'c': +4, 'd': 1e999}", {"a": 0.5, "b": 4.0, "c": 4, "d": math.inf}),
        ("{'a': 'x' 'y'}", {"a": "x' 'y"}),
        (r"{'a': '\ud83d\ude00'}", {"a": "😀"}),
        (r"{'vis\u0075al\x21': '\'\"\\\/\n\q'}", {"visual!": "'\"\\/\n\\q"}),
        ("{}", {}),
    ],
)
def test_what_judges_write_between_the_two_is_read_too(text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "{", "{'a'}", "{'a':}", "{'a': 1", "{'a': 1 'b': 2}", "{,}", "{'a': 1,,}", "{'a': 'x}",
        "{'a': 2+2}", "{'a': 2/3}", "{'a': int(4)}", "{'a': four}", "{'a': {1, 2}}", "{1: 2}",
        "{'a': [1)}", "{'a': [,]}",
        "{a: 1}", "{'a': 4j}", "{'a': 1_000}", "{'a': 0x4}", "{'a': b'x'}", "{'a': f'x'}",
        "{'a': --4}", "{'a': [1}", "{'a': '\\", "{'a': 1}"[:-1] + "]", "{**{}}", "{'a': lambda: 0}",
    ],
)  # fmt: skip
def test_anything_else_is_no_object(text: str) -> None:
    assert read_object(text, 0) is None


def test_a_number_of_many_digits_is_more_than_any_of_ours_and_costs_nothing() -> None:
    assert read("{'a': " + "9" * 30_000 + ", 'b': 1}") == {"a": math.inf, "b": 1}
    assert read("{'a': " + "9" * 400 + "}") == {"a": int("9" * 400)}


@pytest.mark.parametrize("opening", ["{'a':", "[", "(", "{'a': [", '{"a":('])
def test_depth_is_bounded(opening: str) -> None:
    assert read_object("{'x': " + opening * 10_000, 0) is None
    deep = "{'a': " * 20 + "1" + "}" * 20
    assert read_object(deep, 0) is not None


def test_keys_that_occur_twice_are_both_told() -> None:
    found = read_object('{"a": 1, "b": 2, "a": 3}', 0)
    assert found is not None
    assert found[0] == (("a", 1), ("b", 2), ("a", 3))


PIECES = [
    "{",
    "}",
    "[",
    "]",
    "(",
    "'",
    '"',
    "\\",
    ":",
    ",",
    " ",
    "a",
    "4",
    "-",
    ".",
    "e",
    "true",
    "\n",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=80).map("".join))
def test_no_text_does_more_than_hold_no_object(text: str) -> None:
    found = read_object("{" + text, 0)
    assert found is None or 0 < found[1] <= len(text) + 1


@pytest.mark.parametrize("piece", PIECES)
def test_reading_time_grows_with_the_text_and_not_with_its_square(piece: str) -> None:
    chance = random.Random(piece)
    mixed = "".join(chance.choices([piece, "' ", '"'], k=100_000))
    for body in (piece * 100_000, mixed):
        short, long = ("{'a': " + body[: len(body) // share] for share in (10, 1))
        assert_linear(lambda text: read_object(text, 0), short, long)


@pytest.mark.parametrize(("lists", "read"), [(23, True), (24, False)])
def test_an_object_is_nested_so_deep_and_no_deeper(lists: int, read: bool) -> None:
    text = f'{{"a": {"[" * lists}{"]" * lists}}}'
    assert (read_object(text, 0) is not None) == read


@pytest.mark.parametrize("digits", [400, 401, 5000])
def test_a_number_may_have_any_length(digits: int) -> None:
    assert read_object(f'{{"a": {"1" * digits}}}', 0) is not None


@pytest.mark.parametrize("text", ["[,]", "[,,]", "[1,,]", "{,}", '{"a": 1,,}', '{"a": [1, ,]}'])
def test_only_one_comma_may_stand_after_the_last_item(text: str) -> None:
    assert read_object(f'{{"b": {text}}}', 0) is None


def test_a_line_that_is_continued_in_a_string_goes_on_without_a_break() -> None:
    found = read_object("{'a': 'one\\\ntwo'}", 0)
    assert found is not None
    assert found[0] == (("a", "onetwo"),)
