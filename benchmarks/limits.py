"""What the parts of the pipeline can do by themselves, and which of them holds the others up."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking import Asking
from benchmarks.loops import Unanswered
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine, EngineRequest
from ugc_models.media.clip import read_clip

_BUSY = 90.0
"""Per cent from which on a GPU counts as fully used."""


@dataclass(frozen=True)
class Limits:
    """Clips per second of each part alone, None where it was not measured."""

    decoding: float
    """All decode workers together."""
    preprocessing: float
    """The checkpoint's processor, one thread."""
    engine: float
    """The engine with every clip read beforehand, its preprocessing included."""
    gpu_busy: float | None
    """Per cent, meanwhile."""

    def bottleneck(self) -> str:
        """Say in words which part is the slowest."""
        if self.decoding < self.engine:
            return f"decoding, at {self.decoding:.2f} clips/s: more cores, or decode_workers"
        if self.gpu_busy is not None and self.gpu_busy >= _BUSY:
            return f"the GPU, busy for {self.gpu_busy:.0f} % of the time"
        if self.engine < 1.5 * self.preprocessing:
            return (
                f"preprocessing beside the engine, {self.preprocessing:.2f} clips/s a thread: "
                "renderer_num_workers"
            )
        return f"the engine, at {self.engine:.2f} clips/s with every clip read beforehand"


def decode_rate(clips: Sequence[Path], asking: Asking, workers: int) -> float:
    """Return how many clips a second worker processes read, their start not counted."""
    with DecodePool(workers) as pool, ThreadPoolExecutor(workers) as threads:

        def read(path: Path) -> None:
            pool.read(path, asking.media, sound=True)

        shortest = min(clips, key=lambda path: path.stat().st_size)
        list(threads.map(read, [shortest] * workers))
        started = time.perf_counter()
        list(threads.map(read, clips))
        return len(clips) / (time.perf_counter() - started)


def preprocess_rate(checkpoint: Path, requests: Sequence[EngineRequest]) -> float:
    """Return how many clips a second of processor time the checkpoint's processor prepares.

    What vLLM does with it beforehand and afterwards comes on top.
    """
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint)

    def prepare(request: EngineRequest) -> None:
        # The one name is vLLM's, the processor has another for it and would warn.
        options = {k: v for k, v in request.processor.items() if k != "second_per_grid_ts"}
        processor(text=[request.prompt], videos=[request.frames], audio=[request.sound],
                  return_tensors="pt", **options)  # fmt: skip

    prepare(requests[0])
    started = time.process_time()
    for request in requests:
        prepare(request)
    return len(requests) / (time.process_time() - started)


def engine_rate(engine: Engine, requests: Sequence[EngineRequest]) -> float:
    """Return how many clips a second come out of an engine that has all of them at hand.

    Raises:
        Unanswered: one of them has no caption.
    """
    started = time.perf_counter()
    for future in [engine.submit(request) for request in requests]:
        answer = future.result()
        if answer.error is not None:
            raise Unanswered(f"request {answer.index}: {answer.error}")
    return len(requests) / (time.perf_counter() - started)


def read_all(clips: Sequence[Path], asking: Asking) -> list[EngineRequest]:
    """Return requests about clips, read by as many threads as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        read = threads.map(lambda path: read_clip(path, asking.media), clips)
        return [asking.request(index, clip) for index, clip in enumerate(read)]
