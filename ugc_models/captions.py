"""A caption with how it came about, what is suspicious of it, and what identifies its model."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from operator import eq
from pathlib import Path
from typing import Any

from ugc_models.engine.base import shown

_LONGEST_PERIOD = 60  # words: a longer phrase said again is rather an answer given twice
_TIMES = 4  # in a row
_LEAST_WORDS = 24  # of the run together: "no, no, no, no" is a quotation
_WORD = re.compile(r"\w+|[^\w\s]")
_SAME_CHARACTER = re.compile(r"(\S{1,8}?)\1{39,}")

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
_TEXTS = ("*.json", "*.txt", "*.jinja", "*.model")

WHERE_IT_RUNS = frozenset(
    {
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        *("distributed_executor_backend", "gpu_memory_utilization", "kv_cache_memory_bytes"),
        *("max_num_seqs", "max_num_batched_tokens", "renderer_num_workers", "download_dir"),
        *("load_format", "disable_log_stats", "skip_mm_profiling", "cpu_offload_gb", "swap_space"),
        *("enforce_eager", "max_parallel_loading_workers", "enable_log_requests"),
    }
)
"""Engine arguments that say where and how fast a model runs, not what it is."""


@dataclass(frozen=True)
class Generation:
    """How one request was answered; what the samples file and the result's counts are made of.

    ``sound_offset`` is the silence put before the sound, or (below 0) what was cut of it, unless
    ``align_sound=False`` left it where it was; ``sound_gaps`` likewise.
    """

    error: str | None = None  # why there is no caption, in one sentence
    finish_reason: str | None = None  # vLLM's word: ``stop``, or ``length`` for the token limit
    prompt_tokens: int | None = None  # picture and sound included
    output_tokens: int | None = None
    frames: int | None = None  # that the model saw
    fps: float | None = None  # their rate in frames per second of the clip
    size: tuple[int, int] | None = None  # (width, height) that the processor got, in pixels
    seconds: float | None = None  # duration of the clip
    sound_seconds: float = 0.0  # that the model got among the frames
    sound_missing: str | None = None  # why it got none
    sound_offset: float | None = None  # seconds from the first frame to the start of the track
    sound_gaps: float = 0.0  # seconds for which the track pauses
    picture_track: int | None = None  # index in the file, None where there is only one
    sound_track: int | None = None
    frames_dropped: int = 0  # left out to fit the longest prompt
    # Each medium, where there is more than one video or another kind: its kind and size, and what
    # was done to it; ``sound`` of a video is ``interleaved``, or ``beside`` it as an audio.
    media: tuple[dict[str, Any], ...] | None = None
    flags: tuple[str, ...] = ()  # ``token_limit``, ``repetition``, ``fewer_frames``, ``sound_cut``
    decoding: str | None = None  # how the model was run, alike in runs that can be compared
    stored: bool = False  # made by an earlier run and found on disk
    # What an API says of its reply: the version, tokens of sound and of thought, US dollars.
    api: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Make what others said of a failure harmless to show."""
        for name in ("error", "sound_missing"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, shown(getattr(self, name), limit=1_000))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Generation:
        """Return what ``asdict`` made a dictionary of, on its way through JSON too."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        if known.get("size") is not None:
            known["size"] = tuple(known["size"])
        if known.get("media") is not None:
            known["media"] = tuple(known["media"])
        return cls(**known | {"flags": tuple(known.get("flags", ()))})


class Caption(str):
    """A model's answer, with how it came about in ``generation``.

    lmms-eval carries answers as strings from the model to the task. A string that carries more goes
    the same way, and is a plain string to everybody else. ``generation`` is a dictionary of the
    fields of :class:`Generation` and ``heard``.
    """

    generation: dict[str, Any]

    def __new__(cls, text: str, generation: Generation) -> Caption:
        caption = super().__new__(cls, plain(text))
        heard: bool | None = generation.sound_seconds > 0
        if generation.api is not None and generation.api.get("audio_tokens") is None:
            heard = None  # the API does not tell
        facts = {**asdict(generation), "heard": heard}
        caption.generation = {k: plain(v) if isinstance(v, str) else v for k, v in facts.items()}
        return caption

    def __reduce__(self) -> tuple[Any, ...]:
        # lmms-eval gathers answers of several ranks by pickling them.
        return Caption, (str(self), Generation.from_dict(self.generation))


def plain(text: str) -> str:
    """Return ``text`` with ``?`` for lone surrogates: a server's JSON has them, no file can."""
    return text.encode("utf-8", "replace").decode()


def is_repetitive(text: str) -> bool:
    """Whether some phrase comes at least four times in a row and fills at least 24 words.

    In languages written without spaces a string of up to eight characters that comes 40 times in a
    row counts too. The search takes time in proportion to the text's length.
    """
    if _SAME_CHARACTER.search(text):
        return True
    words = [zlib.crc32(word.encode()) for word in _WORD.findall(text.lower())]
    for period in range(1, _LONGEST_PERIOD + 1):
        need = max(period * (_TIMES - 1), _LEAST_WORDS - period)
        run = 0
        for same in map(eq, words[period:], words):
            run = run + 1 if same else 0
            if run >= need:
                return True
    return False


def checkpoint_identity(model: str, revision: str | None, digest: Callable[[Path], str]) -> str:
    """Return what distinguishes a checkpoint from every other.

    A folder: the digest of its configuration and of all its weights, by content, since a lab writes
    the next checkpoint over the last. A Hugging Face name: its commit. ``digest`` returns the
    SHA-256 of a file, remembered between runs if it can be.
    """
    folder = Path(model)
    if folder.is_dir():
        files = sorted({f for kind in (*_TEXTS, *_WEIGHTS) for f in folder.glob(kind)})
        lines = "".join(f"{file.name} {digest(file)}\n" for file in files)
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    from huggingface_hub import hf_hub_download

    # The cache keeps a file under the commit that it belongs to.
    found = Path(hf_hub_download(model, "config.json", revision=revision or "main"))
    return f"{model}@{found.parent.name}"


def engine_identity(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine arguments that a caption depends on."""
    return {name: value for name, value in arguments.items() if name not in WHERE_IT_RUNS}
