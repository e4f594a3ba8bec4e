"""Named ways of making captions: what ``preset=`` stands for.

``default`` is this adapter's own way. ``paper`` is how the published Qwen2.5-Omni rows of
UGC-VideoCap were made, read from the authors' ``omni_bench_inference/vllm_infer.py`` and
``video.py`` (WPR001/UGC_VideoCaptioner at 5f53538). They differ in

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
  closes its gaps; ``default`` hears it when it is seen;
* system prompt, seed and longest prompt.

Each of these is a model argument of its own, and one that stands beside ``preset=`` wins.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Values that hold where no argument says otherwise.

    Attributes:
        name: what ``preset=`` calls it.
        settings: arguments of :class:`ugc_models.settings.Settings`.
        engine: arguments of vLLM's engine.
        sampling: generation arguments, where the task states none.
        system_prompt: ``module:function`` that returns the text, None for the checkpoint's own. A
            name, because the text is data of the benchmark, which is asked for when it is needed.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
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
    sampling={"temperature": 0.2, "max_new_tokens": 1024},
    system_prompt="ugc_tasks.benchmark:published_system_prompt",
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (DEFAULT, PAPER)}


def preset_named(name: object) -> Preset:
    """Return the preset; ``ValueError`` names those that there are."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise ValueError(f"preset={name!r}: one of {', '.join(PRESETS)} is needed")
    return preset


def text_of(reference: str) -> str:
    """Return the text that a ``module:function`` gives.

    Raises:
        ValueError: the function is not installed.
        Exception: what the function raises, where the text cannot be had.
    """
    try:
        function = pkgutil.resolve_name(reference)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the preset's system prompt comes from {reference}, which is not installed "
            f"({error}): state system_prompt= beside the preset"
        ) from error
    return str(function())
