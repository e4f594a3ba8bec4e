"""What replies cost, and the budget."""

from __future__ import annotations

import threading

import pytest

from ugc_models.engine.base import EngineStopped
from ugc_models.gemini.cost import Meter, Tokens, price_of


def test_sound_and_thoughts_have_their_prices() -> None:
    price = price_of("gemini-2.5-flash")
    assert price is not None
    tokens = Tokens(prompt=1_000_000, output=100_000, thoughts=100_000, audio=400_000)
    assert price.usd(tokens) == pytest.approx(0.6 * 0.3 + 0.4 * 1.0 + 0.2 * 2.5)


def test_a_long_prompt_costs_more() -> None:
    price = price_of("models/gemini-2.5-pro")
    assert price is not None
    assert price.usd(Tokens(200_000, 0)) == pytest.approx(0.25)
    assert price.usd(Tokens(200_001, 1_000)) == pytest.approx(0.2 * 2.5 + 0.015, rel=1e-4)


@pytest.mark.parametrize("model", ["gemini-2.5-flash-preview", "gemini-2.5", "gemini-9-pro"])
def test_a_name_that_is_only_alike_has_no_price(model: str) -> None:
    assert price_of(model) is None
    assert "not known here" in Meter(model, budget=None, limit=None).forecast(5)


def test_numbered_versions_have_the_price_of_their_model() -> None:
    assert price_of("gemini-2.5-flash-001") == price_of("gemini-2.5-flash")


def test_what_a_run_may_cost_is_said_before() -> None:
    said = Meter("gemini-2.5-flash", budget=3.0, limit=None).forecast(1_000)
    assert said.startswith("1,000 requests to gemini-2.5-flash: about $5.75 if none is stored")
    assert said.endswith("as of 2026-07-02); the budget is $3")


def test_the_first_request_goes_alone_and_tells_how_prompts_are_counted() -> None:
    """A prompt that turned out twice as long as counted is expected to be so again."""
    meter = Meter("gemini-2.5-flash", budget=1.0, limit=100)
    inside = threading.Event()

    def other() -> None:
        with meter.reserve(1_000):
            inside.set()

    with meter.reserve(1_000) as first:
        assert first.most == pytest.approx((4_000 * 1.0 + 100 * 2.5) / 1e6)
        thread = threading.Thread(target=other)
        thread.start()
        assert not inside.wait(0.2)
        meter.note(first, Tokens(2_000, 50, 0, 0), "gemini-2.5-flash")
    thread.join(30)
    assert inside.is_set()
    with meter.reserve(1_000) as next_:
        assert next_.most == pytest.approx((2_100 * 1.0 + 100 * 2.5) / 1e6)


def test_what_nobody_tells_the_cost_of_counts_as_the_most() -> None:
    meter = Meter("gemini-2.5-flash", budget=0.0201, limit=1_000)
    for _ in range(3):
        with meter.reserve(1_000) as held:
            pass
    assert meter.spent == pytest.approx(3 * held.most)
    with pytest.raises(EngineStopped, match=r"the budget of .* is reached"), meter.reserve(1_000):
        pass
