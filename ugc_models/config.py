"""The model's arguments: our own, vLLM's under vLLM's names, and presets, which set several.

An argument that stands beside ``preset=`` wins. docs/options.md has what each changes.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ugc_models.engine.family import QWEN2_5, Family, ProcessorInputs
from ugc_models.media.sampling import Sampling
from ugc_models.presets import PRESETS, Preset

DEFAULT_MODEL = "Qwen/Qwen2.5-Omni-3B"


_REAL = {"fps", "engine_timeout", "gpu_memory_utilization", "swap_space", "cpu_offload_gb",
         "mm_processor_cache_gb"}  # fmt: skip
"""Arguments that are real numbers: 1.0 stays 1.0."""


@dataclass(frozen=True)
class Settings:
    """What ``--model_args`` says, checked. docs/options.md has what each means."""

    preset: str = "default"
    model: str = DEFAULT_MODEL
    frames: int = 32  # evenly over the clip; not used where ``fps`` is given
    fps: float | None = None  # frames per second of the clip instead
    max_frames: int = 768  # the most that ``fps`` may take
    min_frames: int = 2  # the fewest, where the clip has them
    spread: Literal["time", "count", "even"] = "time"  # what frames are even in
    scaling: Literal["smooth", "opencv"] = "smooth"
    min_pixels: int = 4 * 28 * 28  # area of one frame
    max_pixels: int | None = None  # the family's: 128 tokens of Qwen2.5-Omni, or one whole image
    total_pixels: int | None = None  # area of all frames of a clip together, in pairs
    image_min_pixels: int | None = None  # area of an image; the checkpoint's own bounds otherwise
    image_max_pixels: int | None = None
    processor_resize: bool = False  # the checkpoint's processor brings frames to whole tokens
    channels: Literal["rgb", "bgr"] = "rgb"
    tell_fps: bool = True  # without, the model takes a rate of its own for granted
    use_audio_in_video: bool = True
    align_sound: bool = True  # sound on the clock of the frames; without, from its first sample on
    system_prompt: str | None = None
    decode_workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    max_in_flight: int = 32
    on_overflow: Literal["refuse", "fewer_frames"] = "refuse"
    on_error: Literal["continue", "stop"] = "continue"  # at a request that fails
    store: str | None = None  # see :func:`ugc_models.store.open_store`
    engine_timeout: float = 300.0  # seconds
    base_url: str | None = None
    engine: dict[str, Any] = field(default_factory=dict)  # everything else, by vLLM's names
    beside: dict[str, Any] = field(default_factory=dict)  # stated, and other than the preset's

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], engine_names: Iterable[str]) -> Settings:
        """Sort arguments, as lmms-eval parsed them, into ours and the engine's.

        Raises:
            ValueError: an unknown name (all of them are listed, with the nearest known one), or a
                value that its name cannot have.
        """
        ours = {f.name for f in fields(cls)} - {"engine", "beside"}
        known = ours | set(engine_names)
        if unknown := sorted(set(arguments) - known):
            raise ValueError(unknown_names(unknown, known))
        values = {name: plain_value(name, value) for name, value in arguments.items()}
        preset = _preset_named(values.get("preset", "default"))
        own = {**preset.settings, **preset.engine}
        if preset.system_prompt is not None:
            own["system_prompt"] = preset.system_prompt
        settings = cls(
            **{**preset.settings, **{name: v for name, v in values.items() if name in ours}},
            engine={**preset.engine, **{name: v for name, v in values.items() if name not in ours}},
            beside={n: values[n] for n in own if n in values and values[n] != own[n]},
        )
        settings._check()
        return settings

    def frame_sampling(self, family: Family) -> Sampling:
        """Return which frames of a clip are taken for such a checkpoint, and their size."""
        return Sampling(
            frames=self.frames,
            fps=self.fps,
            max_frames=self.max_frames,
            spread=self.spread,
            scaling=self.scaling,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels or family.frame_pixels,
            # What the processor scales need only have whole pixels of colour: even sides.
            factor=2 if self.processor_resize else family.token_side,
            total_pixels=self.total_pixels,
            min_frames=self.min_frames,
        )

    def processor_inputs(self, family: Family) -> ProcessorInputs:
        """Return how media are handed to such a checkpoint.

        Raises:
            ValueError: bounds of an image for a model whose images all have one size.
        """
        bounds = {
            name: value
            for name in ("image_min_pixels", "image_max_pixels")
            if (value := getattr(self, name)) is not None
        }
        if bounds and not family.takes_videos:
            raise ValueError(
                f"{' and '.join(bounds)}: leave them out, this model scales all images to one size"
            )
        return ProcessorInputs(
            family, self.channels, self.tell_fps, self.processor_resize, **bounds
        )

    def system_text(self) -> str | None:
        """Return the system message of tasks that have none: stated, the preset's, or None.

        Raises where the preset's cannot be had; the text says what to do.
        """
        reference = _preset_named(self.preset).system_prompt
        if reference is None or "system_prompt" in self.beside:
            return self.system_prompt
        return _text_of(reference)

    def generation(self) -> Mapping[str, Any]:
        """Return the preset's generation arguments, for what a task leaves open."""
        return _preset_named(self.preset).generation

    def decoding(self, family: Family = QWEN2_5) -> str:
        """Return how clips are sampled, in a few words for the results.

        The preset's name comes first, with the arguments beside it that differ from it.
        """
        beside = (
            name if name == "system_prompt" else f"{name}={value}"
            for name, value in sorted(self.beside.items())
        )
        taken = f"{self.frames} frames" if self.fps is None else f"{self.fps:g} fps"
        words = {
            taken: True,
            "by count": self.fps is None and self.spread == "count",
            "evenly": self.fps is not None and self.spread == "even",
            f"<={self.max_pixels or family.frame_pixels}px": True,
            f"<={self.total_pixels}px in all": self.total_pixels is not None,
            f"images {self._image_bounds()}px": self._image_bounds() != "-",
            "by OpenCV's scaling": self.scaling == "opencv",
            "resized by the processor": self.processor_resize,
            "BGR": self.channels == "bgr",
            "rate not told": not self.tell_fps,
            "with sound" if self.use_audio_in_video else "without sound": True,
            "(not aligned)": self.use_audio_in_video and not self.align_sound,
        }
        said = " ".join(word for word, holds in words.items() if holds)
        return f"{'+'.join([self.preset, *beside])}: {said}"

    def _image_bounds(self) -> str:
        return f"{self.image_min_pixels or ''}-{self.image_max_pixels or ''}"

    def _check(self) -> None:
        check_values(self, _RULES)
        most = self.max_pixels or QWEN2_5.frame_pixels
        if most < self.min_pixels:
            raise ValueError(
                f"max_pixels={most!r}: a whole number not below "
                f"min_pixels={self.min_pixels} is needed"
            )
        if (self.image_max_pixels or math.inf) < (self.image_min_pixels or 0):
            raise ValueError(
                f"image_max_pixels={self.image_max_pixels!r}: a whole number not below "
                f"image_min_pixels={self.image_min_pixels} is needed"
            )
        if self.engine.get("mm_processor_cache_gb"):
            raise ValueError(
                "mm_processor_cache_gb must stay 0: vLLM's cache of processed media loses the "
                "sound of a video that was seen before, and then stops the engine"
            )


Rule = tuple[Callable[[Any], bool], str]


def check_values(settings: object, rules: Mapping[str, Rule]) -> None:
    """Raise ``ValueError`` for the first value that is not what its rule says."""
    for name, (holds, needed) in rules.items():
        value = getattr(settings, name)
        if not holds(value):
            raise ValueError(f"{name}={value!r}: {needed}")


def whole(least: int) -> Rule:
    return (lambda v: type(v) is int and v >= least), f"a whole number from {least} up is needed"


def whole_or_none(least: int) -> Rule:
    holds, needed = whole(least)
    return (lambda v: v is None or holds(v)), needed


def one_of(*words: str) -> Rule:
    return (lambda v: v in words), f"{' or '.join(words)} is needed"


def is_rate(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


SWITCH: Rule = (lambda v: isinstance(v, bool)), "True or False"
_RULES: Mapping[str, Rule] = {
    "model": (
        lambda v: isinstance(v, str) and v != "",
        "a Hugging Face name or a folder is needed",
    ),
    "system_prompt": (lambda v: isinstance(v, str | None), "a text is needed"),
    "store": (lambda v: isinstance(v, str | None), "a file, a folder or none is needed"),
    "frames": whole(1),
    **dict.fromkeys(("min_frames", "max_frames"), whole(2)),  # the vision encoder takes pairs
    "min_pixels": whole(1),
    "image_min_pixels": whole_or_none(1),
    # At least one token.
    **dict.fromkeys(("max_pixels", "total_pixels", "image_max_pixels"), whole_or_none(28 * 28)),
    "decode_workers": whole(1),
    "max_in_flight": whole(1),
    "fps": (lambda v: v is None or is_rate(v), "a number of frames per second above 0 is needed"),
    "engine_timeout": (is_rate, "seconds above 0 are needed"),
    "spread": one_of("time", "count", "even"),
    "scaling": one_of("smooth", "opencv"),
    "channels": one_of("rgb", "bgr"),
    "on_overflow": one_of("refuse", "fewer_frames"),
    "on_error": one_of("continue", "stop"),
    **dict.fromkeys(("use_audio_in_video", "align_sound", "tell_fps", "processor_resize"), SWITCH),
}
"""What the value of an argument must be, and the words for it."""


def _preset_named(name: object) -> Preset:
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise ValueError(f"preset={name!r}: one of {', '.join(PRESETS)} is needed")
    return preset


def _text_of(reference: str) -> str:
    """Return the text that a ``module:function`` gives; ``ValueError`` if it is not installed."""
    try:
        function = pkgutil.resolve_name(reference)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the preset's system prompt comes from {reference}, which is not installed "
            f"({error}): state system_prompt= beside the preset"
        ) from error
    return str(function())


def unknown_names(names: list[str], known: set[str], engine: str = "vLLM's engine") -> str:
    """Return a sentence on unknown names, each with the nearest known one."""
    hints = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return (
        f"unknown model argument {', '.join(hints)}: this model takes its own arguments "
        f"(docs/options.md) and those of {engine}"
    )


def plain_value(name: str, value: Any) -> Any:
    """Return a value as it was meant: lmms-eval hands JSON on as text and makes -1 into -1.0.

    Raises:
        ValueError: text that begins as JSON and is not.
    """
    if isinstance(value, float) and value.is_integer() and name not in _REAL:
        return int(value)
    if not isinstance(value, str):
        return value
    if value.lower() in {"none", "null"} and name != "store":  # there it is a word
        return None
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}={value}: not valid JSON ({error})") from None
    return value
