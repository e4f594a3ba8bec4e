"""vLLM loads only the plugins that ``VLLM_PLUGINS`` names where it is set: ours must be there."""

from __future__ import annotations

import os


def allow(name: str) -> None:
    """Let the plugin be loaded in the processes that vLLM starts, which inherit the variable."""
    named = os.environ.get("VLLM_PLUGINS")
    if named is not None and name not in named.split(","):
        os.environ["VLLM_PLUGINS"] = ",".join(filter(None, [named, name]))
