"""Scores are named numbers that do not change; a caption's can be had by attribute."""

from __future__ import annotations

import pickle

import pytest

from ugc_tasks.judge.types import Scores, Usage


def test_a_captions_scores_are_given_in_order_and_had_by_attribute() -> None:
    scores = Scores(4, 3, 5)
    assert (scores.visual, scores.audio, scores.details) == (4, 3, 5)
    assert dict(scores) == {"visual": 4, "audio": 3, "details": 5}


def test_scores_of_another_question_are_had_by_name() -> None:
    scores = Scores(consistent=1.0)
    assert scores["consistent"] == 1.0
    assert list(scores) == ["consistent"]
    with pytest.raises(AttributeError, match="visual was not judged, only consistent"):
        _ = scores.visual
    with pytest.raises(KeyError):
        scores["visual"]


def test_a_zero_is_a_score_and_its_scores_are_not_nothing() -> None:
    assert Scores(match_score=0.0)
    with pytest.raises(ValueError, match="at least one"):
        Scores()


def test_scores_are_the_same_by_names_and_values() -> None:
    assert Scores(4, 3, 5) == Scores(details=5.0, audio=3.0, visual=4.0)
    assert len({Scores(4, 3, 5), Scores(details=5, audio=3, visual=4)}) == 1
    assert Scores(audio=3) != Scores(visual=3)
    assert Scores(audio=3) != Scores(3, 3, 3)


def test_scores_cannot_be_changed() -> None:
    scores = Scores(4, 3, 5)
    with pytest.raises(AttributeError):
        scores.visual = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        scores["visual"] = 5  # type: ignore[index]


def test_scores_are_copied_and_shown_as_what_they_are() -> None:
    scores = Scores(audio=3, match_score=0.5)
    assert pickle.loads(pickle.dumps(scores)) == scores  # noqa: S301
    assert repr(scores) == "Scores(audio=3, match_score=0.5)"


def test_tokens_and_dollars_are_added() -> None:
    assert Usage(700, 18, 0.25) + Usage(30, 5, 0.5) == Usage(730, 23, 0.75)


def test_what_is_not_known_is_not_nothing() -> None:
    assert Usage(1, 2) + Usage(3, 4) == Usage(4, 6, None)
    assert Usage(1, 2) + Usage(3, 4, 0.5) == Usage(1, 2, 0.5) + Usage(3, 4) == Usage(4, 6, 0.5)
    assert Usage(1, 2, 0.0) + Usage(3, 4) == Usage(4, 6, 0.0), "for nothing, and that is known"
