"""Requests go to the engine as they become ready, and answers come out as they are finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from ugc_models import pump
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.pump import answers


def request(index: int) -> EngineRequest:
    return EngineRequest(index, f"prompt {index}", None, None, None, {})


class Hand:
    """An engine that answers when the test says so."""

    def __init__(self) -> None:
        self.open: dict[int, Future[EngineOutput]] = {}
        self.asked: list[int] = []

    def submit(self, asked: EngineRequest) -> Future[EngineOutput]:
        self.asked.append(asked.index)
        self.open[asked.index] = Future()
        return self.open[asked.index]

    def answer(self, index: int) -> None:
        self.open.pop(index).set_result(EngineOutput(index, text=f"caption {index}"))

    def answer_when_asked(self, index: int) -> None:
        when_asked(self, index, lambda: self.answer(index))

    def decoding(self) -> str:
        return "by hand"

    def close(self) -> None:
        self.open.clear()


def when_asked(engine: Hand, index: int, action: Callable[[], None]) -> None:
    """Do it in another thread as soon as the engine has that request."""

    def wait() -> None:
        while index not in engine.open:
            time.sleep(0.001)
        action()

    threading.Thread(target=wait, daemon=True).start()


class AtOnce(Hand):
    """An engine that has every answer at once."""

    def submit(self, asked: EngineRequest) -> Future[EngineOutput]:
        future = super().submit(asked)
        self.answer(asked.index)
        return future


class Listed:
    """A source whose requests are all ready, up to ``open`` of them."""

    def __init__(self, indices: Sequence[int], *, closed: bool = False) -> None:
        self.ready = [] if closed else list(indices)
        self.later = list(indices) if closed else []

    def release(self) -> None:
        self.ready, self.later = self.later, []

    def next_request(self) -> EngineRequest | None:
        return request(self.ready.pop(0)) if self.ready else None

    def exhausted(self) -> bool:
        return not self.ready and not self.later


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not woken sleeps on: the second look comes too late for any test."""
    monkeypatch.setattr(pump, "_LOOK_S", 3600.0)


def test_all_are_answered_once_and_leave_in_the_order_in_which_they_are_finished() -> None:
    out = [a.index for a in answers(AtOnce(), Listed(range(20)), 4, threading.Event())]
    assert out == list(range(20))


def test_nothing_asked_is_nothing_answered() -> None:
    assert list(answers(AtOnce(), Listed([]), 4, threading.Event())) == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_than_may_be_in_flight_are_asked(at_once: int) -> None:
    engine = Hand()
    flow = answers(engine, Listed(range(7)), at_once, threading.Event())
    engine.answer_when_asked(0)
    assert next(flow).index == 0
    assert len(engine.asked) == at_once
    flow.close()  # type: ignore[attr-defined]  # it is a generator


def test_what_is_finished_first_comes_out_first() -> None:
    engine = Hand()
    flow = answers(engine, Listed(range(3)), 3, threading.Event())
    order = []
    for index in (2, 0, 1):
        engine.answer_when_asked(index)
        order.append(next(flow).index)
    assert order == [2, 0, 1]
    assert list(flow) == []


def test_a_request_that_becomes_ready_later_wakes_it() -> None:
    source, wake = Listed([5], closed=True), threading.Event()

    def ready() -> None:
        source.release()
        wake.set()

    threading.Timer(0.05, ready).start()
    assert [a.index for a in answers(AtOnce(), source, 1, wake)] == [5]


def test_a_call_that_is_missed_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "_LOOK_S", 0.01)
    source = Listed([5], closed=True)
    threading.Timer(0.05, source.release).start()
    assert [a.index for a in answers(AtOnce(), source, 1, threading.Event())] == [5]


def test_it_sleeps_while_there_is_nothing_to_do() -> None:
    """Counted are its looks at a source that has nothing until a moment later."""
    engine, source = Hand(), Listed([0, 1])
    looks: list[bool] = []
    next_request = source.next_request

    def counted() -> EngineRequest | None:
        looks.append(True)
        return next_request()

    source.next_request = counted  # type: ignore[method-assign]
    threading.Timer(0.3, lambda: engine.answer_when_asked(1)).start()
    threading.Timer(0.6, lambda: engine.answer_when_asked(0)).start()
    out = [a.index for a in answers(engine, source, 8, threading.Event())]
    assert out == [1, 0]
    assert len(looks) <= 8


def test_a_request_that_the_caller_adds_while_it_holds_an_answer_is_asked() -> None:
    source = Listed([0])
    out = []
    for answer in answers(AtOnce(), source, 1, threading.Event()):
        out.append(answer.index)
        if answer.index < 3:
            source.ready.append(answer.index + 1)
    assert out == [0, 1, 2, 3]


def test_what_nobody_waits_for_any_more_is_cancelled() -> None:
    engine = Hand()
    flow = answers(engine, Listed(range(3)), 3, threading.Event())
    engine.answer_when_asked(1)
    next(flow)
    flow.close()  # type: ignore[attr-defined]
    assert all(future.cancelled() for future in engine.open.values())


def test_an_engine_that_is_beyond_use_is_the_caller_s_to_hear_of() -> None:
    engine = Hand()
    flow = answers(engine, Listed([0]), 1, threading.Event())
    when_asked(engine, 0, lambda: engine.open[0].set_exception(RuntimeError("gone")))
    with pytest.raises(RuntimeError, match="gone"):
        next(flow)
