"""Ways to get 32 frames out of a clip, each run alone in a process of its own.

``python -m benchmarks.ways WAY FILE`` prints one line of JSON: seconds of CPU and of the clock, and
the most memory, in MiB, over what the process held before, its modules imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES, PIXELS = 32, 100_352

Way = Callable[[str], object]


def stream() -> Way:
    """The stream decoded by PyAV on one thread, and nothing else: the measure of all others."""
    import av

    def run(path: str) -> None:
        with av.open(path) as container:
            video = container.streams.video[0]
            video.codec_context.thread_count = 1
            for _ in container.decode(video):
                pass

    return run


def ours() -> Way:
    """``read_clip``: 32 small frames and the sound."""
    from ugc_models.media.clip import read_clip

    return read_clip


def keep_all() -> Way:
    """Every frame decoded at full size and kept, 32 of them picked and resized: no sound.

    What the benchmark's authors do, written from the description of it.
    """
    import cv2
    import numpy as np

    def run(path: str) -> object:
        capture = cv2.VideoCapture(path)
        frames = []
        while True:
            there, frame = capture.read()
            if not there:
                break
            frames.append(frame)
        capture.release()
        picked = [frames[at] for at in np.linspace(0, len(frames) - 1, FRAMES, dtype=int)]
        height, width = picked[0].shape[:2]
        ratio = min(1.0, (PIXELS / (width * height)) ** 0.5)
        size = (int(width * ratio) // 2 * 2, int(height * ratio) // 2 * 2)
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in picked])

    return run


def qwen_omni_utils() -> Way:
    """``process_mm_info`` of Qwen's own package: no sound, for which it wants an ffmpeg program."""
    if importlib.util.find_spec("decord"):
        # Left alone it takes torchcodec where that is installed, able to load or not, and falls
        # back to torchvision, the current releases of which read no videos.
        os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")
    from qwen_omni_utils import process_mm_info

    def run(path: str) -> object:
        video = {"type": "video", "video": path, "nframes": FRAMES, "max_pixels": PIXELS}
        return process_mm_info([{"role": "user", "content": [video]}], use_audio_in_video=False)

    return run


def lmms_eval() -> Way:
    """lmms-eval's ``read_video``: 32 frames at full size, no sound."""
    from lmms_eval.models.model_utils.load_video import read_video

    return lambda path: read_video(path, num_frm=FRAMES)


WAYS: dict[str, Callable[[], Way]] = {
    "stream": stream,
    "ours": ours,
    "keep_all": keep_all,
    "qwen_omni_utils": qwen_omni_utils,
    "lmms_eval": lmms_eval,
}


def measure(way: str, path: Path) -> dict[str, Any]:
    """Run one of the ways here and return what it took, or ``missing``: what it lacks."""
    try:
        run = WAYS[way]()
    except ImportError as error:
        return {"missing": f"not installed: {error.name or error}"}
    held = _memory("VmRSS")
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        run(str(path))
    except Exception as error:
        # Other people's code, on a machine that may lack what it needs: the row says so.
        return {"missing": f"failed: {type(error).__name__}: {error}"[:160].replace("\n", " ")}
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": time.perf_counter() - started,
        "peak": _memory("VmHWM") - held,
    }


def _memory(field: str) -> float:
    """Return a figure of this process's memory in MiB: VmRSS, held now; VmHWM, the most so far.

    Not ``ru_maxrss``: that starts from what the parent held when it started this process.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
