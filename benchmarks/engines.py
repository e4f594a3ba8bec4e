"""Engines for measurements: one that takes notes, and one that takes its time."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from benchmarks.usage import Interval
from ugc_models.engine.base import Engine, EngineOutput, EngineRequest

TINY: dict[str, Any] = {
    "dtype": "float32",
    "max_model_len": 8192,
    "max_num_seqs": 8,
    "enforce_eager": True,
    "kv_cache_memory_bytes": 256 << 20,
    "skip_mm_profiling": True,
    "enable_prefix_caching": False,
    "disable_log_stats": True,
}
"""vLLM's arguments for the tiny checkpoint on a CPU: nothing is compiled or profiled."""


def prepare_for_cpu() -> None:
    """Set what vLLM reads from the environment; to be called before anything imports it."""
    for name, value in (
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        # A matrix of the tiny model is too small to be worth a second thread.
        ("OMP_NUM_THREADS", "1"),
        ("CUDA_VISIBLE_DEVICES", ""),
    ):
        os.environ.setdefault(name, value)


class Metered:
    """An engine that notes when each request began and ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests: list[Interval] = []

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Hand the request on."""
        begin = time.perf_counter()
        future = self._engine.submit(request)
        future.add_done_callback(lambda _: self.requests.append((begin, time.perf_counter())))
        return future

    def decoding(self) -> str:
        """Return what the engine says of itself."""
        return self._engine.decoding()

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()


class Paced:
    """An engine that takes a fixed time for each request and no processor, as one on a GPU does.

    Args:
        places: how many requests it works on at once; others wait.
        seconds: for each.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._seconds = seconds
        self._places = ThreadPoolExecutor(places, thread_name_prefix="paced")

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """EngineOutput when the time is over."""
        return self._places.submit(self._answer, request)

    def decoding(self) -> str:
        """Return that this is none."""
        return "no engine, a clock"

    def close(self) -> None:
        """Wait for what is in work."""
        self._places.shutdown()

    def _answer(self, request: EngineRequest) -> EngineOutput:
        time.sleep(self._seconds)
        return EngineOutput(request.index, text="done", finish_reason="stop", prompt_tokens=1)
