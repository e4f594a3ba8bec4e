"""The engine that takes notes, and the one that takes its time."""

from __future__ import annotations

from contextlib import closing

from benchmarks.engines import Metered, Paced
from benchmarks.usage import usage
from ugc_models.engine.base import EngineRequest


def request(index: int) -> EngineRequest:
    return EngineRequest(index, "prompt", None, None, None, {})


def test_a_paced_engine_answers_each_request_under_its_own_number() -> None:
    with closing(Paced(places=2, seconds=0.0)) as engine:
        futures = [engine.submit(request(index)) for index in range(5)]
        assert [future.result().index for future in futures] == [0, 1, 2, 3, 4]


def test_a_paced_engine_takes_its_time_and_has_no_more_places_than_it_says() -> None:
    with closing(Paced(places=2, seconds=0.1)) as engine:
        metered = Metered(engine)
        for future in [metered.submit(request(index)) for index in range(4)]:
            future.result()
    assert usage(metered.requests).seconds >= 0.2, "four requests need two turns on two places"


def test_notes_are_taken_of_every_request_and_the_engine_is_never_idle_between_them() -> None:
    with closing(Paced(places=1, seconds=0.05)) as engine:
        metered = Metered(engine)
        for future in [metered.submit(request(index)) for index in range(3)]:
            future.result()
    assert len(metered.requests) == 3
    assert usage(metered.requests).idle == 0.0
