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
_MOST = 2**31 - 1
_BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("top_p", "min_p"), (0, 1)),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), (-2, 2)),
    **dict.fromkeys(("temperature", "min_tokens"), (0, _MOST)),
    **dict.fromkeys(_LIMITS, (1, _MOST)),
    **{"top_k": (-1, _MOST), "repetition_penalty": (0.01, _MOST), "seed": (-1, 2**63 - 1)},
}
"""What vLLM takes. Some values that it does not, it passes on, and its engine answers no more."""
_WHOLE = frozenset({*_LIMITS, "top_k", "min_tokens", "seed"})
_SWITCHES = ("do_sample", "skip_special_tokens")
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
    temperature = said.get("temperature")
    if said.get("do_sample") is False and isinstance(temperature, int | float) and temperature:
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
        ValueError: beam search, several answers, a value that vLLM would not take, limits that
            contradict each other, or a name that no sampling parameter has.
    """
    given = {name: value for name, value in gen_kwargs.items() if value is not None}
    if unknown := sorted(set(given) - _KNOWN - ELSEWHERE):
        raise ValueError(f"unknown generation argument {', '.join(map(repr, unknown))}")
    for name, words in _ONE.items():
        if given.get(name, 1) not in (1, "1"):
            raise ValueError(f"{words}: {name} must be 1")
    for name in _SWITCHES:
        if given.get(name, True) not in (True, False):
            raise ValueError(f"{name}={given[name]!r}: True or False is needed")
    given |= {name: _number(name, given[name]) for name in _BOUNDS if name in given}
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
    if arguments.get("top_p") == 0:
        arguments["top_p"] = 1.0
    if arguments.get("min_tokens", 0) > (most := arguments["max_tokens"]):
        raise ValueError(f"min_tokens={given['min_tokens']!r} is more than the limit of {most}")
    if stop := _stops(given):
        arguments["stop"] = stop
    return arguments


def _number(name: str, value: Any) -> int | float:
    """Return a value as the number that it is; ``ValueError`` where it is out of bounds."""
    (least, most), whole = _BOUNDS[name], name in _WHOLE
    try:
        number = float(value) if isinstance(value, str) else value
        good = least <= number <= most and not (whole and number % 1)
    except (TypeError, ValueError):
        good = False
    if not good or isinstance(value, bool):
        kind, to = "whole number" if whole else "number", f"to {most}" if most <= 2 else "up"
        raise ValueError(f"{name}={value!r}: a {kind} from {least} {to} is needed")
    return int(number) if whole else number


def _limit(given: Mapping[str, Any]) -> int | None:
    limits = {name: given[name] for name in _LIMITS if name in given}
    if len(set(limits.values())) > 1:
        both = " and ".join(f"{name}={limit!r}" for name, limit in limits.items())
        raise ValueError(f"{both} contradict each other: one limit is needed")
    return next(iter(limits.values()), None)


def _stops(given: Mapping[str, Any]) -> list[str]:
    """Return where an answer ends: at any of what the names list, together."""
    found: dict[str, None] = {}
    for name in _STOPS:
        value = given.get(name) or []
        texts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(text, str | None) for text in texts):
            raise ValueError(f"{name}={value!r}: a text or a list of texts is needed")
        found |= dict.fromkeys(text for text in texts if text)
    return list(found)
