"""Variables of the environment that hold for what is started meanwhile, and no longer."""

from __future__ import annotations

import os

import pytest

from ugc_models.engine.process import environment


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGC_TEST_OLD", "before")
    monkeypatch.setenv("UGC_TEST_GONE", "before")
    monkeypatch.delenv("UGC_TEST_NEW", raising=False)


def now() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("UGC_TEST_")}


def test_are_set_and_unset_for_a_while() -> None:
    values = {"UGC_TEST_OLD": "changed", "UGC_TEST_NEW": "new", "UGC_TEST_GONE": None}
    with environment(values):
        assert now() == {"UGC_TEST_OLD": "changed", "UGC_TEST_NEW": "new"}
    assert now() == {"UGC_TEST_OLD": "before", "UGC_TEST_GONE": "before"}


def test_are_as_before_after_an_error_too() -> None:
    with pytest.raises(LookupError), environment({"UGC_TEST_OLD": "changed"}):
        raise LookupError
    assert now()["UGC_TEST_OLD"] == "before"


def test_one_that_is_not_there_can_be_unset() -> None:
    with environment({"UGC_TEST_NEW": None}):
        assert "UGC_TEST_NEW" not in now()
    assert "UGC_TEST_NEW" not in now()
