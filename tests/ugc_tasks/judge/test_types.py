"""Tokens and dollars are added; what is not known is not nothing."""

from __future__ import annotations

from ugc_tasks.judge.types import Usage, total_usage


def test_tokens_and_dollars_are_added() -> None:
    assert total_usage([Usage(700, 18, 0.25), None, Usage(30, 5, 0.5)]) == Usage(730, 23, 0.75)
    assert total_usage([None, None]) is None


def test_what_is_not_known_is_not_nothing() -> None:
    assert total_usage([Usage(1, 2), Usage(3, 4)]) == Usage(4, 6, None)
    assert total_usage([Usage(1, 2), Usage(3, 4, 0.5)]) == Usage(4, 6, 0.5)
    assert total_usage([Usage(1, 2, 0.5), Usage(3, 4)]) == Usage(4, 6, 0.5)
    assert total_usage([Usage(1, 2, 0.0), Usage(3, 4)]) == Usage(4, 6, 0.0), "that is known"
