"""What judging cost stands in every row, and its sum in the results."""

from __future__ import annotations

from typing import Any

from tests.support.grades import grades
from ugc_tasks.judge.types import Judgment, Usage
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.facts import describe_spent, total_spent
from ugc_tasks.results.rows import judged_row

SCORES = grades(4, 3, 5)


def judged(usage: Usage | None, *, stored: bool = False) -> Judgment:
    return Judgment("v", SCORES, usage=usage, stored=stored)


def paid(*judgments: Judgment) -> list[dict[str, Any]]:
    """Return what the rows of the clips have of their judgments."""
    rows = [
        judged_row(
            *("caption", "v", ModelAnswer("A caption."), judgment),
            judge={"label": "a judge", "estimate": False},
            reference="reference",
            clip=None,
            wanted=1,
        )
        for judgment in judgments
    ]
    return [each for row in rows for each in row["judge"]["judgments"]]


def told(*judgments: Judgment) -> str:
    return describe_spent(total_spent(paid(*judgments)))


def test_this_runs_money_stands_apart_from_that_of_earlier_ones() -> None:
    new = judged(Usage(700, 18, 0.00193))
    old = judged(Usage(600, 20, 0.5), stored=True)
    total = total_spent(paid(new, new, old, judged(None)))
    assert total == {
        "new": {"judgments": 2, "prompt_tokens": 1400, "completion_tokens": 36,
                "usd": 0.00386, "without_price": 0},
        "stored": {"judgments": 1, "prompt_tokens": 600, "completion_tokens": 20,
                   "usd": 0.5, "without_price": 0},
    }  # fmt: skip
    assert describe_spent(total) == (
        "$0.0039 for 2 judgments (1400 + 36 tokens) in this run, "
        "$0.5000 for 1 judgments (600 + 20 tokens) in earlier ones"
    )


def test_money_that_is_not_known_is_not_nothing() -> None:
    assert total_spent(paid(judged(Usage(7, 1, None))))["new"]["usd"] is None
    assert told(judged(Usage(7, 1, None))).startswith("an unknown sum for 1 judgments")
    mixed = told(judged(Usage(7, 1, None)), judged(Usage(7, 1, 0.25)))
    assert mixed.startswith("$0.2500 and 1 of unknown cost for 2 judgments")


def test_a_failure_that_cost_something_is_in_the_sum() -> None:
    failed = Judgment("v", failure="no object", usage=Usage(700, 9, 1.0))
    assert told(failed).startswith("$1.0000 for 1 judgments")


def test_repeats_are_judgments_each_and_those_on_disk_are_not_this_runs() -> None:
    parts = (
        Judgment("v", SCORES, usage=Usage(700, 18, 0.5), stored=True),
        Judgment("v", SCORES, usage=Usage(700, 18, 0.25)),
        Judgment("v", failure="no object", usage=Usage(700, 2, None)),
        Judgment("v", failure="401"),
    )
    assert told(Judgment("v", SCORES, repeats=parts), judged(None)) == (
        "$0.2500 and 1 of unknown cost for 2 judgments (1400 + 20 tokens) in this run, "
        "$0.5000 for 1 judgments (700 + 18 tokens) in earlier ones"
    )
    nothing = Judgment("v", failure="401", repeats=(parts[3], parts[3]))
    assert total_spent(paid(nothing))["new"]["judgments"] == 0


def test_repeats_that_cost_the_same_are_paid_for_each() -> None:
    parts = tuple(judged(Usage(700, 18, 0.25)) for _ in range(3))
    said = told(Judgment("v", SCORES, repeats=parts))
    assert said.startswith("$0.7500 for 3 judgments (2100 + 54 tokens) in this run")


def test_what_costs_nothing_is_known_to_cost_nothing() -> None:
    assert told(judged(Usage(700, 18, 0.0))).startswith("$0.0000 for 1 judgments (700 + 18 tokens)")


def test_where_nothing_was_paid_the_sum_says_so() -> None:
    assert told(judged(None)).startswith("$0.0000 for 0 judgments (0 + 0 tokens) in this run")
