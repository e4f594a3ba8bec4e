"""No engine outlives its run: a process of vLLM's ends when the run that started it is gone.

Who is killed outright cannot tell anybody. An engine left behind would keep the GPU's memory, and
the same command, run again, would not start. vLLM loads :func:`install` in every process that it
starts (entry point ``vllm.general_plugins``); there it watches for the run to disappear.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "UGC_ENGINE_OWNER"
"""Process id and start time of the run that owns the engines started meanwhile."""
_EVERY = 0.5
"""Seconds between two looks."""


@contextmanager
def owned() -> Iterator[None]:
    """Have the engine processes that are started inside the ``with`` end with this process."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = f"{os.getpid()} {_started(os.getpid())}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def install() -> None:
    """Watch the owner named in the environment, if there is one and it is another process."""
    pid, _, started = os.environ.get(_VARIABLE, "").partition(" ")
    if not pid.isdigit() or int(pid) == os.getpid():
        return
    watch = threading.Thread(
        target=_end_with, args=(int(pid), started), name="ugc-owner", daemon=True
    )
    watch.start()


def _end_with(pid: int, started: str) -> None:
    while _started(pid) == started:
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGKILL)


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; with its number it names it for good.

    Empty where there is no such process, or only what is left of one that nobody waited for.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in brackets, and may contain anything.
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
