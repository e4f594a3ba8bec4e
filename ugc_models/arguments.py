"""What lmms-eval makes of ``--model_args``, put right: names checked, values as they were meant."""

from __future__ import annotations

import difflib
import json
from typing import Any

_REAL = {
    *("fps", "engine_timeout", "gpu_memory_utilization", "swap_space"),
    *("cpu_offload_gb", "mm_processor_cache_gb"),
}
"""Arguments that are real numbers: 1.0 stays 1.0."""

_PLAIN = {"store"}
"""Arguments for which "none" is a word and not nothing."""


def unknown_names(names: list[str], known: set[str]) -> str:
    """Return a sentence on names that are none, each with the nearest that is one."""
    hints = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return (
        f"unknown model argument {', '.join(hints)}: this model takes its own arguments "
        "(README, 'Options') and those of vLLM's engine"
    )


def plain_value(name: str, value: Any) -> Any:
    """Return a value as it was meant: lmms-eval hands JSON on as text and makes -1 into -1.0.

    Raises:
        ValueError: text that begins as JSON and is none.
    """
    if isinstance(value, float) and value.is_integer() and name not in _REAL:
        return int(value)
    if not isinstance(value, str):
        return value
    if value.lower() in {"none", "null"} and name not in _PLAIN:
        return None
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}={value}: not valid JSON ({error})") from None
    return value
