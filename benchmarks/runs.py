"""The ways from file to caption, each run over some clips and measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import fulldecode
from benchmarks.asking import asking
from benchmarks.engines import TINY, Metered, Paced
from benchmarks.loops import in_batches, one_by_one, reader
from benchmarks.memory import PeakMemory, busy_seconds, processor_seconds
from benchmarks.model import MeteredModel
from benchmarks.usage import Usage, usage
from ugc_models.media.sampling import Sampling
from ugc_models.testing.tiny_omni import build_tiny_omni

BATCH = 8
"""Clips of a batch, and places of the engine."""


@dataclass(frozen=True)
class Taken:
    """What a run took.

    Attributes:
        clips: how many.
        seconds: on the clock.
        cpu: processor seconds of all its processes.
        others: those that everybody else on the machine took meanwhile.
        memory: of all of them.
        use: of the engine.
        captions: in the order of the clips.
    """

    clips: int
    seconds: float
    cpu: float
    others: float
    memory: PeakMemory
    use: Usage
    captions: list[str] = field(repr=False)

    @property
    def rate(self) -> float:
        """Clips per second."""
        return self.clips / self.seconds


class Runs:
    """One engine with the tiny checkpoint, and the ways to bring clips to it.

    Args:
        folder: empty, for the checkpoint.
        frames, pixels: of a clip, and of a frame at most.
        generation: arguments of generation under lmms-eval's names.
    """

    def __init__(
        self, folder: Path, *, frames: int, pixels: int, generation: Mapping[str, Any]
    ) -> None:
        checkpoint = build_tiny_omni(folder / "checkpoint")
        media = Sampling(frames=frames, max_pixels=pixels)
        self._generation = generation
        self._asking = asking(checkpoint, media, generation)
        self._model = MeteredModel(
            model=str(checkpoint),
            frames=frames,
            max_pixels=pixels,
            store="none",
            decode_workers=os.cpu_count() or 1,
            max_in_flight=2 * BATCH,
            **TINY,
        )

    def ours(self, files: Sequence[Path], **generation: Any) -> Taken:
        """The lmms-eval model; ``generation`` over the arguments that all ways have."""
        arguments = {**self._generation, **generation}
        return self._run(files, lambda _: self._model.captions(files, arguments))

    def loop(self, files: Sequence[Path]) -> Taken:
        """Our reading code, here and now, and one caption after the other."""
        read = reader(self._asking)
        return self._run(files, lambda engine: one_by_one(engine, files, read))

    def batches(self, files: Sequence[Path]) -> Taken:
        """The same, eight at a time."""
        read = reader(self._asking)
        return self._run(files, lambda engine: in_batches(engine, files, read, BATCH))

    def full(self, files: Sequence[Path]) -> Taken:
        """One after the other with every frame decoded and kept."""
        read = fulldecode.reader(self._asking)
        return self._run(files, lambda engine: one_by_one(engine, files, read))

    @contextmanager
    def paced(self, seconds: float) -> Iterator[None]:
        """Put an engine that takes ``seconds`` a request in the place of the real one."""
        engine = Paced(BATCH, seconds)
        self._model.backend.instead = engine
        try:
            yield
        finally:
            self._model.backend.instead = None
            engine.close()

    def close(self) -> None:
        """Stop the engine."""
        self._model.clean()

    def _run(self, files: Sequence[Path], work: Callable[[Metered], list[str]]) -> Taken:
        engine = self._model.backend.engine()
        with PeakMemory() as memory:
            began, cpu, busy = time.perf_counter(), processor_seconds(), busy_seconds()
            captions = work(engine)
            seconds, cpu = time.perf_counter() - began, processor_seconds() - cpu
            others = max(busy_seconds() - busy - cpu, 0.0)
        # The model has asked for an engine of its own, with notes of its own.
        use = usage(self._model.backend.notes().requests)
        return Taken(len(files), seconds, cpu, others, memory, use, captions)
