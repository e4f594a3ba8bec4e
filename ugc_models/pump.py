"""From a source of requests through an engine to answers, with never a batch in between."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Protocol

from ugc_models.engine.base import Engine, EngineOutput, EngineRequest

_LOOK_S = 1.0
"""Seconds after which the source is asked again, should its call have been missed."""


class Source(Protocol):
    """Where requests come from."""

    def next_request(self) -> EngineRequest | None:
        """Return a request that is ready, or None for none yet."""

    def exhausted(self) -> bool:
        """Whether no request will come any more."""


def answers(
    engine: Engine, source: Source, max_in_flight: int, wake: threading.Event
) -> Iterator[EngineOutput]:
    """EngineOutput all requests of a source, each as soon as it is finished.

    Args:
        engine: holds at most ``max_in_flight`` requests at once.
        source: asked whenever there is room.
        max_in_flight: bounds the memory of what is in work.
        wake: set by the source when it may have something new; also set here.

    Raises:
        Exception: the engine is beyond use. What was not answered is cancelled.
    """
    finished: deque[Future[EngineOutput]] = deque()
    in_flight: set[Future[EngineOutput]] = set()

    def done(future: Future[EngineOutput]) -> None:
        finished.append(future)
        wake.set()

    try:
        while True:
            wake.clear()
            while finished:
                future = finished.popleft()
                in_flight.discard(future)
                yield future.result()
            while len(in_flight) < max_in_flight and (request := source.next_request()) is not None:
                future = engine.submit(request)
                in_flight.add(future)
                future.add_done_callback(done)
            # The caller may have given the source something new while it held an answer.
            if not in_flight and source.exhausted():
                return
            if not finished:
                wake.wait(_LOOK_S)
    finally:
        for future in in_flight:  # the caller stopped: nobody waits for these
            future.cancel()
