"""What reading a clip costs, ours and others' ways side by side: ``python -m benchmarks.media``.

Each way runs in a fresh process, in turn with the others, several times; the table has the medians,
and ratios to decoding the stream alone, of the same rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from benchmarks.clips import Shape, clip_of
from benchmarks.table import RESULTS, Report, Row, machine
from benchmarks.ways import WAYS

PROJECT = Path(__file__).resolve().parents[1]
NAMES = {
    "stream": "stream decoded, nothing else (PyAV, 1 thread)",
    "ours": "read_clip: 32 small frames and the sound",
    "keep_all": "the benchmark's own: all frames kept, 32 picked",
    "qwen_omni_utils": "qwen_omni_utils, 32 small frames",
    "lmms_eval": "lmms-eval's read_video, 32 full-size frames",
}
PACKAGES = ("av", "numpy", "opencv-python-headless", "qwen-omni-utils", "decord", "lmms-eval")
Taken = dict[str, Any]


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the clips")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    parser.add_argument("--quick", action="store_true", help="one 8 s clip, once")
    options = parser.parse_args(arguments)
    seconds, rounds = (8.0, 1) if options.quick else (options.seconds, options.rounds)
    shapes = [Shape(seconds=seconds)]
    if not options.quick:
        shapes += [
            Shape(seconds=seconds, b_frames=0),
            Shape(seconds=seconds, keyint=60),
            Shape(seconds=seconds, keyint=30),
        ]
    rows = [row for at, shape in enumerate(shapes) for row in _rows(shape, rounds, full=at == 0)]
    report = Report(
        title=f"Reading a clip of {seconds:g} s, 1080x1920, 30 frames a second, H.264 and AAC",
        rows=rows,
        machine=machine(PACKAGES),
        notes=[
            f"Medians of {rounds}; ratios to decoding the stream alone.",
            "Memory is what is added to a process with its modules imported.",
            "OpenCV and lmms-eval decode on all cores: compare CPU seconds.",
        ],
    )
    print(report.text())
    for path in report.write("media-quick" if options.quick else "media", results):
        print(path)
    return report


def _rows(shape: Shape, rounds: int, *, full: bool) -> Iterator[Row]:
    path = clip_of(shape)
    kind = f"keyframe every {shape.keyint}, {shape.b_frames} B-frames"
    ways = list(WAYS) if full else ["stream", "ours"]
    taken: dict[str, list[Taken]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            taken[way].append(_run(way, path))
    base = taken["stream"]
    for way in ways:
        what = f"{NAMES[way]} [{kind}]" if not full or way in ("stream", "ours") else NAMES[way]
        missing = [each["missing"] for each in taken[way] if "missing" in each]
        if missing:
            yield Row(f"{what}: {missing[0]}", "CPU", "none")
            continue
        for measure, key, unit in (
            ("CPU", "cpu", "s"),
            ("clock", "wall", "s"),
            ("peak", "peak", "MiB"),
        ):
            value = statistics.median(each[key] for each in taken[way])
            # What a process holds besides makes ratios of memory to the small base meaningless.
            ratio = None if key == "peak" else _ratio(key, taken[way], base)
            yield Row(what, measure, value, unit, ratio)


def _ratio(key: str, ours: list[Taken], base: list[Taken]) -> float:
    return statistics.median(
        float(each[key] / one[key]) for each, one in zip(ours, base, strict=True)
    )


def _run(way: str, path: Path) -> Taken:
    """Measure one way once, in a process of its own."""
    if way == "keep_all" and (lack := _lacking_memory(path)):
        return {"missing": lack}
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.ways", way, str(path)],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        timeout=900,
    )
    if ran.returncode:
        return {"missing": f"died with exit code {ran.returncode}"}
    taken: Taken = json.loads(ran.stdout.splitlines()[-1])
    return taken


def _lacking_memory(path: Path) -> str | None:
    """Say so where keeping every frame of a file would take more memory than there is."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        needed = video.frames * video.width * video.height * 3
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return None if needed < 0.8 * free else f"needs {needed / 2**30:.0f} GiB of memory"


if __name__ == "__main__":
    main()
