"""An engine that dies or hangs is started again, and the request that it dies of is set aside.

The deaths are real: a sampled request with a seed, prefilled in pieces, rewinds a random generator,
which PyTorch's CPU generator cannot do, and takes vLLM's engine process with it.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.asking import ask
from tests.support.engine import QUICK
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.local import LocalEngine
from ugc_models.engine.supervisor import EngineGivenUp, Supervisor

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PIECES = {
    **QUICK,
    "enable_chunked_prefill": True,
    "max_num_batched_tokens": 64,
    "max_num_seqs": 4,
}
"""vLLM arguments under which a long prompt is prefilled in pieces."""
LONG = " ".join(f"word{i}" for i in range(200))


def harmless(index: int, *, tokens: int = 8) -> EngineRequest:
    sampling = {"temperature": 0.0, "max_tokens": tokens, "ignore_eos": True}
    return EngineRequest(index, TURN.format(f"Question {index}?"), (), sampling)


def deadly(index: int) -> EngineRequest:
    sampling = {"temperature": 1.0, "seed": 1, "max_tokens": 8}
    return EngineRequest(index, TURN.format(LONG), (), sampling)


@pytest.mark.engine
class TestWithTheRealEngine:
    @pytest.fixture
    def supervisor(self, checkpoint: Path, request: pytest.FixtureRequest) -> Iterator[Supervisor]:
        """What the test says as a parameter is the patience; by default that of real runs."""
        patience = getattr(request, "param", 300.0)
        supervisor = Supervisor(partial(LocalEngine, str(checkpoint), PIECES), patience=patience)
        yield supervisor
        supervisor.close()

    def test_a_deadly_request_is_set_aside_and_all_others_are_answered(
        self, supervisor: Supervisor
    ) -> None:
        before = ask(supervisor, [harmless(i) for i in range(6)])
        requests = [harmless(i) for i in range(6)]
        requests.insert(2, deadly(9))
        answers = {answer.index: answer for answer in ask(supervisor, requests)}
        assert "died of it 2 times" in (answers[9].error or "")
        assert [answers[i].output_ids for i in range(6)] == [a.output_ids for a in before]
        assert all(answers[i].error is None for i in range(6))
        # Which suspect came last is chance: only now is the engine needed again for certain.
        assert ask(supervisor, [harmless(6)])[0].error is None
        assert supervisor.restarts == 2

    @pytest.mark.long
    @pytest.mark.parametrize("supervisor", [30.0], indirect=True)
    def test_one_that_hangs_is_ended_and_started_again(self, supervisor: Supervisor) -> None:
        [wanted] = ask(supervisor, [harmless(0, tokens=20)])
        for pid in supervisor._engine.processes():
            for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                process.send_signal(signal.SIGSTOP)
        [answer] = ask(supervisor, [harmless(0, tokens=20)])
        assert answer.error is None
        assert answer.output_ids == wanted.output_ids
        assert supervisor.restarts == 1


class Scripted:
    """An engine that does with each request what the test says.

    It answers it, dies of it, stops it as an engine does that is going away, or does nothing.

    It stands in where the real one would take half a minute for each death.
    """

    def __init__(self, behaviour: Callable[[EngineRequest], str], asked: list[int]) -> None:
        self._behaviour = behaviour
        self.asked = asked
        self._open: dict[Future[EngineOutput], EngineRequest] = {}
        self.at_once: list[int] = []
        self.closed = self.killed = False
        self._since = time.monotonic()

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        future: Future[EngineOutput] = Future()
        self._since = time.monotonic()
        self._open[future] = request
        self.at_once.append(len(self._open))
        self.asked.append(request.index)
        what = self._behaviour(request)
        if what == "answer":
            del self._open[future]
            future.set_result(EngineOutput(request.index, text=f"caption {request.index}"))
        elif what == "die":
            self._end()
        elif what == "stop":
            del self._open[future]
            future.cancel()
        return future

    def open(self) -> list[int]:
        """Return the numbers of what somebody still waits for."""
        return [r.index for future, r in self._open.items() if not future.cancelled()]

    def stalled(self) -> float:
        return time.monotonic() - self._since if self._open else 0.0

    def kill(self) -> None:
        self.killed = True
        self._end()

    def _end(self) -> None:
        while self._open:
            future, _ = self._open.popitem()
            if not future.cancelled():
                future.set_exception(RuntimeError("out of memory"))

    def decoding(self) -> str:
        return "scripted"

    def close(self) -> None:
        self.closed = True


class Stage:
    """Starts scripted engines and remembers them."""

    def __init__(self, behaviour: Callable[[EngineRequest], str]) -> None:
        self.engines: list[Scripted] = []
        self.failing_starts = 0
        self.tried: list[float] = []
        self.asked: list[int] = []
        self._behaviour = behaviour

    def start(self) -> Scripted:
        self.tried.append(time.monotonic())
        if self.engines and self.failing_starts:
            self.failing_starts -= 1
            raise RuntimeError("no memory free yet")
        self.engines.append(Scripted(self._behaviour, self.asked))
        return self.engines[-1]


@pytest.fixture
def supervise() -> Iterator[Callable[..., tuple[Supervisor, Stage]]]:
    made: list[Supervisor] = []

    def supervise(
        behaviour: Callable[[EngineRequest], str], **more: Any
    ) -> tuple[Supervisor, Stage]:
        stage = Stage(behaviour)
        made.append(Supervisor(stage.start, **{"wait": 0.01, **more}))
        return made[-1], stage

    yield supervise
    for supervisor in made:
        supervisor.close()


class TestSuspects:
    def test_are_tried_alone_and_the_innocent_are_answered(self, supervise: Any) -> None:
        """All five wait for each other; number 3 takes the engine along when it comes."""
        lonely = threading.Event()

        def behaviour(request: EngineRequest) -> str:
            if request.index == 3:
                lonely.set()
                return "die"
            return "answer" if lonely.is_set() else "wait"

        supervisor, stage = supervise(behaviour)
        answers = ask(supervisor, [harmless(i) for i in range(5)])
        assert [a.text for a in answers if a.index != 3] == [f"caption {i}" for i in (0, 1, 2, 4)]
        assert "died of it 2 times (out of memory); it was set aside" in answers[3].error
        assert ask(supervisor, [harmless(5)])[0].error is None
        assert len(stage.engines) == 3
        assert supervisor.restarts == 2
        assert max(count for engine in stage.engines[1:] for count in engine.at_once) == 1

    def test_new_requests_wait_until_the_suspects_are_through(self, supervise: Any) -> None:
        """Number 0 dies once; while it is tried again, what comes meanwhile is held back."""
        deaths = iter([True])
        tried_again = threading.Event()

        def behaviour(request: EngineRequest) -> str:
            if request.index:
                return "answer"
            if next(deaths, False):
                return "die"
            tried_again.set()
            return "wait"

        supervisor, stage = supervise(behaviour)
        suspect = supervisor.submit(harmless(0))
        assert tried_again.wait(60)
        other = supervisor.submit(harmless(1))
        last = supervisor.submit(harmless(2))
        assert not wait([other, last], timeout=0.3).done
        assert suspect.cancel()
        assert other.result(timeout=60).text == "caption 1"
        assert last.result(timeout=60).text == "caption 2"
        assert stage.engines[1].at_once[0] == 1

    def test_one_death_alone_is_forgiven(self, supervise: Any) -> None:
        deaths = iter([True])
        supervisor, _ = supervise(lambda _: "die" if next(deaths, False) else "answer")
        [answer] = ask(supervisor, [harmless(0)], timeout=60)
        assert answer.error is None
        assert supervisor.restarts == 1

    def test_so_is_an_engine_that_stops_by_itself(self, supervise: Any) -> None:
        stops = iter([True])
        supervisor, _ = supervise(lambda _: "stop" if next(stops, False) else "answer")
        [answer] = ask(supervisor, [harmless(0)], timeout=60)
        assert (answer.text, supervisor.restarts) == ("caption 0", 1)

    def test_a_dead_engine_is_not_started_for_what_nobody_waits_for(self, supervise: Any) -> None:
        """The only suspect is given up while the dead engine is cleared away."""
        deaths = iter([True])
        supervisor, stage = supervise(lambda _: "die" if next(deaths, False) else "answer")
        given_up: Future[bool] = Future()
        stage.engines[0].kill = lambda: given_up.set_result(suspect.cancel())
        suspect = supervisor.submit(harmless(0))
        assert given_up.result(timeout=60)
        time.sleep(0.3)
        assert len(stage.engines) == 1
        assert ask(supervisor, [harmless(1)])[0].text == "caption 1"
        assert stage.asked == [0, 1]

    def test_a_dead_engine_is_started_again_when_it_is_asked(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda request: "answer" if request.index else "die")
        [answer] = ask(supervisor, [harmless(0)])
        assert "was set aside" in answer.error
        time.sleep(0.3)
        assert supervisor.restarts == 1
        assert ask(supervisor, [harmless(1)])[0].text == "caption 1"
        assert [engine.closed for engine in stage.engines] == [True, True, False]
        assert supervisor.restarts == 2


class TestGivingUp:
    def test_deaths_with_answers_in_between_do_not_add_up(self, supervise: Any) -> None:
        """Each deadly request kills two engines; four of them are more than six deaths."""
        supervisor, stage = supervise(lambda request: "die" if request.index % 2 else "answer")
        for index in range(1, 9, 2):
            [deadly] = ask(supervisor, [harmless(index)])
            assert "died of it 2 times" in deadly.error
            assert ask(supervisor, [harmless(index + 1)])[0].text == f"caption {index + 1}"
        assert len(stage.engines) == 1 + 8

    def test_an_engine_that_dies_of_everything_ends_the_run_and_says_why(
        self, supervise: Any
    ) -> None:
        supervisor, stage = supervise(lambda _: "die")
        futures = [supervisor.submit(harmless(i)) for i in range(20)]
        wait(futures, timeout=60)
        errors = [future.exception() for future in futures if future.exception()]
        assert all(isinstance(error, EngineGivenUp) for error in errors)
        assert "out of memory" in str(errors[0])
        assert "Run the same command again" in str(errors[0])
        assert len(stage.engines) == 6
        with pytest.raises(EngineGivenUp):
            supervisor.submit(harmless(99)).result(timeout=60)

    def test_a_restart_is_tried_again(self, supervise: Any) -> None:
        deaths = iter([True])
        supervisor, stage = supervise(lambda _: "die" if next(deaths, False) else "answer")
        stage.failing_starts = 2
        assert ask(supervisor, [harmless(0)], timeout=60)[0].error is None
        assert (supervisor.restarts, stage.failing_starts) == (1, 0)

    def test_and_waited_for_twice_as_long_each_time(self, supervise: Any) -> None:
        deaths = iter([True])
        supervisor, stage = supervise(
            lambda _: "die" if next(deaths, False) else "answer", wait=0.2
        )
        stage.failing_starts = 2
        assert ask(supervisor, [harmless(0)], timeout=60)[0].error is None
        _, *again = stage.tried
        waits = [later - earlier for earlier, later in itertools.pairwise(again)]
        assert waits[0] >= 0.2 and waits[1] >= 0.4

    def test_one_that_fails_for_good_ends_the_run(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda _: "die")
        stage.failing_starts = 99
        with pytest.raises(EngineGivenUp, match="does not start again: no memory free yet"):
            supervisor.submit(harmless(0)).result(timeout=60)
        assert stage.failing_starts == 99 - 3

    def test_a_first_start_that_fails_is_the_caller_s(self) -> None:
        def start() -> Scripted:
            raise RuntimeError("no such checkpoint")

        with pytest.raises(RuntimeError, match="no such checkpoint"):
            Supervisor(start)


class TestHanging:
    def test_silence_counts_from_the_patience_on(self, supervise: Any) -> None:
        silent = iter([True])
        supervisor, stage = supervise(
            lambda _: "wait" if next(silent, False) else "answer", patience=0.2
        )
        [answer] = ask(supervisor, [harmless(0)], timeout=60)
        assert answer.error is None
        assert len(stage.engines) == 2
        # Asked to close, one that hangs would not, and would keep the GPU's memory.
        assert stage.engines[0].killed and stage.engines[0].closed

    def test_an_engine_that_owes_nothing_may_be_silent(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda _: "answer", patience=0.05)
        assert ask(supervisor, [harmless(0)])[0].error is None
        time.sleep(0.3)
        assert ask(supervisor, [harmless(1)])[0].error is None
        assert len(stage.engines) == 1


class TestLeaving:
    def test_what_was_given_up_does_not_count_as_a_death(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda r: "answer" if r.index else "wait")
        assert supervisor.submit(harmless(0)).cancel()
        assert ask(supervisor, [harmless(1)], timeout=60)[0].error is None
        assert len(stage.engines) == 1

    def test_what_was_given_up_is_taken_off_the_engine(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda _: "wait")
        futures = [supervisor.submit(harmless(n)) for n in range(3)]
        while len(stage.engines[0].open()) < 3:
            time.sleep(0.001)
        assert futures[1].cancel()
        assert stage.engines[0].open() == [0, 2]

    def test_what_was_given_up_before_its_turn_is_never_asked(self, supervise: Any) -> None:
        """Number 0 dies once and is tried again; the others wait for it."""
        deaths = iter([True])
        tried_again = threading.Event()

        def behaviour(request: EngineRequest) -> str:
            if request.index:
                return "answer"
            if next(deaths, False):
                return "die"
            tried_again.set()
            return "wait"

        supervisor, stage = supervise(behaviour)
        suspect = supervisor.submit(harmless(0))
        assert tried_again.wait(60)
        given_up, wanted = supervisor.submit(harmless(1)), supervisor.submit(harmless(2))
        assert given_up.cancel()
        assert suspect.cancel()
        assert wanted.result(timeout=60).text == "caption 2"
        assert stage.asked == [0, 0, 2]

    def test_closing_cancels_what_waits_behind_a_suspect_too(self, supervise: Any) -> None:
        deaths = iter([True])
        tried_again = threading.Event()

        def behaviour(request: EngineRequest) -> str:
            if next(deaths, False):
                return "die"
            tried_again.set()
            return "wait"

        supervisor, _ = supervise(behaviour)
        futures = [supervisor.submit(harmless(0))]
        assert tried_again.wait(60)
        futures += [supervisor.submit(harmless(n)) for n in (1, 2)]
        supervisor.close()
        assert all(future.cancelled() for future in futures)

    def test_closing_does_not_wait_for_a_restart(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda _: "die", wait=3600.0)
        stage.failing_starts = 1
        future = supervisor.submit(harmless(0))
        while len(stage.tried) < 2:
            time.sleep(0.001)
        supervisor.close()
        assert future.cancelled()
        assert len(stage.tried) == 2

    def test_closing_stops_the_engine_and_cancels_what_is_open(self, supervise: Any) -> None:
        supervisor, stage = supervise(lambda _: "wait")
        future = supervisor.submit(harmless(0))
        supervisor.close()
        assert future.cancelled()
        assert stage.engines[0].closed
