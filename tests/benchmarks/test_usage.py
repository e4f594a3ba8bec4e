"""How busy an engine was, from when its requests began and ended."""

from __future__ import annotations

import pytest

from benchmarks.usage import usage


def test_an_engine_with_a_request_at_all_times_is_never_idle() -> None:
    assert usage([(0.0, 2.0), (2.0, 5.0)]).idle == 0.0


def test_the_gaps_between_requests_are_idle_time() -> None:
    assert usage([(0.0, 1.0), (3.0, 4.0)]).idle == pytest.approx(0.5)


def test_a_request_within_another_one_fills_no_gap() -> None:
    assert usage([(0.0, 4.0), (1.0, 2.0), (6.0, 8.0)]).idle == pytest.approx(0.25)


def test_the_order_in_which_requests_end_does_not_matter() -> None:
    assert usage([(6.0, 8.0), (1.0, 2.0), (0.0, 4.0)]) == usage(
        [(0.0, 4.0), (1.0, 2.0), (6.0, 8.0)]
    )


def test_time_counts_from_the_first_request_to_the_last_answer() -> None:
    assert usage([(10.0, 12.0), (11.0, 15.0)]).seconds == 5.0


def test_requests_in_flight_are_averaged_over_that_time() -> None:
    assert usage([(0.0, 4.0), (0.0, 2.0)]).mean_in_flight == pytest.approx(1.5)


def test_an_engine_that_was_never_asked_has_no_usage() -> None:
    with pytest.raises(ValueError, match="never asked"):
        usage([])
