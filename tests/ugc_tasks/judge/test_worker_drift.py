"""A judge that changes is said once, whatever comes after."""

from __future__ import annotations

import pytest

from ugc_tasks.judge.types import ChatReply
from ugc_tasks.judge.worker import JudgeDrift


def watched(*who: tuple[str | None, str | None]) -> None:
    witness = JudgeDrift()
    for model, fingerprint in who:
        witness.watch(ChatReply("{}", model=model, fingerprint=fingerprint))


@pytest.mark.parametrize("second", [("gpt-4o", "fp_2"), ("gpt-4o-mini", "fp_1"), ("gpt-4o", None)])
def test_another_model_or_fingerprint_is_said_once(
    caplog: pytest.LogCaptureFixture, second: tuple[str, str | None]
) -> None:
    watched(("gpt-4o", "fp_1"), second, ("gpt-4o", "fp_3"), ("gpt-4o", "fp_1"))
    (record,) = caplog.records
    assert "the judge changed" in record.getMessage()
    assert "gpt-4o fp_1" in record.getMessage()


def test_the_same_judge_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    watched(("gpt-4o", "fp_1"), ("gpt-4o", "fp_1"))
    assert not caplog.records
