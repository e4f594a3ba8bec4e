"""The key leaves every text it could be in, and other words stay."""

from __future__ import annotations

import pytest

from ugc_tasks.judge.secret import brief_message, without_key

KEY = "sk-canary-4cb1d8f0a7e2"


@pytest.mark.parametrize(
    "message", [f"key {KEY}!", "key sk-canar************a7e2", "key ***", f"key={KEY},{KEY}"]
)
def test_a_whole_or_masked_key_is_redacted(message: str) -> None:
    said = brief_message(message, KEY)
    assert "[redacted]" in said
    assert "canar" not in said
    assert "a7e2" not in said


def test_a_message_is_one_short_printable_line() -> None:
    said = brief_message("a\nb\x1b[31m " + "word " * 500, KEY, limit=80)
    assert len(said) == 80
    assert said.startswith("a b?[31m word")
    assert said.isprintable()


def test_a_placeholder_key_does_not_eat_ordinary_words() -> None:
    assert without_key("EMPTY handed", "EMPTY") == "EMPTY handed"
    assert brief_message("an EMPTY word", "EMPTY") == "an EMPTY word"
