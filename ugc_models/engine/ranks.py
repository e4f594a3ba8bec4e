"""One of several processes on a machine, each with an engine of its own: which GPUs are whose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus_of_rank(
    environ: Mapping[str, str], gpus: int, arguments: Mapping[str, Any]
) -> dict[str, str]:
    """Return the variable that gives this rank's engine its GPUs and no others.

    Args:
        environ: as ``accelerate launch`` or ``torchrun`` sets it.
        gpus: how many this process sees.
        arguments: vLLM's; one engine takes as many GPUs as its parallel sizes say together.

    Returns:
        Nothing for the only process on a machine, and where there are no GPUs.

    Raises:
        ValueError: there are not enough of them.
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


def visible_gpus() -> int:
    """Return how many GPUs this process sees, without touching one."""
    import torch

    return int(torch.cuda.device_count())


def environment_of_rank(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return :func:`gpus_of_rank` for this process."""
    if int(os.environ.get("LOCAL_WORLD_SIZE") or 1) < 2:
        return {}
    return gpus_of_rank(os.environ, visible_gpus(), arguments)
