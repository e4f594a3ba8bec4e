"""The memory of a run over a few clips and of one over many: ``python -m benchmarks.many``.

One clip under many names, no store, so that every name is read and captioned; the lmms-eval model
itself on the real engine.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.engines import prepare_for_cpu
from benchmarks.pipeline import PACKAGES
from benchmarks.table import RESULTS, Report, Row, machine
from benchmarks.tiktok import clips, linked, small_shapes

FRAMES, PIXELS, TOKENS = 32, 32 * 28 * 28, 4
MIB_OF_FRAMES = FRAMES * PIXELS * 3 / 2**20


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="3 and 12 clips")
    parser.add_argument("--few", type=int, default=50, help="clips of the first run (50)")
    parser.add_argument("--many", type=int, default=1000, help="clips of the second run (1000)")
    options = parser.parse_args(arguments)
    report = run(3, 12) if options.quick else run(options.few, options.many)
    print(report.text())
    for path in report.write("many", results):
        print(path)
    return report


def run(few: int, many: int) -> Report:
    """Return the figures of both runs, the larger one second, on the same engine.

    Raises:
        Unanswered: a clip got no caption.
    """
    prepare_for_cpu()
    from benchmarks.runs import Runs

    generation = {"temperature": 0.0, "max_new_tokens": TOKENS, "until": []}
    with tempfile.TemporaryDirectory(prefix="ugc-bench-") as scratch:
        names = linked(clips(small_shapes(), 1)[0], Path(scratch), many)
        runs = Runs(Path(scratch), frames=FRAMES, pixels=PIXELS, generation=generation)
        with closing(runs):
            runs.ours(names[:few])  # buffers grow to their size, code is loaded
            first, second = runs.ours(names[:few]).memory, runs.ours(names).memory
    rows = []
    for count, memory in ((few, first), (many, second)):
        what = f"{count:,} clips"
        rows += [
            Row(what, "peak, all processes", memory.peak, "MiB", memory.peak / first.peak),
            Row(what, "peak, the main process", memory.own_peak, "MiB",
                memory.own_peak / first.own_peak),
        ]  # fmt: skip
    for part, peak in enumerate(second.peaks(4), start=1):
        what = f"{many:,} clips, quarter {part} of the time"
        rows.append(Row(what, "peak, all processes", peak, "MiB", peak / first.peak))
    grown = (second.peak - first.peak) / (many - few)
    rows.append(Row("each clip more", "adds", 1024 * grown, "KiB"))
    return Report(
        title=f"Memory of a run over {few:,} and over {many:,} clips, the tiny checkpoint",
        rows=rows,
        machine=machine(PACKAGES),
        notes=[
            f"A clip's frames alone are up to {MIB_OF_FRAMES:.1f} MiB.",
            "Resident memory of all processes, the engine's included; shared pages count twice.",
            "Ratios to the smaller run, which was made before, after one that is not counted.",
        ],
    )


if __name__ == "__main__":
    main()
