"""A backend and its engine by hand, where vLLM would take half a minute to start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ugc_models.engine.base import EngineOutput, EngineRequest


class Hand:
    """A backend and its engine: it answers as the test says, at once or a moment later."""

    def __init__(self, answer: Callable[[EngineRequest], EngineOutput], later: float = 0.0) -> None:
        self._answer = answer
        self._later = later
        self.asked: list[EngineRequest] = []
        self.at_once = self.most_at_once = 0
        self.restarts = 3
        self.closed = 0

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        future: Future[EngineOutput] = Future()
        if self._later:
            threading.Timer(self._later, self._finish, (future, request)).start()
        else:
            self._finish(future, request)
        return future

    def _finish(self, future: Future[EngineOutput], request: EngineRequest) -> None:
        answer = self._answer(request)
        self.at_once -= 1
        future.set_result(answer)

    def engine(self) -> Hand:
        return self

    def decoding(self) -> str:
        return "by hand"

    def made_of(self) -> dict[str, Any]:
        return {"model": "by hand"}

    def close(self) -> None:
        self.closed += 1


def answered(request: EngineRequest) -> EngineOutput:
    return EngineOutput(
        request.index,
        f"caption {request.index}",
        finish_reason="stop",
        prompt_tokens=9,
        output_ids=(1, 2),
    )
