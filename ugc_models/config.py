"""The model's arguments: our own, vLLM's under vLLM's names, and presets, which set several.

``default`` is this adapter's own way. ``paper`` is how the published Qwen2.5-Omni rows of
UGC-VideoCap were made, read from the authors' ``omni_bench_inference/vllm_infer.py`` and
``video.py`` (WPR001/UGC_VideoCaptioner at 5f53538). Each difference is an argument of its own, and
one that stands beside ``preset=`` wins. They differ in

* which frames: the same number evenly, by time here, by number there. A recording of constant
  frame rate gives the same ones; with fewer than 32 frames theirs repeats some;
* channel order: theirs is the decoder's BGR, handed to a model that reads it as RGB;
* frame rate: theirs is not told, so that the processor takes 2 frames a second, whatever the clip:
  32 frames last 16 seconds, and in clips of another length sound and picture drift apart;
* size: theirs is at most 100,176 pixels with even sides, which transformers' processor scales once
  more, to whole tokens and at least 128 of them: a portrait frame of 1080x1920 becomes 236x422 and
  then 252x448, 144 tokens a time step, where ``default`` makes it 224x420 at once, 120 tokens;
* scaling: theirs is OpenCV's default, which averages two by two pixels and skips the rest. From
  1080x1920 down, levels differ from the smooth ones by 4 to 10 of 255 on textured pictures;
* sound: theirs starts with the track's first sample, however late or early the track starts, and
  closes its gaps; ``default`` puts it on the clock of the frames;
* system prompt, seed and longest prompt.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ugc_models.engine.family import Family, ProcessorInputs
from ugc_models.media.sampling import Sampling

DEFAULT_MODEL = "Qwen/Qwen2.5-Omni-3B"


@dataclass(frozen=True)
class Preset:
    """Values that hold where no argument says otherwise.

    Attributes:
        name: what ``preset=`` calls it.
        settings: arguments of :class:`Settings`.
        engine: arguments of vLLM's engine.
        generation: generation arguments, where the task states none.
        system_prompt: ``module:function`` that returns the text, None for the checkpoint's own. A
            name, because the text is data of the benchmark, which is asked for when it is needed.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None


DEFAULT = Preset("default")

PAPER = Preset(
    "paper",
    settings={
        # VideoAsset(num_frames=32): numpy.linspace over the numbers of the frames, rounded down.
        "frames": 32,
        "fps": None,
        "spread": "count",
        # VideoConfig: pixels of one frame. Its sides are even (frame_factor), and no preprocessing
        # option is given, so that the checkpoint's processor resizes what it gets.
        "min_pixels": 1,
        "max_pixels": 100_176,
        "processor_resize": True,
        # cv2.resize(frame, size): no interpolation is named.
        "scaling": "opencv",
        # Frames leave OpenCV's capture in BGR and are never converted.
        "channels": "bgr",
        # mm_processor_kwargs hold use_audio_in_video and nothing else.
        "tell_fps": False,
        "use_audio_in_video": True,
        # librosa.load(path, sr=16000): the samples of the track, without its times.
        "align_sound": False,
    },
    # LLM(max_model_len=20000, seed=42). There the seed starts one generator for the whole run, here
    # each request's own: their captions at temperature 0.2 cannot be drawn again.
    engine={"max_model_len": 20_000, "seed": 42},
    # SamplingParams(temperature=0.2, max_tokens=1024)
    generation={"temperature": 0.2, "max_new_tokens": 1024},
    system_prompt="ugc_tasks.benchmark:published_system_prompt",
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (DEFAULT, PAPER)}


_LEAST = {
    "frames": 1,
    "max_frames": 2,  # Qwen's vision encoder takes frames in pairs
    "min_pixels": 1,
    "max_pixels": 28 * 28,  # one token
    "decode_workers": 1,
    "max_in_flight": 1,
}
"""The least value of each whole number."""

_WORDS = {
    "spread": ("time", "count"),
    "scaling": ("smooth", "opencv"),
    "channels": ("rgb", "bgr"),
    "on_overflow": ("refuse", "fewer_frames"),
}
"""The values of each argument that is a word."""

_REAL = {"fps", "engine_timeout", "gpu_memory_utilization", "swap_space", "cpu_offload_gb",
         "mm_processor_cache_gb"}  # fmt: skip
"""Arguments that are real numbers: 1.0 stays 1.0."""

_PLAIN = {"store"}
"""Arguments for which "none" is a word and not nothing."""


@dataclass(frozen=True)
class Settings:
    """What ``--model_args`` says, checked.

    Attributes:
        preset: values where no argument says otherwise, see the module's docstring.
        model: Hugging Face name or local folder of a Qwen-Omni checkpoint.
        frames: how many frames, evenly over the clip; ignored where ``fps`` is given.
        fps: frames per second of the clip instead.
        max_frames: the most frames that ``fps`` may take.
        spread: what ``frames`` are even in: ``time``, or ``count``, the number of the frame.
        scaling: how frames are made smaller: ``smooth``, or ``opencv``, by its rough default.
        min_pixels, max_pixels: bounds of one frame's area in pixels. The default maximum is 128
            tokens of Qwen2.5-Omni a frame.
        processor_resize: leave it to the checkpoint's processor to bring frames to whole tokens,
            under its own bounds too. Without, they reach it in their final size.
        channels: ``rgb``, or ``bgr`` as the published captions had it.
        tell_fps: tell the model the frames' rate. Without, it takes its own for granted.
        use_audio_in_video: give the model the clip's sound where it has some.
        align_sound: put the sound on the clock of the frames. Without, its first sample is taken
            for the clip's start, and its gaps are closed.
        system_prompt: the system message; the preset's without one, or what the checkpoint's own
            template has.
        decode_workers: how many clips are decoded at once, each in a process of its own.
        max_in_flight: how many requests the engine holds at once; bounds the memory.
        on_overflow: what becomes of a prompt longer than the model takes: ``refuse``, or
            ``fewer_frames``, half of them until it fits; recorded for each clip.
        store: where captions are kept, see :func:`ugc_models.store.open_store`.
        engine_timeout: seconds after which an engine that owes answers and gives no token counts
            as hung and is started again.
        base_url: address of ``vllm serve`` to ask instead of an engine here.
        engine: everything else, by vLLM's names.
        beside: the arguments that were stated beside the preset and differ from it.
    """

    preset: str = DEFAULT.name
    model: str = DEFAULT_MODEL
    frames: int = 32
    fps: float | None = None
    max_frames: int = 768
    spread: Literal["time", "count"] = "time"
    scaling: Literal["smooth", "opencv"] = "smooth"
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 128 * 28 * 28
    processor_resize: bool = False
    channels: Literal["rgb", "bgr"] = "rgb"
    tell_fps: bool = True
    use_audio_in_video: bool = True
    align_sound: bool = True
    system_prompt: str | None = None
    decode_workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    max_in_flight: int = 32
    on_overflow: Literal["refuse", "fewer_frames"] = "refuse"
    store: str | None = None
    engine_timeout: float = 300.0
    base_url: str | None = None
    engine: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)

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
        ours = {f.name for f in fields(cls)} - {"engine", "beside"}
        known = ours | set(engine_names)
        if unknown := sorted(set(arguments) - known):
            raise ValueError(_unknown_names(unknown, known))
        values = {name: _plain_value(name, value) for name, value in arguments.items()}
        preset = _preset_named(values.get("preset", DEFAULT.name))
        settings = cls(
            **{**preset.settings, **{name: v for name, v in values.items() if name in ours}},
            engine={**preset.engine, **{name: v for name, v in values.items() if name not in ours}},
            beside=_beside(preset, values),
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
            max_pixels=self.max_pixels,
            # What the processor scales need only have whole pixels of colour: even sides.
            factor=2 if self.processor_resize else family.token_side,
        )

    def processor_inputs(self, family: Family) -> ProcessorInputs:
        """Return how frames and sound are handed to such a checkpoint."""
        return ProcessorInputs(family, self.channels, self.tell_fps, self.processor_resize)

    def system_text(self) -> str | None:
        """Return the system message of tasks that have none: stated, the preset's, or None.

        Raises:
            ValueError: the preset's is not installed.
            Exception: the preset's cannot be had; the text says what to do.
        """
        reference = _preset_named(self.preset).system_prompt
        if reference is None or "system_prompt" in self.beside:
            return self.system_prompt
        return _text_of(reference)

    def generation(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task's generation arguments, the preset's where it states none."""
        given = {name: value for name, value in stated.items() if value is not None}
        return {**_preset_named(self.preset).generation, **given}

    def decoding(self) -> str:
        """Return how clips are sampled, in a few words for the results.

        The preset's name comes first, with the arguments beside it that differ from it.
        """
        beside = (
            name if name == "system_prompt" else f"{name}={value}"
            for name, value in sorted(self.beside.items())
        )
        taken = f"{self.frames} frames" if self.fps is None else f"{self.fps:g} fps"
        words = [
            taken + (" by count" if self.fps is None and self.spread == "count" else ""),
            f"<={self.max_pixels}px",
            *(["by OpenCV's scaling"] if self.scaling == "opencv" else []),
            *(["resized by the processor"] if self.processor_resize else []),
            *(["BGR"] if self.channels == "bgr" else []),
            *([] if self.tell_fps else ["rate not told"]),
            "with sound" if self.use_audio_in_video else "without sound",
            *(["(not aligned)"] if self.use_audio_in_video and not self.align_sound else []),
        ]
        return f"{'+'.join([self.preset, *beside])}: {' '.join(words)}"

    def _check(self) -> None:
        self._check_words()
        self._check_numbers()
        if self.engine.get("mm_processor_cache_gb"):
            raise ValueError(
                "mm_processor_cache_gb must stay 0: vLLM's cache of processed media loses the "
                "sound of a video that was seen before, and then stops the engine"
            )

    def _check_words(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model={self.model!r}: a Hugging Face name or a folder is needed")
        if not isinstance(self.system_prompt, str | None):
            raise ValueError(f"system_prompt={self.system_prompt!r}: a text is needed")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name}={getattr(self, name)!r}: {' or '.join(words)} is needed")
        for name in ("use_audio_in_video", "align_sound", "tell_fps", "processor_resize"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: True or False")
        if not isinstance(self.store, str | None):
            raise ValueError(f"store={self.store!r}: a file, a folder or none is needed")

    def _check_numbers(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}={value!r}: a whole number from {least} up is needed")
        if self.fps is not None and not _is_rate(self.fps):
            raise ValueError(f"fps={self.fps!r}: a number of frames per second above 0 is needed")
        if not _is_rate(self.engine_timeout):
            raise ValueError(f"engine_timeout={self.engine_timeout!r}: seconds above 0 are needed")
        if self.max_pixels < self.min_pixels:
            raise ValueError(
                f"max_pixels={self.max_pixels!r}: a whole number not below "
                f"min_pixels={self.min_pixels} is needed"
            )


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


def _beside(preset: Preset, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stated arguments that the preset would have otherwise."""
    own = {**preset.settings, **preset.engine}
    if preset.system_prompt is not None:
        own["system_prompt"] = preset.system_prompt
    return {name: values[name] for name in own if name in values and values[name] != own[name]}


def _unknown_names(names: list[str], known: set[str]) -> str:
    """Return a sentence on unknown names, each with the nearest known one."""
    hints = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return (
        f"unknown model argument {', '.join(hints)}: this model takes its own arguments "
        "(README, 'Options') and those of vLLM's engine"
    )


def _plain_value(name: str, value: Any) -> Any:
    """Return a value as it was meant: lmms-eval hands JSON on as text and makes -1 into -1.0.

    Raises:
        ValueError: text that begins as JSON and is not.
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


def _is_rate(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0
