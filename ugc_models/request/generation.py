"""From lmms-eval's generation arguments, under all the names its tasks use, to vLLM's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_TOKENS = 1024
"""The limit of an answer's tokens where the task names none."""

ELSEWHERE = frozenset(
    {
        *("image_aspect_ratio", "image_sizes", "modalities", "visual_cot", "bagel_interleaved"),
        *("length_penalty", "early_stopping", "use_cache", "max_agentic_steps"),
    }
)
"""Arguments that mean something to other models, to beam search or to lmms-eval only."""

_SAME = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
         "frequency_penalty", "min_tokens", "skip_special_tokens")  # fmt: skip
"""Those that vLLM has under the same names."""
_LIMITS = ("max_new_tokens", "max_tokens", "max_completion_tokens", "max_gen_toks")
_STOPS = ("until", "stop_sequences", "stop")
_ONE = {"num_beams": "beam search is not offered", "n": "one answer a request is given",
        "num_return_sequences": "one answer a request is given"}  # fmt: skip
_KNOWN = {*_SAME, *_LIMITS, *_STOPS, *_ONE, "do_sample", "seed"}


def stated(gen_kwargs: Mapping[str, Any], doc_to_messages: Any = None) -> dict[str, Any]:
    """Return what a task states of its generation arguments.

    Where its YAML file names no ``until``, lmms-eval stops answers at the first empty line, the
    separator of its examples. That would cut every answer that reasons first. lmms-eval's Qwen
    models leave it out and its vLLM models read no ``until`` at all, so it is left out here too.
    """
    said = {name: value for name, value in gen_kwargs.items() if value is not None}
    # Source: lmms_eval.api.task, TaskConfig.__post_init__. A ``--gen_kwargs`` is a string.
    config = getattr(getattr(doc_to_messages, "__self__", None), "config", None)
    framework = str(getattr(doc_to_messages, "__module__", "")).startswith("lmms_eval.")
    if framework and said.get("until") == [getattr(config, "fewshot_delimiter", "\n\n")]:
        del said["until"]
    return said


def remarks(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what of the arguments is not done as it stands: a name -> what is done instead."""
    found = dict.fromkeys(sorted(ELSEWHERE & set(said)), "means nothing to this model")
    # Source: lmms_eval.models.simple.vllm, ``_build_sampling_params_dict``.
    temperature = float(said.get("temperature") or 0)
    if said.get("do_sample") is False and temperature:
        found[f"do_sample=False beside temperature={temperature:g}"] = "the temperature counts"
    if said.get("do_sample") is True and "temperature" not in said:
        found["do_sample=True without a temperature"] = "answers are greedy"
    return found


def generation_parameters(
    gen_kwargs: Mapping[str, Any],
    *,
    preset: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return arguments of ``vllm.SamplingParams``.

    What the task leaves open is the ``preset``'s ``temperature`` and ``max_new_tokens``, or vLLM's
    neutral value, never the checkpoint's own: the settings that a number was made with stand in the
    task, for all to see. Each request has a ``seed`` of its own, so that an answer does not depend
    on its neighbours. As in lmms-eval's own vLLM models a temperature counts whatever ``do_sample``
    says, without one answers are greedy, and ``top_p=0`` means 1.

    Raises:
        ValueError: beam search, several answers, a limit below one token, two limits that differ,
            or a name that no sampling parameter has.
    """
    given = {name: value for name, value in gen_kwargs.items() if value is not None}
    if unknown := sorted(set(given) - _KNOWN - ELSEWHERE):
        raise ValueError(f"unknown generation argument {', '.join(map(repr, unknown))}")
    for name, words in _ONE.items():
        if int(given.get(name, 1)) != 1:
            raise ValueError(f"{words}: {name} must be 1")
    open_ = {name: value for name, value in (preset or {}).items() if value is not None}
    if given.get("do_sample") is False:  # greedy is what the task says
        open_.pop("temperature", None)
    arguments: dict[str, Any] = {
        "max_tokens": _limit(given) or _limit(open_) or DEFAULT_TOKENS,
        "temperature": 0.0,
        "seed": given.get("seed", seed),
    }
    given = {**open_, **given}
    arguments |= {name: given[name] for name in _SAME if name in given}
    if "top_p" in given and float(given["top_p"]) == 0:
        arguments["top_p"] = 1.0
    if stop := _stops(given):
        arguments["stop"] = stop
    return arguments


def _limit(given: Mapping[str, Any]) -> int | None:
    limits = {name: given[name] for name in _LIMITS if name in given}
    for name, limit in limits.items():
        if int(limit) < 1:
            raise ValueError(f"{name}={limit!r}: a whole number from 1 up is needed")
    if len({int(limit) for limit in limits.values()}) > 1:
        both = " and ".join(f"{name}={limit!r}" for name, limit in limits.items())
        raise ValueError(f"{both} contradict each other: one limit is needed")
    return int(next(iter(limits.values()))) if limits else None


def _stops(given: Mapping[str, Any]) -> list[str]:
    """Return where an answer ends: at any of what the names list, together."""
    found: dict[str, None] = {}
    for name in _STOPS:
        value = given.get(name) or []
        texts = [value] if isinstance(value, str) else [text for text in value if text]
        found |= dict.fromkeys(texts)
    return list(found)
