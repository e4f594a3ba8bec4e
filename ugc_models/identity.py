"""Which model it is, by content: the name of a checkpoint says little about what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
_TEXTS = ("*.json", "*.txt", "*.jinja", "*.model")

WHERE_IT_RUNS = frozenset(
    {
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        *("distributed_executor_backend", "gpu_memory_utilization", "kv_cache_memory_bytes"),
        *("max_num_seqs", "max_num_batched_tokens", "renderer_num_workers", "download_dir"),
        *("load_format", "disable_log_stats", "skip_mm_profiling", "cpu_offload_gb", "swap_space"),
        *("enforce_eager", "max_parallel_loading_workers", "enable_log_requests"),
    }
)
"""Engine arguments that say where and how fast a model runs, not what it is."""


def checkpoint_identity(model: str, revision: str | None, digest: Callable[[Path], str]) -> str:
    """Return what distinguishes a checkpoint from every other.

    A folder: the digest of its configuration and of all its weights, by content, since a lab writes
    the next checkpoint over the last. A Hugging Face name: its commit.

    Args:
        model: Hugging Face name or folder.
        revision: of the Hugging Face repository; its main branch without one.
        digest: SHA-256 of a file, remembered between runs if it can be.

    Raises:
        OSError: neither a folder nor to be had from the Hub or its cache.
    """
    folder = Path(model)
    if folder.is_dir():
        files = sorted({f for kind in (*_TEXTS, *_WEIGHTS) for f in folder.glob(kind)})
        lines = "".join(f"{file.name} {digest(file)}\n" for file in files)
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    from huggingface_hub import hf_hub_download

    # The cache keeps a file under the commit that it belongs to.
    found = Path(hf_hub_download(model, "config.json", revision=revision or "main"))
    return f"{model}@{found.parent.name}"


def engine_identity(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine arguments that a caption depends on."""
    return {name: value for name, value in arguments.items() if name not in WHERE_IT_RUNS}
