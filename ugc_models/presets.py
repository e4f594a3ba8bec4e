"""Settings that others publish with, by name; each is an argument too.

``default`` is this adapter's own way. ``paper`` is how the published Qwen2.5-Omni rows of
UGC-VideoCap were made, read from the authors' ``omni_bench_inference/vllm_infer.py`` and
``video.py`` (WPR001/UGC_VideoCaptioner at 5f53538), ``paper-gemma-3n`` how those of Gemma-3n were,
as far as the authors say. ``qwen-omni-utils`` is the way of Qwen's own examples, ``avocado`` and
``asid`` that of two captioners' public scripts.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Values that hold where no argument says otherwise."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # arguments of :class:`Settings`
    engine: Mapping[str, Any] = field(default_factory=dict)  # of vLLM's engine
    generation: Mapping[str, Any] = field(default_factory=dict)  # where the task states none
    # ``module:function`` that returns the text, None for the checkpoint's own. A name, because the
    # text is data of the benchmark, which is asked for when it is needed.
    system_prompt: str | None = None


PAPER = Preset(
    settings={
        # VideoAsset(num_frames=32): numpy.linspace over the numbers of the frames, rounded down.
        "frames": 32,
        "fps": None,
        "spread": "count",
        # VideoConfig: pixels of one frame. Its sides are even (frame_factor), and no preprocessing
        # option is given, so that the checkpoint's processor resizes what it gets, to whole tokens
        # and at least 128 of them: a frame of 1080x1920 becomes 236x422 and then 252x448, 144
        # tokens a time step, where ``default`` makes it 224x420 at once, 120 tokens.
        "min_pixels": 1,
        "max_pixels": 100_176,
        "processor_resize": True,
        # cv2.resize(frame, size): no interpolation is named. OpenCV's default averages two by two
        # pixels and skips the rest: levels differ from the smooth ones by 4 to 10 of 255.
        "scaling": "opencv",
        # Frames leave OpenCV's capture in BGR and are never converted.
        "channels": "bgr",
        # mm_processor_kwargs hold use_audio_in_video and nothing else: the processor takes 2 frames
        # a second for granted, and sound and picture drift apart unless 32 frames last 16 seconds.
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

PAPER_GEMMA3N = Preset(
    # omni_bench_inference/gemma3n.py: all files of a clip's folder of frames as images, its sound
    # (an MP3, without its times) as an audio, then the question; no system message. How many frames
    # were put there, and of which size, the repository does not say. Their generate() names 1,024
    # tokens and leaves the rest to the checkpoint. Its generation_config.json is behind Google's
    # licence and was not read here; the values are those that Google recommends for Gemma 3.
    settings={"frames": 32, "align_sound": False},
    generation={"temperature": 1.0, "top_p": 0.95, "top_k": 64, "max_new_tokens": 1024},
)

OMNI_UTILS = Preset(
    # qwen-omni-utils 0.0.9, ``v2_5/vision_process.py``: FPS, FPS_MAX_FRAMES, VIDEO_MIN_TOKEN_NUM
    # and VIDEO_MAX_TOKEN_NUM (of 28 by 28 pixels), 90 % of MODEL_SEQ_LEN tokens for all frames of
    # a video, counted in pairs. Two things are this adapter's own: pictures are made smaller by
    # libswscale's bicubic filter, where theirs is torchvision's; and a stretch does not have the
    # frame at its end.
    settings={
        "fps": 2.0,
        "spread": "even",
        "min_frames": 4,
        "max_frames": 768,
        "min_pixels": 128 * 28 * 28,
        "max_pixels": 768 * 28 * 28,
        "total_pixels": 128_000 * 28 * 28 * 9 // 10,
    },
)

_CAPTIONERS = {
    **OMNI_UTILS.settings,
    "max_pixels": 512 * 28 * 28,
    # The processor is called with what process_mm_info returns, and told no rate.
    "tell_fps": False,
    # Sound as the file's samples, without its times.
    "align_sound": False,
}
"""What AVoCaDO's and ASID's scripts have in common."""

AVOCADO = Preset(
    # AVoCaDO-Captioner/AVoCaDO at 23b2995, ``inference.py`` and
    # ``eval_scripts/UGC-VideoCap/generate_caption.py``. They set the variable VIDEO_MAX_PIXELS to
    # 20,070,400 after qwen_omni_utils has read it, so the budget of all frames is the default one.
    settings=_CAPTIONERS,
    generation={"temperature": 0.0, "max_new_tokens": 2048},
    system_prompt="ugc_models.presets:qwen_system_prompt",
)

ASID = Preset(
    # HVision-NKU/ASID-Caption at 3066f27, ``batch_inference.py`` and
    # ``eval_scripts/UGC-VideoCap/generate_caption.py``: total_pixels stands in the message.
    settings={**_CAPTIONERS, "total_pixels": 512 * 28 * 28 * 50},
    generation={"temperature": 0.0, "max_new_tokens": 4096, "repetition_penalty": 1.1},
    system_prompt="ugc_models.presets:qwen_system_prompt",
)

PRESETS: Mapping[str, Preset] = {
    "default": Preset(),
    "paper": PAPER,
    "paper-gemma-3n": PAPER_GEMMA3N,
    "qwen-omni-utils": OMNI_UTILS,
    "avocado": AVOCADO,
    "asid": ASID,
}

GEMINI_PRESETS: Mapping[str, Preset] = {
    "default": Preset(),
    # ``omni_bench_inference/subsection/gemini.py`` at 5f53538: files.upload of each clip, then
    # generate_content(model, [prompt, file]) without a config, so that temperature, limit and
    # thinking are the API's own. They take the first answer with text, which is stripped.
    "paper": Preset(
        settings={"order": "text_first", "task_generation": False, "inline": False},
    ),
}
"""For ``gemini_video``."""


def qwen_system_prompt() -> str:
    """Return the system message of Qwen2.5-Omni's own examples, as lmms-eval's model states it.

    It is read from the source: to import that model needs packages that are not needed here.
    """
    package = importlib.util.find_spec("lmms_eval")
    if package is None or package.origin is None:
        raise ImportError("lmms-eval is not installed")
    source = Path(package.origin).with_name("models") / "simple" / "qwen2_5_omni.py"
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            named = node.args.args[-len(node.args.defaults) :] if node.args.defaults else []
            for argument, value in zip(named, node.args.defaults, strict=True):
                if argument.arg == "system_prompt":
                    return str(ast.literal_eval(value))
    raise ImportError(f"{source.name} of the installed lmms-eval states no system_prompt")


_DRIVE = "https://drive.google.com/drive/folders/"
CHECKPOINTS: Mapping[str, str] = {
    "ugc-videocaptioner-3b-zero": f"{_DRIVE}1R-L4kz4R7UxYpcU4El1ctgvVDQbsMsG6",
    "qwen2.5-omni-3b-sft-1k": f"{_DRIVE}1itJ1u4XEJNVfmgbxuKL-fGWCbaW3EAza",
    "qwen2.5-omni-3b-sft-10k": f"{_DRIVE}1auQ4mx9CcxIzAIF4SyH034xufzrqe29w",
    "qwen2.5-omni-3b-sft-20k": f"{_DRIVE}11WJZkq8I_807zJUmBCCvwNjSj18F2im9",
}
"""Where the authors share fine-tunes of the published table, by their folders in ``configs/``.

Source: README.md of WPR001/UGC_VideoCaptioner at 5f53538. The fifth is on the Hugging Face hub.
"""


def missing_checkpoint(model: str) -> str:
    """Return the sentence on a folder below ``checkpoints/`` that is not there, else nothing."""
    path = Path(model)
    if path.is_absolute() or path.parts[:1] != ("checkpoints",) or path.is_dir():
        return ""
    link = CHECKPOINTS.get(path.name, "where it is shared")
    return f"{model} does not exist (looked for in {Path.cwd()}): get it from {link}"
