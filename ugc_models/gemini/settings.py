"""The arguments of ``gemini_video``, under google-genai's names where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ugc_models.config import (
    SWITCH,
    Rule,
    check_values,
    is_rate,
    one_of,
    plain_value,
    unknown_names,
    whole,
    whole_or_none,
)
from ugc_models.presets import GEMINI_PRESETS
from ugc_models.request.generation import generation_parameters

_CATEGORIES = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
_THRESHOLDS = ("OFF", "BLOCK_NONE", "BLOCK_ONLY_HIGH", "BLOCK_MEDIUM_AND_ABOVE",
               "BLOCK_LOW_AND_ABOVE")  # fmt: skip
_SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
_NEUTRAL = {"repetition_penalty": 1, "min_p": 0, "min_tokens": 0, "skip_special_tokens": True}
"""What the API has no such parameter for, and the value that changes nothing."""
_STOPS = 5  # Source: ai.google.dev/api/generate-content, stopSequences


@dataclass(frozen=True)
class GeminiSettings:
    """What ``--model_args`` says, checked. docs/options.md has what each means."""

    preset: str = "default"
    model: str = "gemini-2.5-flash"
    temperature: float | None = None  # here and below: stated, it wins over the task's
    top_p: float | None = None
    max_output_tokens: int | None = None  # thoughts count against it
    seed: int | None = None
    thinking_budget: int | None = None  # tokens; 0 for none, -1 for what the model wants
    thinking_level: str | None = None
    media_resolution: str | None = None
    fps: float | None = None  # frames a second that the API takes of a video; 1 by itself
    safety_settings: Any = None  # a threshold for all categories, or the API's list
    order: Literal["task", "text_first"] = "task"
    task_generation: bool = True  # follow what the task says of temperature and the like
    inline: bool = True  # send small clips within the request, without an upload
    system_prompt: str | None = None
    budget: float | None = None  # US dollars
    concurrency: int = 8  # answers at once
    upload_concurrency: int = 4
    timeout: float = 600.0  # seconds of one exchange
    decode_workers: int = 1  # for recordings and pictures that the API does not take as they are
    on_error: Literal["continue", "stop"] = "continue"
    store: str | None = None
    beside: dict[str, Any] = field(default_factory=dict)  # stated, and other than the preset's

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> GeminiSettings:
        """Return the settings; raises ``ValueError`` for a name or a value that cannot be."""
        known = {f.name for f in fields(cls)} - {"beside"}
        if unknown := sorted(set(arguments) - known):
            raise ValueError(unknown_names(unknown, known, "no engine"))
        values = {name: plain_value(name, value) for name, value in arguments.items()}
        name = values.get("preset", "default")
        if not isinstance(name, str) or name not in GEMINI_PRESETS:
            raise ValueError(f"preset={name!r}: one of {', '.join(GEMINI_PRESETS)} is needed")
        own = GEMINI_PRESETS[name].settings
        beside = {n: values[n] for n in own if n in values and values[n] != own[n]}
        settings = cls(**{**own, **values, "beside": beside})
        check_values(settings, _RULES)
        if settings.thinking_budget is not None and settings.thinking_level is not None:
            raise ValueError("thinking_budget and thinking_level: the API takes one of the two")
        return settings

    def generation(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of ``GenerateContentConfig`` for what a task states.

        Its limit of tokens is not among them: thoughts count against the API's. Raises
        ``ValueError`` for what the API cannot do.
        """
        found: dict[str, Any] = {}
        if self.task_generation:
            given = generation_parameters(said)
            for name, neutral in _NEUTRAL.items():
                if given.get(name, neutral) != neutral:
                    raise ValueError(f"{name}={given[name]!r}: the Gemini API has none")
            found = {name: given[name] for name in _SAME if given.get(name) is not None}
            if stops := given.get("stop"):
                if len(stops) > _STOPS:
                    raise ValueError(f"the Gemini API takes {_STOPS} stop sequences: {stops}")
                found["stop_sequences"] = stops
        stated = ("temperature", "top_p", "max_output_tokens", "seed")
        return found | {n: getattr(self, n) for n in stated if getattr(self, n) is not None}

    def remarks(self, said: Mapping[str, Any]) -> dict[str, str]:
        """Return what of a task's generation arguments is not sent, and why."""
        limit = "is not sent: thoughts would count against it (max_output_tokens= sets a limit)"
        found = {n: limit for n in said if n.startswith("max_") and n != "max_agentic_steps"}
        if not self.task_generation:
            left = {"temperature", "top_p", "top_k", "seed"} & set(said)
            found |= dict.fromkeys(sorted(left), f"is not sent: preset={self.preset} has the API's")
        return found

    def config(self) -> dict[str, Any]:
        """Return the fields of ``GenerateContentConfig`` that all requests share."""
        thinking = {
            name: value
            for name in ("thinking_budget", "thinking_level")
            if (value := getattr(self, name)) is not None
        }
        found: dict[str, Any] = {"thinking_config": thinking} if thinking else {}
        if self.media_resolution is not None:
            found["media_resolution"] = f"MEDIA_RESOLUTION_{_resolution(self.media_resolution)}"
        safety = self.safety_settings
        if isinstance(safety, str):
            safety = [
                {"category": f"HARM_CATEGORY_{name}", "threshold": safety.upper()}
                for name in _CATEGORIES
            ]
        return found | ({"safety_settings": safety} if safety else {})

    def made_of(self) -> dict[str, Any]:
        """Return what an answer depends on besides its media, prompt and parameters.

        The names in it are part of every key on disk.
        """
        return {"model": f"gemini:{self.model}", "config": self.config(), "fps": self.fps,
                "order": self.order}  # fmt: skip

    def decoding(self) -> str:
        """Return how clips are sent, in a few words for the results."""
        beside = (f"{name}={value}" for name, value in sorted(self.beside.items()))
        words = {
            "whole files": True,
            f"{self.fps:g} fps" if self.fps is not None else "": self.fps is not None,
            str(self.media_resolution).lower(): self.media_resolution is not None,
            f"thinking {self.thinking_budget}": self.thinking_budget is not None,
            f"thinking {self.thinking_level}": self.thinking_level is not None,
            "text first": self.order == "text_first",
            "the API's own temperature": not self.task_generation and self.temperature is None,
        }
        said = " ".join(word for word, holds in words.items() if holds)
        return f"{'+'.join([self.preset, *beside])}: {said}"


def _resolution(value: Any) -> str:
    return str(value).upper().removeprefix("MEDIA_RESOLUTION_")


def _is_safety(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(v, dict) and set(v) == {"category", "threshold"} for v in value)
    return value is None or (isinstance(value, str) and value.upper() in _THRESHOLDS)


def _number(least: float, most: float) -> Rule:
    return (
        lambda v: v is None or (type(v) in {int, float} and least <= v <= most),
        f"a number from {least:g} to {most:g} is needed",
    )


_TEXT: Rule = (lambda v: isinstance(v, str | None), "a text is needed")
_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
_RULES: Mapping[str, Rule] = {
    "model": (lambda v: isinstance(v, str) and v != "", "the name of a model is needed"),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "max_output_tokens": whole_or_none(1),
    "seed": (lambda v: v is None or type(v) is int, "a whole number is needed"),
    "thinking_budget": (
        lambda v: v is None or (type(v) is int and v >= -1),
        "a number of tokens is needed, 0 for none, -1 for as many as the model wants",
    ),
    "thinking_level": (
        lambda v: v is None or str(v).upper() in _LEVELS,
        f"one of {', '.join(_LEVELS).lower()} is needed",
    ),
    "media_resolution": (
        lambda v: v is None or _resolution(v) in {"LOW", "MEDIUM", "HIGH"},
        "low, medium or high is needed",
    ),
    "fps": (lambda v: v is None or (is_rate(v) and v <= 24), "frames a second up to 24 are needed"),
    "safety_settings": (
        _is_safety,
        f"{', '.join(_THRESHOLDS)}, or a list of categories with thresholds is needed",
    ),
    "order": one_of("task", "text_first"),
    **dict.fromkeys(("task_generation", "inline"), SWITCH),
    **dict.fromkeys(("system_prompt", "store"), _TEXT),
    "budget": (lambda v: v is None or is_rate(v), "US dollars above 0 are needed"),
    **dict.fromkeys(("concurrency", "upload_concurrency", "decode_workers"), whole(1)),
    "timeout": (is_rate, "seconds above 0 are needed"),
    "on_error": one_of("continue", "stop"),
}
"""What the value of an argument must be, and the words for it."""
