"""What several replies cost together."""

from __future__ import annotations

from ugc_tasks.judge.types import Usage


def test_tokens_and_dollars_are_added() -> None:
    assert Usage(700, 18, 0.25) + Usage(30, 5, 0.5) == Usage(730, 23, 0.75)


def test_what_is_not_known_is_not_nothing() -> None:
    assert Usage(1, 2) + Usage(3, 4) == Usage(4, 6, None)
    assert Usage(1, 2) + Usage(3, 4, 0.5) == Usage(1, 2, 0.5) + Usage(3, 4) == Usage(4, 6, 0.5)
    assert Usage(1, 2, 0.0) + Usage(3, 4) == Usage(4, 6, 0.0), "for nothing, and that is known"
