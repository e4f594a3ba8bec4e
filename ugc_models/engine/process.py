"""Processes and threads of an engine: their environment, GPUs, event loop, and when they end.

An engine that outlived its run would keep the GPU's memory, and the same command, run again, would
not start. A run that ends by itself ends its engines, also those that still start or hang. A run
that is killed cannot. So vLLM loads :func:`install` in every process that it starts (entry point
``vllm.general_plugins``), and there it watches for the run to disappear.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import multiprocessing.util  # its own exit handler waits for children: it must be registered first
import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

Result = TypeVar("Result")

PLUGIN = "ugc_engine_owner"  # name of :func:`install` among vLLM's plugins
_OWNER = "UGC_ENGINE_OWNER"  # variable: process id and start time of the run that owns the engines
_ENGINES = ("EngineCore", "VLLM_")  # how the names of vLLM's processes begin
_POLL_S = 0.5
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, or unset those that are None, for the processes started in the ``with``."""
    before = dict(os.environ)
    try:
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def allow_plugin(name: str) -> None:
    """Add a plugin to ``VLLM_PLUGINS`` where that is set: vLLM loads no other ones then."""
    named = os.environ.get("VLLM_PLUGINS")
    if named is not None and name not in named.split(","):
        os.environ["VLLM_PLUGINS"] = ",".join(filter(None, [named, name]))


class LoopThread:
    """A running asyncio event loop in a thread of its own.

    Ctrl-C is for the main thread alone. It is blocked in this one, and so in every process that is
    started from here: a signal mask is inherited, and the terminal sends the signal to all of them.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
        """Do ``work`` on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Cancel what still runs and end the thread. Idempotent."""
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)

    def _main(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=5.0))
        finally:
            self.loop.close()


@contextmanager
def owned() -> Iterator[None]:
    """Let the engine processes that are started inside the ``with`` end with this process."""
    allow_plugin(PLUGIN)
    atexit.unregister(_end_owned)  # once is enough
    atexit.register(_end_owned)
    with environment({_OWNER: f"{os.getpid()} {_started(os.getpid())}"}):
        yield


def install() -> None:
    """Watch the owner named in the environment, if there is one and it is another process."""
    pid, _, started = os.environ.get(_OWNER, "").partition(" ")
    if pid.isdigit() and int(pid) != os.getpid():
        watched = (int(pid), started)
        threading.Thread(target=_end_with, args=watched, name="ugc-owner", daemon=True).start()


def kill_trees(pids: Iterable[int | None]) -> None:
    """Kill processes and their children, as far as they are there."""
    for pid in pids:
        with suppress(psutil.Error):
            for child in psutil.Process(pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
            psutil.Process(pid).kill()


def _end_owned() -> None:
    """Kill the engine processes that are left: vLLM asks its own to end and does not wait."""
    engines = [p for p in multiprocessing.active_children() if p.name.startswith(_ENGINES)]
    if engines:
        logging.disable()  # vLLM would report their death at length
        kill_trees(engine.pid for engine in engines)


def _end_with(pid: int, started: str) -> None:
    while _started(pid) == started:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: numbers of processes are used again.

    Empty where there is no such process, or only a zombie.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in brackets, and may contain anything.
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def gpus_of_rank(
    environ: Mapping[str, str], gpus: int, arguments: Mapping[str, Any]
) -> dict[str, str]:
    """Return the variable that gives this rank's engine its GPUs and no others.

    ``environ`` is as ``accelerate launch`` or ``torchrun`` sets it, ``gpus`` how many this process
    sees. One engine takes as many as the parallel sizes in vLLM's ``arguments`` multiply to. There
    is nothing to set for the only process on a machine, and where there are no GPUs. Raises
    ``ValueError`` where there are not enough of them.
    """
    ranks = int(environ.get("LOCAL_WORLD_SIZE") or 1)
    if ranks < 2 or not gpus:
        return {}
    each = 1
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        each *= int(arguments.get(name) or 1)
    if gpus < ranks * each:
        raise ValueError(
            f"{ranks} processes with {each} GPU(s) each need {ranks * each} GPUs, and this machine "
            f"shows {gpus}: start fewer with --num_processes"
        )
    rank = int(environ.get("LOCAL_RANK") or 0)
    named = [name.strip() for name in environ.get(_VISIBLE, "").split(",") if name.strip()]
    names = named or [str(number) for number in range(gpus)]
    return {_VISIBLE: ",".join(names[rank * each : (rank + 1) * each])}


def environment_of_rank(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return :func:`gpus_of_rank` for this process. GPUs are counted, not touched."""
    if int(os.environ.get("LOCAL_WORLD_SIZE") or 1) < 2:
        return {}
    import torch

    return gpus_of_rank(os.environ, int(torch.cuda.device_count()), arguments)
