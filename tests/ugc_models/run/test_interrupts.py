"""What Ctrl-C does in the process that gets it; whole runs: ``test_qwen_omni_ctrl_c.py``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from loguru import logger

from ugc_models.run.interrupts import Interrupts


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """The handler that was there is there again afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_before_there_is_something_to_finish_the_first_is_the_usual_one() -> None:
    with Interrupts("kept") as interrupts:
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
        assert not interrupts.asked


def test_the_first_asks_to_stop_and_the_second_is_the_usual_one() -> None:
    done: list[str] = []
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    with Interrupts("kept") as interrupts:
        interrupts.then(lambda: done.append("stopped"))
        assert not interrupts.asked
        press_ctrl_c()
        assert said == ["Interrupted: what is in flight is kept. Once more to stop at once.\n"]
        logger.remove(sink)
        assert interrupts.asked
        assert done == ["stopped"]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert done == ["stopped"]


def test_the_handler_before_is_there_again_afterwards() -> None:
    heard: list[int] = []

    def own(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, own)
    with Interrupts("kept") as interrupts:
        interrupts.then(lambda: None)
    press_ctrl_c()
    assert heard == [signal.SIGINT]
    assert not interrupts.asked


class Other:
    """A handler that has something of its own to stop."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.told.append("ended")

    def interrupted(self) -> None:
        self.told.append("interrupted")


def test_who_had_the_signal_before_may_stop_something_which_does_not_end_the_run() -> None:
    other = Other()
    signal.signal(signal.SIGINT, other)
    with Interrupts("kept") as interrupts, pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    with Interrupts("kept") as interrupts:
        interrupts.then(lambda: other.told.append("asked"))
        press_ctrl_c()
    press_ctrl_c()
    assert other.told == ["interrupted", "interrupted", "asked", "ended"]


def test_a_run_in_the_background_of_a_shell_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts("kept") as interrupts:
        interrupts.then(lambda: None)
        press_ctrl_c()
    assert not interrupts.asked
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_that_was_not_set_from_python_gives_way_to_python_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None is all that Python says of such a handler, and takes for none."""
    set_handler = signal.signal

    def set_over_a_foreign_one(number: int, handler: Any) -> None:
        set_handler(number, handler)

    monkeypatch.setattr(signal, "signal", set_over_a_foreign_one)
    with Interrupts("kept"):
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def enter() -> None:
        with Interrupts("kept"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
