"""The model's arguments: our own, and vLLM's under vLLM's names."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

DEFAULT_MODEL = "Qwen/Qwen2.5-Omni-3B"


@dataclass(frozen=True)
class Settings:
    """What ``--model_args`` says, checked.

    Attributes:
        model: Hugging Face name or local folder of a Qwen2.5-Omni checkpoint.
        frames: how many frames, evenly over the clip; ignored where ``fps`` is given.
        fps: frames per second of the clip instead.
        max_frames: the most frames that ``fps`` may take.
        min_pixels, max_pixels: bounds of one frame's area in pixels. The default maximum is 128
            tokens a frame; the published Qwen rows allowed 100,176 pixels.
        use_audio_in_video: give the model the clip's sound where it has some.
        system_prompt: the system message; the checkpoint's own template decides without one.
        decode_workers: how many clips are decoded at once.
        max_in_flight: how many requests the engine holds at once; bounds the memory.
        engine: everything else, by vLLM's names.
    """

    model: str = DEFAULT_MODEL
    frames: int = 32
    fps: float | None = None
    max_frames: int = 768
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 128 * 28 * 28
    use_audio_in_video: bool = True
    system_prompt: str | None = None
    decode_workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    max_in_flight: int = 32
    engine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], engine_names: Iterable[str]) -> Settings:
        """Sort arguments into ours and the engine's.

        lmms-eval hands JSON on as a string and turns ``-1`` into ``-1.0``: both are undone here.

        Args:
            arguments: names and values as lmms-eval parsed them.
            engine_names: the names that vLLM's ``EngineArgs`` knows.

        Raises:
            ValueError: an unknown name (all of them are listed, with the nearest known one), or a
                value that its name cannot have.
        """
        ours = {f.name for f in fields(cls)} - {"engine"}
        known = ours | set(engine_names)
        if unknown := sorted(set(arguments) - known):
            raise ValueError(_unknown(unknown, known))
        values = {name: _value(name, value) for name, value in arguments.items()}
        settings = cls(
            **{name: value for name, value in values.items() if name in ours},
            engine={name: value for name, value in values.items() if name not in ours},
        )
        settings._check()
        return settings

    def decoding(self) -> str:
        """Return how clips are sampled, in a few words for the results."""
        taken = f"{self.frames} frames" if self.fps is None else f"{self.fps:g} fps"
        sound = "with sound" if self.use_audio_in_video else "without sound"
        return f"{taken} <={self.max_pixels}px {sound}"

    def _check(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model={self.model!r}: a Hugging Face name or a folder is needed")
        if not isinstance(self.system_prompt, str | None):
            raise ValueError(f"system_prompt={self.system_prompt!r}: a text is needed")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}={value!r}: a whole number from {least} up is needed")
        if self.fps is not None and not _is_rate(self.fps):
            raise ValueError(f"fps={self.fps!r}: a number of frames per second above 0 is needed")
        if self.max_pixels < self.min_pixels:
            raise ValueError(
                f"max_pixels={self.max_pixels!r}: a whole number not below "
                f"min_pixels={self.min_pixels} is needed"
            )
        if not isinstance(self.use_audio_in_video, bool):
            raise ValueError(f"use_audio_in_video={self.use_audio_in_video!r}: True or False")
        if self.engine.get("mm_processor_cache_gb"):
            raise ValueError(
                "mm_processor_cache_gb must stay 0: vLLM's cache of processed media loses the "
                "sound of a video that was seen before, and then stops the engine"
            )


_LEAST = {
    "frames": 1,
    "max_frames": 2,  # Qwen's vision encoder takes frames in pairs
    "min_pixels": 1,
    "max_pixels": 28 * 28,  # one token
    "decode_workers": 1,
    "max_in_flight": 1,
}
"""The least value of each whole number."""


def _is_rate(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0


def _unknown(names: list[str], known: set[str]) -> str:
    hints = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return (
        f"unknown model argument {', '.join(hints)}: this model takes its own arguments "
        "(README, 'Options') and those of vLLM's engine"
    )


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and name not in _REAL:
        return int(value)
    if not isinstance(value, str):
        return value
    if value.lower() in {"none", "null"}:
        return None
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}={value}: not valid JSON ({error})") from None
    return value


_REAL = {"fps", "gpu_memory_utilization", "swap_space", "cpu_offload_gb", "mm_processor_cache_gb"}
"""Arguments that are real numbers: 1.0 stays 1.0."""
