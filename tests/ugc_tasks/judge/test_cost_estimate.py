"""Before anything is paid for: how many, how much, and by what that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.judge.cost import Estimate, Price, tell
from ugc_tasks.judge.settings import JudgeSettings

PRICE = Price(2.5, 10.0, "2031-01-01", batch_factor=0.5)


def said(*, price: Price | None = PRICE, **changed: Any) -> str:
    figures: dict[str, int] = {"needed": 999, "stored": 120, "prompt_tokens": 800_000}
    figures |= {name: changed.pop(name) for name in figures.keys() & changed.keys()}
    settings = JudgeSettings(Path("store"), **changed)
    return str(Estimate("paper/m/0123", settings, price, **figures))


def test_it_is_one_paragraph_with_all_that_decides() -> None:
    line = said()
    for part in (
        "paper/m/0123", "999 judgments are needed", "120 are stored", "879 are to be asked for",
        "800,000 tokens", "(estimated)", "about $2.22", "as of 2031-01-01",
    ):  # fmt: skip
        assert part in line
    assert "\n" not in line


def test_several_judgments_of_each_answer_are_announced_as_such() -> None:
    line = said(needed=2997, repeats=3)
    assert "2997 judgments are needed (3 of each answer), 120 are stored" in line
    assert "of each" not in said()


def test_batches_cost_what_the_table_says() -> None:
    assert "about $1.11" in said(batch=True)


def test_where_all_is_stored_nothing_is_to_be_paid() -> None:
    assert "nothing is to be paid for" in said(stored=999, prompt_tokens=0)


def test_a_price_that_is_not_known_is_not_guessed() -> None:
    line = said(price=None)
    assert "$" not in line
    assert "UGC_JUDGE_PRICES" in line


def test_a_budget_that_will_not_do_is_told_beforehand() -> None:
    assert "enough for about 395 of them" in said(budget=1.0)
    assert "the budget is $5" in said(budget=5.0)
    assert "enough" not in said(budget=5.0)


def test_what_is_told_is_one_harmless_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    tell("an endpoint said \x1b[2J\nand more")
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("judge: an endpoint said ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
