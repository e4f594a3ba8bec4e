"""An engine that is started again when it dies or hangs, without the clip that it dies of.

A dead engine does not say which request it died of. So all that were in flight become suspects:
after the restart each is tried alone, and one that is in flight at a second death is set aside with
the reason. The others are tried once more, and new requests wait that long. A dead engine is
started again when there is a request for it, not before.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ugc_models.engine.base import EngineOutput, EngineRequest, logger
from ugc_models.engine.local import LocalEngine

_log = logger(__name__)

DEATHS = 2
"""How many deaths a request may be in flight at before it is set aside."""
DEATHS_IN_A_ROW = 6
"""How many deaths without an answer in between it takes to give the engine up."""
STARTS = 3
"""How often a restart is tried: memory of a dead engine is not always free at once."""


class EngineGivenUp(RuntimeError):
    """The engine cannot be kept alive; nothing more comes out of it."""


@dataclass
class _Case:
    """A request on its way, and in how many deaths it was in flight."""

    request: EngineRequest
    future: Future[EngineOutput] = field(default_factory=Future)
    deaths: int = 0


class Supervisor:
    """An :class:`~ugc_models.engine.base.Engine` that outlives the engines it starts.

    Args:
        start: starts an engine; called here once, and again after each death. What it raises here
            is raised.
        patience: seconds after which an engine that owes answers and says nothing counts as hung.
        wait: seconds before a restart that failed is tried once more, doubled each time.
    """

    def __init__(
        self, start: Callable[[], LocalEngine], *, patience: float = 300.0, wait: float = 5.0
    ) -> None:
        self._start, self._patience, self._wait = start, patience, wait
        self.restarts = 0  # how often the engine was started again
        self._deaths_in_a_row = 0
        self._dead = False
        self._new: deque[_Case] = deque()
        self._suspects: deque[_Case] = deque()
        self._running: dict[Future[EngineOutput], _Case] = {}
        self._events: queue.SimpleQueue[_Case | Future[EngineOutput] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._engine = start()
        self._thread = threading.Thread(target=self._main, name="ugc-supervisor", daemon=True)
        self._thread.start()

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; raises in the future only when the engine was given up."""
        case = _Case(request)
        self._events.put(case)
        return case.future

    def decoding(self) -> str:
        """Return what the engine says of itself."""
        return self._engine.decoding()

    def close(self) -> None:
        """Stop watching, and the engine; what was asked and not answered is cancelled."""
        self._closed.set()
        self._events.put(None)
        self._thread.join()
        self._engine.close()

    def _main(self) -> None:
        try:
            while not self._closed.is_set():
                self._handle_event()
                if self._dead and self._is_asked():
                    self._restart()
                if not self._dead:
                    self._submit_what_may_run()
                    self._watch()
        except Exception as error:
            # Otherwise requests, those that come later too, would never get an answer.
            while not self._closed.is_set():
                for case in self._take_all():
                    _settle(case, error)
                self._handle_event()
        while not self._events.empty():  # what came last was not looked at any more
            event = self._events.get()
            if isinstance(event, _Case):
                self._new.append(event)
        for case in self._take_all():
            case.future.cancel()

    def _handle_event(self) -> None:
        try:
            event = self._events.get(timeout=min(1.0, self._patience / 4))
        except queue.Empty:
            return
        if isinstance(event, _Case):
            self._new.append(event)
        elif event is not None:
            self._finished(event)

    def _submit_what_may_run(self) -> None:
        while (case := self._next()) is not None:
            if case.future.cancelled():
                continue  # nobody waits for it any more
            future = self._engine.submit(case.request)
            self._running[future] = case
            future.add_done_callback(self._events.put)
            case.future.add_done_callback(partial(_cancel_too, future))

    def _next(self) -> _Case | None:
        """Return what may run: a suspect when nothing else does, else whatever is new."""
        if self._suspects:
            return None if self._running else self._suspects.popleft()
        if self._new and not any(case.deaths for case in self._running.values()):
            return self._new.popleft()
        return None

    def _finished(self, future: Future[EngineOutput]) -> None:
        case = self._running.pop(future, None)
        if case is None or case.future.cancelled():
            return  # of an engine that is gone, or nobody waits for it any more
        if future.cancelled():
            self._died(case, "it was stopped")
        elif (error := future.exception()) is not None:
            self._died(case, str(error))
        else:
            self._deaths_in_a_row = 0
            _settle(case, future.result())

    def _died(self, first: _Case, error: str) -> None:
        victims = [first, *self._running.values()]
        self._running.clear()
        self._deaths_in_a_row += 1
        for case in victims:
            case.deaths += 1
            if case.deaths < DEATHS:
                self._suspects.append(case)
            else:
                reason = f"the engine died of it {case.deaths} times ({error}); it was set aside"
                _settle(case, EngineOutput(case.request.index, error=reason))
        if self._deaths_in_a_row >= DEATHS_IN_A_ROW:
            raise EngineGivenUp(
                f"the engine died {self._deaths_in_a_row} times without answering once in between "
                f"({error}): its log says more. Run the same command again to go on"
            )
        _log.warning(
            "The engine died (%s) with %d requests in it; %d are tried again, one by one.",
            *(error, len(victims), len(self._suspects)),
        )
        self._engine.kill()
        self._engine.close()
        self._dead = True

    def _is_asked(self) -> bool:
        return any(not case.future.cancelled() for case in (*self._suspects, *self._new))

    def _restart(self) -> None:
        wait = self._wait
        for attempt in range(1, STARTS + 1):
            try:
                self._engine = self._start()
                self.restarts += 1
                self._dead = False
                return
            except Exception as error:
                if attempt == STARTS:
                    raise EngineGivenUp(f"the engine does not start again: {error}") from error
                _log.warning("The engine does not start (%s); once more in %g s.", error, wait)
            if self._closed.wait(wait):
                return
            wait *= 2

    def _watch(self) -> None:
        if self._running and self._engine.stalled() > self._patience:
            first = self._running.pop(next(iter(self._running)))
            self._died(first, f"it said nothing for {self._patience:g} s")

    def _take_all(self) -> list[_Case]:
        cases = [*self._running.values(), *self._suspects, *self._new]
        for kept in (self._running, self._suspects, self._new):
            kept.clear()
        return cases


def _cancel_too(inner: Future[EngineOutput], outer: Future[EngineOutput]) -> None:
    if outer.cancelled():
        inner.cancel()


def _settle(case: _Case, outcome: EngineOutput | Exception) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile: nobody waits for it any more
        if isinstance(outcome, EngineOutput):
            case.future.set_result(outcome)
        else:
            case.future.set_exception(outcome)
