"""Whatever a text holds, it is shown as one harmless line."""

from __future__ import annotations

import ast
import io
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_tasks.common import display
from ugc_tasks.common.display import UserError, say, say_json, shown, shown_line

HOSTILE = {
    "an escape sequence": ("a\x1b[2Jb", r"a\x1b[2Jb"),
    "an escape sequence of one byte": ("a\x9b2Jb", r"a\x9b2Jb"),
    "a backspace": ("a\x08b", r"a\x08b"),
    "delete": ("a\x7fb", r"a\x7fb"),
    "a null": ("a\x00b", r"a\x00b"),
    "the right-to-left override": ("a\u202eb", r"a\u202eb"),
    "an isolate": ("a\u2066b\u2069", r"a\u2066b\u2069"),
    "the right-to-left mark": ("a\u200fb", r"a\u200fb"),
    "the Arabic letter mark": ("a\u061cb", r"a\u061cb"),
    "a space of no width": ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
    "a joiner": ("a\u200db\u2060", r"a\u200db\u2060"),
    "a soft hyphen": ("a\u00adb", r"a\xadb"),
    "a tag": ("a\U000e0041b", r"a\U000e0041b"),
    "a variation selector": ("a\ufe0fb\U000e0100", r"a\ufe0fb\U000e0100"),
    "a filler": ("a\u3164b\u115f\u1160\uffa0\u2800", r"a\u3164b\u115f\u1160\uffa0\u2800"),
    "a lone surrogate": ("a\ud800b", r"a\ud800b"),
    "a file name that is no UTF-8": (b"a\xffb".decode("utf-8", "surrogateescape"), r"a\udcffb"),
    "a line break": ("a\nb", "a b"),
    "a carriage return": ("a\r\nb\rc", "a b c"),
    "a tab": ("a\tb\vc\fd", "a b c d"),
    "Unicode's line breaks": ("a\u2028b\u2029c\x85d\x1ce", "a b c d e"),
    "a blank line": ("a\n\n \n b", "a b"),
    "spaces that fill a line": (f"a{' ' * 80}b", "a b"),
    "wide spaces": ("a\u3000\u00a0b", "a b"),
    "spaces around it": (" \n a \t", "a"),
    "nothing odd": ("Ein Öl – 漢字 👍 «да» / %s {x}", "Ein Öl – 漢字 👍 «да» / %s {x}"),
}


@pytest.mark.parametrize(("text", "line"), HOSTILE.values(), ids=HOSTILE)
def test_a_foreign_text_is_one_harmless_line(text: str, line: str) -> None:
    assert shown(text) == line


@pytest.mark.parametrize(
    "blank",
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180d\u180f\u2800\u3164\ufe00\ufe0f\uffa0"
    "\U000e0100\U000e01ef",
    ids=ascii,
)
def test_a_character_that_shows_nothing_is_written_as_its_escape(blank: str) -> None:
    assert shown(f"a{blank}b") == f"a{ascii(blank)[1:-1]}b"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 500) == "x" * 500
    assert shown("x" * 501) == "x" * 499 + "…"
    assert shown("\x1b" * 500, 10) == r"\x1b\x1b\…"
    assert shown("abc" + " " * 10, 3) == "abc"
    assert shown("abcd", 3) == "ab…"


def test_what_is_no_text_is_shown_as_its_text() -> None:
    assert shown(ValueError("bad\nname")) == "bad name"
    assert shown(None) == "None"


@given(st.text(st.characters(), max_size=60), st.integers(1, 40))
def test_no_text_escapes_its_line(text: str, limit: int) -> None:
    for line in (shown(text, limit), shown_line(text, limit)):
        assert len(line) <= limit
        assert len(f"{line}|".splitlines()) == 1
        line.encode("utf-8")
        assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_lines_of_ours_keep_the_spaces_of_their_columns() -> None:
    assert shown_line("PI-1     4.0  \x1b[0m") == r"PI-1     4.0  \x1b[0m"
    assert shown_line("PI-1 \n PI-2     5.0") == "PI-1 PI-2     5.0"
    assert (shown_line("abc", 3), shown_line("abcdef", 3)) == ("abc", "ab…")


def test_what_is_printed_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = io.StringIO()
    say("one\ntwo", "three\x1b[31m")
    say("four\u2028", file=elsewhere)
    display.complain("five\r")
    assert capsys.readouterr() == ("one two\nthree\\x1b[31m\n", "five \n")
    assert elsewhere.getvalue() == "four \n"


def test_without_a_stderr_nothing_of_it_lands_in_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    display.complain("a warning")
    assert capsys.readouterr().out == ""


def test_json_is_plain_ascii_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    value = {"id\x1b": "a\u202e\x7f\x9b\u2028\ud800é\n"}
    say_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert all(" " <= c <= "~" or c == "\n" for c in out)
    with pytest.raises(ValueError, match="JSON"):
        say_json(float("inf"))


def test_what_is_logged_is_harmless_whoever_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    log = display.logger("ugc_tasks.somewhere")
    assert display.logger("ugc_tasks.somewhere").filters == log.filters, "added once"
    try:
        raise ValueError("one\x1b[31m\u202e")
    except ValueError as error:
        log.exception("state %s: %s", "in\nprogress", error)
    assert caplog.messages == [r"state in progress: one\x1b[31m\u202e"]
    formatted = logging.Formatter("%(message)s").format(caplog.records[0])
    assert formatted.endswith(r"ValueError: one\x1b[31m\u202e")
    assert "\x1b" not in formatted
    assert "\u202e" not in formatted


def test_an_error_for_the_user_is_one_harmless_sentence() -> None:
    error = UserError("\x1b]0;title\x07: no file\nof answers; " + "id " * 5_000)
    assert str(error).startswith(r"\x1b]0;title\x07: no file of answers; id id")
    assert len(str(error)) == 4_000


# --- everything goes through it -------------------------------------------------------------------

PROJECT = Path(__file__).parents[3]
# base: the engine's own way of making messages harmless; register: at interpreter start, its own
# words
SHOWING = {"display.py", "register.py", "main.py", "base.py"}
OWN_WORDS = {"manifest.py"}  # loguru, and nothing foreign


def modules() -> list[Path]:
    """Return the modules whose output a user sees: all but those that make data and checkpoints."""
    found = [p for name in ("ugc_tasks", "ugc_models") for p in (PROJECT / name).rglob("*.py")]
    return [p for p in found if not {"sample", "testing"} & set(p.parts)]


def test_nothing_is_printed_or_logged_past_it() -> None:
    past = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and path.name not in SHOWING:
                called = ast.unparse(node.func)
                if called in {"print", "logging.getLogger", "sys.stdout.write", "sys.stderr.write"}:
                    past.append(f"{path}:{node.lineno}: {called}")
            if isinstance(node, ast.ImportFrom) and node.module == "loguru":
                patched = ".patch(harmless_record)" in path.read_text()
                if not patched and path.name not in OWN_WORDS:
                    past.append(f"{path}:{node.lineno}: loguru")
    assert past == []
    assert len(modules()) > 100


def test_every_error_that_a_user_reads_is_one() -> None:
    from ugc_tasks.common.files import DataError
    from ugc_tasks.judge.cache import JudgeStoreError
    from ugc_tasks.judge.check import JudgeUnreachableError
    from ugc_tasks.judge.protocol.profiles import UnknownProfileError
    from ugc_tasks.judge.settings import JudgeConfigError

    for error in (
        DataError,
        UnknownProfileError,
        JudgeConfigError,
        JudgeStoreError,
        JudgeUnreachableError,
    ):
        assert issubclass(error, UserError)
        assert str(error("a\x1b[31m\nb")) == r"a\x1b[31m b"
