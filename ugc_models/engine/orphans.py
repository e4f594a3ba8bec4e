"""No engine outlives its run: a process of vLLM's ends when the run that started it is gone.

An engine left behind would keep the GPU's memory, and the same command, run again, would not start.
A run that ends by itself ends its engines, those that still start or hang too. One that is killed
outright cannot: vLLM loads :func:`install` in every process that it starts (entry point
``vllm.general_plugins``), and there it watches for the run to disappear.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import multiprocessing.util  # its own exit handler waits for children: it must be registered first
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ugc_models.engine import plugins
from ugc_models.engine.environment import environment

PLUGIN = "ugc_engine_owner"
"""Name of :func:`install` among vLLM's plugins."""
_VARIABLE = "UGC_ENGINE_OWNER"
"""Process id and start time of the run that owns the engines started meanwhile."""
_ENGINES = ("EngineCore", "VLLM_")
"""How the names begin that vLLM gives the processes which it starts from a run's own."""
_EVERY = 0.5
"""Seconds between two looks."""


@contextmanager
def owned() -> Iterator[None]:
    """Have the engine processes that are started inside the ``with`` end with this process."""
    plugins.allow(PLUGIN)
    atexit.unregister(_end_owned)  # once is enough
    atexit.register(_end_owned)
    with environment({_VARIABLE: _this_process()}):
        yield


def install() -> None:
    """Watch the owner named in the environment, if there is one and it is another process."""
    pid, _, started = os.environ.get(_VARIABLE, "").partition(" ")
    if not pid.isdigit() or int(pid) == os.getpid():
        return
    watch = threading.Thread(
        target=_end_with, args=(int(pid), started), name="ugc-owner", daemon=True
    )
    watch.start()


def _end_owned() -> None:
    """End the engine processes that are left when this process ends.

    vLLM asks its own to end and goes without waiting for those that do not listen.
    """
    import psutil

    for child in multiprocessing.active_children():
        if child.name.startswith(_ENGINES):
            logging.disable()  # vLLM would report their death at length
            with suppress(psutil.Error):
                engine = psutil.Process(child.pid)
                for process in [*engine.children(recursive=True), engine]:
                    process.kill()


def _this_process() -> str:
    return f"{os.getpid()} {_started(os.getpid())}"


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
