"""What vLLM, libav, servers and file names say is one harmless line."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.captions import Generation
from ugc_models.engine.base import harmless_record, logger, shown
from ugc_models.engine.server.client import RemoteError, RetryableError

HOSTILE = "a\x1b[2J\u202eb\n\t c\u2028d\ud800\u200b\x9b"
HARMLESS = r"a\x1b[2J\u202eb c d\ud800\u200b\x9b"


def test_a_foreign_text_is_one_harmless_line() -> None:
    assert shown(HOSTILE) == HARMLESS
    assert shown(ValueError(" é 漢 \n")) == "é 漢"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 300) == "x" * 300
    assert shown("x" * 301) == "x" * 299 + "…"
    assert shown("\x1b" * 4, 8) == r"\x1b\x1…"


@given(st.text(st.characters(), max_size=60), st.integers(1, 40))
def test_no_text_escapes_its_line(text: str, limit: int) -> None:
    line = shown(text, limit)
    assert len(line) <= limit
    assert line.isprintable()


def test_what_is_logged_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("ugc_models.somewhere")
    assert logger("ugc_models.somewhere").filters == log.filters, "added once"
    log.warning("%s; once more", HOSTILE)
    assert caplog.messages == [f"{HARMLESS}; once more"]
    record: dict[str, object] = {"message": HOSTILE}
    harmless_record(record)
    assert record["message"] == HARMLESS


@pytest.mark.parametrize(
    "name",
    ["engine.supervisor", "engine.positions", "engine.server.remote", "store"],
)
def test_the_package_logs_so(name: str, caplog: pytest.LogCaptureFixture) -> None:
    import importlib

    importlib.import_module(f"ugc_models.{name}")
    logging.getLogger(f"ugc_models.{name}").error(HOSTILE)
    assert caplog.messages == [HARMLESS]


def test_reasons_and_errors_are_harmless_wherever_they_are_shown() -> None:
    told = Generation(error=HOSTILE, sound_missing=HOSTILE)
    assert (told.error, told.sound_missing) == (HARMLESS, HARMLESS)
    assert Generation().error is None
    assert str(RemoteError(HOSTILE)) == str(RetryableError("away", HOSTILE)) == HARMLESS
