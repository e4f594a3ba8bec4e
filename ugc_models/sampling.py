"""From lmms-eval's generation arguments to vLLM's sampling parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAME = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_WITHOUT_EFFECT = {"do_sample", "num_beams", "until", "max_new_tokens", "seed"}
"""Names that are read here in another way, or mean nothing to a sampling engine."""

DEFAULT_TOKENS = 1024
"""The limit of a caption's tokens where the task names none."""


def sampling_arguments(gen_kwargs: Mapping[str, Any], *, seed: int | None = None) -> dict[str, Any]:
    """Return arguments of ``vllm.SamplingParams``.

    What the task leaves open has vLLM's neutral value, never the checkpoint's own: the settings
    that a number was made with stand in the task, for all to see.

    Args:
        gen_kwargs: a task's ``generation_kwargs``, ``--gen_kwargs`` merged in.
        seed: seed of each request, so that an answer does not depend on its neighbours.

    Raises:
        ValueError: beam search, a limit below one token, or a name that no sampling parameter has.
    """
    unknown = sorted(set(gen_kwargs) - set(_SAME) - _WITHOUT_EFFECT)
    if unknown:
        raise ValueError(f"unknown generation argument {', '.join(map(repr, unknown))}")
    if int(gen_kwargs.get("num_beams") or 1) != 1:
        raise ValueError("beam search is not offered: num_beams must be 1")
    limit = gen_kwargs.get("max_new_tokens")
    if limit is not None and int(limit) < 1:
        raise ValueError(f"max_new_tokens={limit!r}: a whole number from 1 up is needed")
    arguments: dict[str, Any] = {
        "max_tokens": DEFAULT_TOKENS if limit is None else int(limit),
        "temperature": 0.0,
        "seed": gen_kwargs.get("seed", seed),
    }
    arguments |= {name: gen_kwargs[name] for name in _SAME if gen_kwargs.get(name) is not None}
    if gen_kwargs.get("do_sample") is False:
        arguments["temperature"] = 0.0
    until = gen_kwargs.get("until") or []
    stop = [until] if isinstance(until, str) else [s for s in until if s]
    if stop:
        arguments["stop"] = stop
    return arguments
