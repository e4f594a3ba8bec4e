"""Prices come from a dated table, and the user's own goes before it."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest

from ugc_tasks.judge import judges
from ugc_tasks.judge.judges import known, price_of
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.settings import JudgeConfigError

PAPER_MODEL = paper_profile("Grade.").model
OWN = """
as_of = "2031-01-02"
batch_factor = 0.25
[models."my/model"]
input = 1
output = 4.5
[models."gpt-4o"]
input = 100
output = 0
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return path


def test_the_published_judge_has_a_price_with_a_date() -> None:
    price = price_of(PAPER_MODEL)
    assert price is not None
    assert datetime.date.fromisoformat(price.as_of)
    assert price.usd(1_000_000, 0) == price.input > 0
    assert price.usd(0, 1_000_000) == price.output > price.input
    assert price.usd(10, 10, batched=True) == price.usd(10, 10) / 2
    assert price.as_of in str(price)


def test_every_row_of_the_package_is_read() -> None:
    table = tomllib.loads(Path(judges.__file__).with_name("judges.toml").read_text())
    assert all(known(model) for model in table["models"])


def test_a_model_that_is_in_no_table_has_no_price(own: Path) -> None:
    assert price_of("gpt-4o-like") is None
    assert price_of("GPT-4O", own) is None


def test_a_batch_costs_the_whole_price_where_a_table_says_nothing_of_batches(
    tmp_path: Path,
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('as_of = "2031-01-02"\n[models.m]\ninput = 1\noutput = 1')
    price = price_of("m", path)
    assert price is not None
    assert price.usd(1_000_000, 0, batched=True) == price.usd(1_000_000, 0) == 1.0


def test_a_table_may_have_a_mebibyte(own: Path) -> None:
    own.write_text(OWN + "#" * ((1 << 20) - len(OWN)))
    assert price_of("my/model", own) is not None


def test_the_users_table_goes_first_and_ours_fills_what_it_lacks(own: Path) -> None:
    mine, changed, ours = (price_of(m, own) for m in ("my/model", "gpt-4o", PAPER_MODEL))
    assert mine is not None
    assert changed is not None
    assert (mine.input, mine.output, mine.as_of) == (1.0, 4.5, "2031-01-02")
    assert mine.batch_factor == 0.25
    assert changed.input == 100.0
    assert ours == price_of(PAPER_MODEL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("as_of = ", "Invalid value"),
        ("\xff", "utf-8"),
        ("", "as_of"),
        ('as_of = "2031-01-02"', "models"),
        ("[models.m]\ninput = 1\noutput = 1", "as_of"),
        ('as_of = "x"\n[models.m]\ninput = 1', "there is no 'output'"),
        ('as_of = "x"\n[models.m]\ninput = -1\noutput = 1', "-1 is no number"),
        ('as_of = "x"\n[models.m]\ninput = nan\noutput = 1', "is no number of 0 or more"),
        ('as_of = "x"\n[models.m]\ninput = true\noutput = 1', "is no number of 0 or more"),
        ('as_of = "x"\n[models.m]\ninput = "1"\noutput = 1', "is no number of 0 or more"),
        ('as_of = "x"\nbatch_factor = inf\n[models]', "inf is no number"),
        ('as_of = "x"\n[models]\nm = 3', "m is no table"),
        ("a = " + "[" * 100_000, "recursion"),
        ("#" * (1 << 20) + "\n", "larger"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence_that_names_it(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(JudgeConfigError) as caught:
        price_of("m", path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeConfigError, match=r"nowhere\.toml cannot be used \(No such file"):
        price_of("m", tmp_path / "nowhere.toml")
