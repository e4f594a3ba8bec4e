"""Counts of what was not answered, and the sentences on it."""

from __future__ import annotations

from typing import Any

import pytest

from ugc_models.run.outcomes import Outcomes, kind_of

LONG = "the engine refused it: the prompt (9000) is longer than the maximum model length of 8192"
MISSING = "the video cannot be read: the file does not exist"


def generation(error: str | None = None, *flags: str) -> dict[str, Any]:
    return {"error": error, "flags": flags}


def filled(*, ranks: int = 1) -> list[Outcomes]:
    """Return counts of 30 requests to one task and one to another, on each rank."""
    found = [Outcomes() for _ in range(ranks)]
    for rank, outcomes in enumerate(found):
        for number in range(30):
            error = LONG if number < 12 else MISSING if number == 12 else None
            flags = ["fewer_frames", "repetition"] if number == 20 else ["token_limit"]
            outcomes.note("videomme", 100 * rank + number, generation(error, *flags))
        outcomes.note("fine", 0, generation())
    return found


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LONG, "too long for max_model_len"),
        (MISSING, "a file that does not exist"),
        ("the task does not say what is asked: SystemExit: video path:/x does not exist",
         "a file that does not exist"),
        ("this model takes one video a request, not 12",
         "this model takes one video a request, not …"),
        ("the video cannot be read: damaged: 3 of 4", "the video cannot be read"),
    ],
)  # fmt: skip
def test_failures_are_told_apart_by_what_is_alike_in_many(error: str, kind: str) -> None:
    assert kind_of(error) == kind


def test_one_block_says_it_by_task_and_reason() -> None:
    assert filled()[0].lines() == [
        "videomme: 13 of 30 requests were not answered and count as wrong "
        "(12: too long for max_model_len; 1: a file that does not exist)",
        "videomme: of 30 requests these were answered on a part only "
        "(1: frames left out to fit max_model_len)",
    ]


def test_the_results_have_the_same_with_the_first_documents() -> None:
    assert filled()[0].facts() == {
        "videomme": {
            "requests": 30,
            "unanswered": 13,
            "reasons": {
                "too long for max_model_len": {"requests": 12, "documents": list(range(10))},
                "a file that does not exist": {"requests": 1, "documents": [12]},
            },
            "cut": {"fewer_frames": 1},
            "without_media": {"requests": 0, "documents": []},
        }
    }


def test_requests_without_media_are_counted_too() -> None:
    outcomes = Outcomes()
    for document in range(3):
        assert outcomes.without_media("worldsense", document) == document + 1
        outcomes.note("worldsense", document, generation())
    assert outcomes.lines() == [
        "worldsense: 3 of 3 requests have text alone: the task shows no media in them"
    ]
    both = Outcomes()
    for _ in range(2):
        both.add(*outcomes.totals())
    assert both.facts()["worldsense"]["without_media"] == {
        "requests": 6,
        "documents": [0, 1, 2, 0, 1, 2],
    }


def test_a_task_that_is_told_of_its_answers_counts_by_itself() -> None:
    [outcomes] = filled()
    outcomes.listens("videomme")
    assert (outcomes.facts(), outcomes.lines()) == ({}, [])


def test_how_many_failed_alike_is_known_at_each() -> None:
    outcomes = Outcomes()
    errors = [MISSING, None, LONG, MISSING]
    assert [outcomes.note("t", i, generation(e)) for i, e in enumerate(errors)] == [1, 0, 1, 2]


def test_ranks_add_up() -> None:
    both = Outcomes()
    for outcomes in filled(ranks=2):
        both.add(*outcomes.totals())
    counted = both.facts()["videomme"]
    assert (counted["requests"], counted["unanswered"], counted["cut"]) == (
        60,
        26,
        {"fewer_frames": 2},
    )
    assert counted["reasons"]["a file that does not exist"] == {
        "requests": 2,
        "documents": [12, 112],
    }
