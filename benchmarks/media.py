"""What reading a clip costs, ours and others' ways side by side: ``python -m benchmarks.media``.

Each way runs in a fresh process, in turn with the others, several times; the table has the medians,
and ratios to decoding the stream alone, of the same rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.clips import clip_of
from benchmarks.report import RESULTS, Report, Row, machine

FRAMES, PIXELS = 32, 100_352
ENCODES = ((250, 3), (250, 0), (60, 3), (30, 3))  # frames between keyframes, B-frames in a row

PACKAGES = ("av", "numpy", "opencv-python-headless", "qwen-omni-utils", "decord", "lmms-eval")

Way = Callable[[str], object]
Taken = dict[str, Any]


def stream() -> Way:
    """stream decoded, nothing else (PyAV, 1 thread)"""
    import av

    def run(path: str) -> None:
        with av.open(path) as container:
            video = container.streams.video[0]
            video.codec_context.thread_count = 1
            for _ in container.decode(video):
                pass

    return run


def ours() -> Way:
    """read_clip: 32 small frames and the sound"""
    from ugc_models.media.clip import read_clip

    return read_clip


def keep_all() -> Way:
    """the benchmark's own: all frames kept, 32 picked, no sound"""
    import av
    import cv2
    import numpy as np
    import psutil

    def run(path: str) -> object:
        with av.open(path) as container:
            video = container.streams.video[0]
            needed = video.frames * video.width * video.height * 3
        if needed > 0.8 * psutil.virtual_memory().available:
            raise MemoryError(f"needs {needed / 2**30:.0f} GiB of memory")
        capture = cv2.VideoCapture(path)
        frames = []
        while (read := capture.read())[0]:
            frames.append(read[1])
        capture.release()
        picked = [frames[at] for at in np.linspace(0, len(frames) - 1, FRAMES, dtype=int)]
        height, width = picked[0].shape[:2]
        ratio = min(1.0, (PIXELS / (width * height)) ** 0.5)
        size = (int(width * ratio) // 2 * 2, int(height * ratio) // 2 * 2)
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in picked])

    return run


def qwen_omni_utils() -> Way:
    """qwen_omni_utils, 32 small frames, no sound"""  # for that it wants an ffmpeg program
    if importlib.util.find_spec("decord"):  # torchcodec may not load, torchvision reads no videos
        os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")
    from qwen_omni_utils import process_mm_info

    def run(path: str) -> object:
        video = {"type": "video", "video": path, "nframes": FRAMES, "max_pixels": PIXELS}
        return process_mm_info([{"role": "user", "content": [video]}], use_audio_in_video=False)

    return run


def lmms_eval() -> Way:
    """lmms-eval's read_video, 32 full-size frames, no sound"""
    from lmms_eval.models.model_utils.load_video import read_video

    return lambda path: read_video(path, num_frm=FRAMES)


WAYS: dict[str, Callable[[], Way]] = {
    way.__name__: way for way in (stream, ours, keep_all, qwen_omni_utils, lmms_eval)
}


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one 8 s clip, once")
    quick = parser.parse_args(arguments).quick
    seconds, rounds, encodes = (8.0, 1, ENCODES[:1]) if quick else (60.0, 3, ENCODES)
    return Report(
        title=f"Reading a clip of {seconds:g} s, 1080x1920, 30 frames a second, H.264 and AAC",
        rows=[row for encode in encodes for row in _rows(seconds, *encode, rounds)],
        machine=machine(PACKAGES),
        notes=[
            f"Medians of {rounds}; ratios to decoding the stream alone.",
            "Memory is what is added to a process with its modules imported.",
            "OpenCV and lmms-eval decode on all cores: compare CPU seconds.",
        ],
    ).publish("media-quick" if quick else "media", results)


def _rows(seconds: float, gop: int, b_frames: int, rounds: int) -> Iterator[Row]:
    path = clip_of(seconds, gop=gop, b_frames=b_frames)
    ways = WAYS if (gop, b_frames) == ENCODES[0] else ("stream", "ours")
    taken: dict[str, list[Taken]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, each in taken.items():
            each.append(in_own_process(WAYS[way], path))
    for way, own in taken.items():
        what = f"{WAYS[way].__doc__} [keyframe every {gop}, {b_frames} B-frames]"
        missing = [each["missing"] for each in own if "missing" in each]
        if missing:
            yield Row(f"{what}: {missing[0]}", "CPU", "none")
            continue
        for key, unit in (("CPU", "s"), ("clock", "s"), ("peak", "MiB")):
            ratios = [each[key] / one[key] for each, one in zip(own, taken["stream"], strict=True)]
            # What a process holds besides makes ratios of memory to the small base meaningless.
            ratio = None if key == "peak" else statistics.median(ratios)
            yield Row(what, key, statistics.median(each[key] for each in own), unit, ratio)


def in_own_process(way: Callable[[], Way], path: Path) -> Taken:
    """Measure one way once, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(measure, way, path).result()
        except BrokenExecutor:
            return {"missing": "its process died"}


def measure(way: Callable[[], Way], path: Path) -> Taken:
    """Run a way here and return what it took, or ``missing``: what it lacks."""
    try:
        run = way()
    except ImportError as error:
        return {"missing": f"not installed: {error.name or error}"}
    held = _memory("VmRSS")
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        run(str(path))
    except Exception as error:
        return {"missing": f"failed: {type(error).__name__}: {error}"[:160].replace("\n", " ")}
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "CPU": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "clock": time.perf_counter() - started,
        "peak": _memory("VmHWM") - held,
    }


def _memory(field: str) -> float:
    """Return a figure of this process's memory in MiB: VmRSS, held now; VmHWM, the most so far."""
    # Not ru_maxrss: that starts from what the parent held when it started this process.
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition(f"\n{field}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
