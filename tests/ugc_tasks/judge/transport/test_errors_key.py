"""The key leaves every text it could be in, and other words stay."""

from __future__ import annotations

import time

import pytest

from ugc_tasks.judge.transport.errors import brief_message, without_key

KEY = "sk-canary-4cb1d8f0a7e2"


@pytest.mark.parametrize(
    "message", [f"key {KEY}!", "key sk-canar************a7e2", "key ***", f"key={KEY},{KEY}"]
)
def test_a_whole_or_masked_key_is_redacted(message: str) -> None:
    said = brief_message(message, KEY)
    assert "[redacted]" in said
    assert "canar" not in said
    assert "a7e2" not in said


def escaped(form: str) -> str:
    return "".join(form.format(ord(character)) for character in KEY)


@pytest.mark.parametrize(
    "echo",
    [
        KEY, KEY.upper(), KEY.replace("-", "%2D"), KEY.replace("-", "%252d"), escaped("%{:02X}"),
        escaped("\\u{:04x}"), escaped("\\\\u{:04X}"), escaped("\\x{:02x}"), escaped("&#{};"),
        escaped("&#x{:X};"), escaped("&amp;#{};"), KEY.replace("-", "\\-"),
        KEY.replace("-", "%2525252d"), KEY.replace("-", "\\" * 7 + "-"), escaped("&#0{};"),
        escaped("\\" * 7 + "u{:04x}"), escaped("&amp;amp;amp;#{};"), escaped("&#x000{:x};"),
    ],
    ids=lambda echo: echo[:12],
)  # fmt: skip
def test_every_occurrence_goes_however_it_is_escaped(echo: str) -> None:
    said = without_key(f"a {echo} b {echo}, {echo}{echo}.", KEY)
    assert said == "a [redacted] b [redacted], [redacted][redacted]."
    assert "[redacted]" in brief_message(f"({echo})", KEY)


def test_a_key_with_marks_of_patterns_in_it_is_text() -> None:
    key = "sk.(+)[a-z]*\\$"
    assert without_key(f"{key}sk.(+)", key) == "[redacted]sk.(+)"
    assert without_key("skx(+)[a-z]*\\$", key) == "skx(+)[a-z]*\\$"


def test_a_key_of_eight_characters_is_a_secret_and_one_of_seven_is_not() -> None:
    assert without_key("12345678", "12345678") == "[redacted]"
    assert without_key("1234567", "1234567") == "1234567"
    assert brief_message("word-567", "1234567") == "word-567"
    assert brief_message("word-5678 and 123456", "12345678") == "[redacted] and [redacted]"


@pytest.mark.parametrize("piece", ["\\", "s", "%25", "&amp;", "sk-canary", "s\\\\\\", "\\u00"])
def test_a_text_that_almost_has_the_key_takes_linear_time(piece: str) -> None:
    def took(times: int) -> float:
        text, started = piece * times, time.perf_counter()
        assert without_key(text, KEY) == text
        return time.perf_counter() - started

    took(100)
    short = min(took(4_000) for _ in range(3))
    assert min(took(32_000) for _ in range(3)) < 40 * short + 0.05  # quadratic: 64 times


def test_a_message_is_one_short_printable_line() -> None:
    said = brief_message("a\nb\x1b[31m " + "word " * 500, KEY, limit=80)
    assert len(said) == 80
    assert said.endswith("…")
    assert brief_message("x" * 80, KEY, limit=80) == "x" * 80
    assert said.startswith(r"a b\x1b[31m word")
    assert said.isprintable()


def test_a_placeholder_key_does_not_eat_ordinary_words() -> None:
    assert without_key("EMPTY handed", "EMPTY") == "EMPTY handed"
    assert brief_message("an EMPTY word", "EMPTY") == "an EMPTY word"
