"""A process that reads media files one after the other, so that a crash is only its own.

Absolute paths come in as lines, and each is answered by a line of JSON. Around each reading it
tries to open a path that is not there: a tracer sees these attempts, and between them what the
reading opened.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from ugc_models.media.clip import read_clip
from ugc_models.media.limits import Limits, MediaError
from ugc_models.media.sampling import Sampling

BEFORE, AFTER = "/nowhere/before-reading", "/nowhere/after-reading"
LIMITS = Limits(source_pixels=2048 * 2048, decode_seconds=10, packets=20_000)
SAMPLING = Sampling(frames=8)


def main() -> None:
    """Answer each line."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
    for line in sys.stdin:
        path = line.rstrip("\n")
        _mark(BEFORE + path)
        try:
            clip = read_clip(path, SAMPLING, limits=LIMITS)
            outcome = {"frames": list(clip.frames.shape), "damage": clip.decode_errors}
        except MediaError as error:
            outcome = {"refused": str(error)}
        except Exception as error:
            outcome = {"broke": repr(error)[:300]}
        _mark(AFTER)
        gc.collect()
        trim(0)
        outcome["held"], outcome["peak"] = _memory("VmRSS"), _memory("VmHWM")
        print(json.dumps(outcome), flush=True)


def _memory(field: str) -> int:
    """Return a figure of this process's memory in bytes."""
    # Not ``ru_maxrss``: that starts from what the parent held when it started this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"\n{field}:")[2].split()[0]) * 1024


def _mark(path: str) -> None:
    with suppress(OSError):
        os.close(os.open(path, os.O_RDONLY))


if __name__ == "__main__":
    main()
