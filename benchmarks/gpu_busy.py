"""The share of time in which a GPU did something, as its driver counts it."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
from collections.abc import Callable
from importlib import import_module

Look = Callable[[], float]
"""Returns per cent of the driver's last sampling period in which a kernel ran."""

_EVERY_S = 0.2


class GpuBusy:
    """Samples the first GPU while it is entered."""

    def __init__(self, look: Look | None = None) -> None:
        self._look = look or _first_gpu()
        self._seen: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-busy", daemon=True)

    @property
    def mean(self) -> float | None:
        """Per cent, None where there is no GPU, or no time to look at it."""
        return statistics.fmean(self._seen) if self._seen else None

    def __enter__(self) -> GpuBusy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._look is not None and not self._ended.wait(_EVERY_S):
            self._seen.append(self._look())


def gpu_name() -> str:
    """Return what torch calls the first GPU."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _first_gpu() -> Look | None:
    """Return a way to ask NVIDIA's driver: its library's, or the program that comes with it."""
    try:
        pynvml = import_module("pynvml")
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # not installed, or no driver: the error classes are the package's own
        return _ask_program if shutil.which("nvidia-smi") else None
    return lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)


def _ask_program() -> float:
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return float(asked.stdout.split()[0])
