"""The real engine on the tiny checkpoint, as quick as two cores allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

QUICK: dict[str, Any] = {
    "dtype": "float32",
    "max_model_len": 8192,
    "max_num_seqs": 4,
    "enforce_eager": True,
    "kv_cache_memory_bytes": 64 << 20,
    "skip_mm_profiling": True,
    "enable_prefix_caching": False,
    "disable_log_stats": True,
}
"""vLLM arguments for tests: no memory profiling, no compilation."""


def model_args(checkpoint: Path, **more: Any) -> str:
    """Return ``--model_args`` for a whole lmms-eval command."""
    arguments = {"model": checkpoint, **QUICK, **more}
    return ",".join(f"{name}={value}" for name, value in arguments.items())
