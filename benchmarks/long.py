"""What a stretch of an hour of video costs, and the hour: ``python -m benchmarks.long``.

As ``benchmarks.media`` has it: each way in a process of its own. Once: it takes some minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.clips import clip_of
from benchmarks.media import PACKAGES, Way, in_own_process
from benchmarks.report import RESULTS, Report, Row, machine

START, END = 0.8, 0.8 + 1 / 120  # of the whole: thirty seconds of an hour
MOST, PIXELS = 768, 100_352


def stretch() -> Way:
    """read_clip: 30 s late in it at 2 frames a second, with sound"""
    from ugc_models.media.clip import read_clip
    from ugc_models.media.sampling import Sampling

    def run(path: str) -> object:
        start, end = (part * _seconds(path) for part in (START, END))
        return read_clip(path, Sampling(fps=2.0, max_pixels=PIXELS), start=start, end=end)

    return run


def stretch_of_utils() -> Way:
    """qwen_omni_utils: the same stretch, no sound"""
    ask = _utils()

    def run(path: str) -> object:
        start, end = (part * _seconds(path) for part in (START, END))
        return ask(path, video_start=start, video_end=end)

    return run


def whole() -> Way:
    """read_clip: all of it at 1 frame a second, 768 at most, 300 s of sound"""
    from ugc_models.media.clip import read_clip
    from ugc_models.media.sampling import Sampling

    return lambda path: read_clip(path, Sampling(fps=1.0, max_frames=MOST, max_pixels=PIXELS))


def whole_of_utils() -> Way:
    """qwen_omni_utils: the same, no sound, ended at 8 GiB or 120 s"""
    # It holds all frames at full size, as floats: the kernel would end whoever is largest.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    ask = _utils()
    return lambda path: ask(path, fps=1.0, max_frames=MOST)


WAYS: tuple[Callable[[], Way], ...] = (stretch, stretch_of_utils, whole, whole_of_utils)


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of an hour")
    quick = parser.parse_args(arguments).quick
    minutes = 2 if quick else 60
    path = joined(clip_of(60.0, width=1280, height=720, gop=250, b_frames=3), minutes)
    return Report(
        title=f"Reading {minutes} minutes of video, 1280x720, 30 frames a second, H.264 and AAC",
        rows=[row for way in WAYS for row in _rows(way, path)],
        machine=machine(PACKAGES),
        notes=["Run once.", "decord decodes on all cores: compare CPU seconds."],
    ).publish("long-quick" if quick else "long", results)


def joined(clip: Path, times: int) -> Path:
    """Return a file in which a clip comes so often, its packets copied; made on the first call."""
    import av

    path = clip.with_name(f"{clip.stem}-{times}-times.mp4")
    if path.exists():
        return path
    part = path.with_name(f"part-{os.getpid()}-{path.name}")
    with av.open(str(clip)) as source, av.open(str(part), "w") as output:
        tracks: dict[int, Any] = {
            stream.index: output.add_stream_from_template(stream)
            for stream in list[Any](source.streams)
        }
        step = float(source.duration or 0) / 1e6 + 0.5
        packets = [
            (packet.stream.index, bytes(packet), packet.pts, packet.dts, packet)
            for packet in source.demux()
            if packet.size
        ]
        for time in range(times):
            for track, content, pts, dts, original in packets:
                copy = av.Packet(content)
                later = round(time * step / float(original.time_base))
                copy.pts, copy.dts = (pts or 0) + later, (dts or 0) + later
                copy.duration, copy.time_base = original.duration, original.time_base
                copy.is_keyframe, copy.stream = original.is_keyframe, tracks[track]
                output.mux(copy)
    return part.replace(path)


def _rows(way: Callable[[], Way], path: Path) -> Iterator[Row]:
    taken = in_own_process(way, path)
    if missing := taken.get("missing"):
        yield Row(f"{way.__doc__}: {missing}", "CPU", "none")
        return
    for key, unit in (("CPU", "s"), ("clock", "s"), ("peak", "MiB")):
        yield Row(str(way.__doc__), key, taken[key], unit)


def _seconds(path: str) -> float:
    import av

    with av.open(path) as container:
        length = container.duration
    return float(length or 0) / 1e6


def _utils() -> Callable[..., object]:
    if importlib.util.find_spec("decord"):
        os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")
    from qwen_omni_utils import process_mm_info

    def ask(path: str, **more: float) -> object:
        video = {"type": "video", "video": path, "max_pixels": PIXELS, **more}
        return process_mm_info([{"role": "user", "content": [video]}], use_audio_in_video=False)

    return ask


if __name__ == "__main__":
    main()
