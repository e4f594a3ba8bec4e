"""Ctrl-C and a judge: nothing new is sent, what is on the wire is kept, the signal goes on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.judge import stop_on_interrupt


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Leave this process's handler and hook as they were."""
    handler, hook = signal.getsignal(signal.SIGINT), sys.excepthook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)
    sys.excepthook = hook


def test_the_signal_stops_the_judge_and_goes_on_to_who_had_it(
    server: JudgeServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    let = threading.Event()

    def script(_: Asked) -> Act:
        let.wait(20)
        return act.scores()

    server.script = script
    judge = open_judge(concurrency=3)
    stop_on_interrupt(judge)
    stop_on_interrupt(judge)
    futures = [judge.submit(item) for item in clips(20)]
    server.wait_for(3)
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(signal.SIGINT)
    threading.Timer(0.3, let.set).start()
    judgments = [future.result(timeout=20) for future in futures]
    assert judge.interrupted
    assert len(server.requests) == sum(j.scores is not None for j in judgments) == 3
    assert {j.failure for j in judgments if not j.scores} == {
        "the run was interrupted before this was judged; run again to judge it"
    }
    late = judge.submit(clips(21)[-1]).result(timeout=20)
    assert "interrupted" in str(late.failure)
    capsys.readouterr()
    sys.excepthook(KeyboardInterrupt, caught.value, None)
    assert capsys.readouterr().err == (
        "interrupted while the judge was asked: what it answered is kept, the same command goes "
        "on\n"
    )
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt("3 of 5 are answered"), None)
    assert capsys.readouterr().err.startswith("3 of 5 are answered\ninterrupted while")
    sys.excepthook(ValueError, ValueError("another"), None)
    assert "ValueError: another" in capsys.readouterr().err


def test_a_second_one_waits_for_nothing(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = [act.hang()]
    judge = open_judge(concurrency=2, timeout=60.0)
    stop_on_interrupt(judge)
    futures = [judge.submit(item) for item in clips(5)]
    server.wait_for(2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    # The first one alone would wait ten seconds for the two that hang.
    assert all(future.result(timeout=8).failure for future in futures)


def test_a_judge_that_nobody_waits_for_sends_nothing_afterwards_and_keeps_tracebacks(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    hook = sys.excepthook
    judge = open_judge()
    stop_on_interrupt(judge)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert sys.excepthook is hook
    assert "interrupted" in str(judge.submit(clips(1)[0]).result(timeout=20).failure)
    assert not server.requests


def test_a_closed_judge_is_left_alone(open_judge: OpenJudge) -> None:
    judge = open_judge()
    stop_on_interrupt(judge)
    judge.close()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored(open_judge: OpenJudge) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    judge = open_judge()
    stop_on_interrupt(judge)
    signal.raise_signal(signal.SIGINT)
    assert not judge.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_installs_nothing(open_judge: OpenJudge) -> None:
    judge = open_judge()
    thread = threading.Thread(target=stop_on_interrupt, args=(judge,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
