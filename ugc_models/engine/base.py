"""What goes to an engine and what comes back, and how foreign text is made safe to show.

Text from engines, servers, file names and libav can hold escape sequences, marks that turn the
writing direction and line breaks, and so forge what a terminal shows. (``ugc_tasks`` has the same
for its own: neither package imports the other.)
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy.typing as npt

TOO_LONG = re.compile(r"maximum (?:context|model) length")
"""vLLM's words where it refuses a prompt for its length."""
_RECORD = 2_000  # characters of a logged line


@dataclass(frozen=True, eq=False)
class VideoInput:
    frames: npt.NDArray[Any]  # (T, H, W, 3) uint8 in the model's channel order
    fps: float | None  # frames per second of the clip that they were taken at
    sound: npt.NDArray[Any] | None = None  # (N,) float32 at 16 kHz to be interleaved with them


@dataclass(frozen=True, eq=False)
class FramesInput(VideoInput):
    """A video for a model that takes none: each frame is an image, with a mark of its own."""


@dataclass(frozen=True, eq=False)
class ImageInput:
    pixels: npt.NDArray[Any]  # (H, W, 3) uint8, RGB, at its own size


@dataclass(frozen=True, eq=False)
class AudioInput:
    samples: npt.NDArray[Any]  # (N,) float32 at 16 kHz


@dataclass(frozen=True, eq=False)
class FileInput:
    """What an engine takes as a file, undecoded; a video of pictures is a file for each."""

    kind: Literal["video", "image", "audio"]
    content: Path | bytes | tuple[bytes, ...]
    mime_type: str
    digest: str  # SHA-256 of the file, empty for several
    size: int  # bytes
    start: float = 0.0  # seconds, of a video
    end: float | None = None


Medium = VideoInput | ImageInput | AudioInput | FileInput


@dataclass(frozen=True, eq=False)
class EngineRequest:
    """One prompt with its media, in the order of their marks.

    Either every video of it has sound that is interleaved, or none.
    """

    index: int  # the caller's own number for it
    prompt: str  # with the model's media marks, unexpanded, as the chat template rendered it
    media: tuple[Medium, ...]
    parameters: Mapping[str, Any]  # of ``vllm.SamplingParams``
    processor: Mapping[str, Any] = field(default_factory=dict)  # vLLM's ``mm_processor_kwargs``
    messages: Sequence[Mapping[str, Any]] = ()  # what ``prompt`` was rendered from

    @property
    def videos(self) -> list[VideoInput]:
        """Its videos, in order."""
        return [medium for medium in self.media if isinstance(medium, VideoInput)]

    @property
    def images(self) -> list[npt.NDArray[Any]]:
        """Its images, in the order of their marks, each (H, W, 3)."""
        found: list[npt.NDArray[Any]] = []
        for medium in self.media:
            if isinstance(medium, FramesInput):
                found += list(medium.frames)
            elif isinstance(medium, ImageInput):
                found.append(medium.pixels)
        return found

    @property
    def cache_salt(self) -> str | None:
        """What keeps vLLM's prefix cache from giving a clip the sound of another one.

        Picture and interleaved sound cover the same tokens, and vLLM (read in 0.32) names
        the blocks of such a span by the picture alone: with the same frames, the sound that came
        first would be heard again. So the digest of these sounds, each after its length, goes into
        the name of all blocks. All other media have tokens of their own, and name these.
        """
        sounds = [video.sound for video in self.videos if video.sound is not None]
        if not sounds:
            return None
        if len(sounds) == 1:
            return hashlib.sha256(sounds[0].tobytes()).hexdigest()
        both = hashlib.sha256()
        for sound in sounds:
            both.update(len(sound).to_bytes(8, "big") + sound.tobytes())
        return both.hexdigest()


def sounds_of(media: Sequence[Medium]) -> list[npt.NDArray[Any]]:
    """Return all sounds, interleaved or not, in the order of the marks."""
    each = (
        medium.samples if isinstance(medium, AudioInput) else getattr(medium, "sound", None)
        for medium in media
    )
    return [sound for sound in each if sound is not None]


@dataclass(frozen=True)
class EngineOutput:
    """What became of a request: text, or an error in one sentence."""

    index: int  # the request's
    text: str = ""  # the model's words, empty where there is an error
    error: str | None = None
    overflow: bool = False  # the error is that the prompt is longer than the model takes
    finish_reason: str | None = None  # vLLM's word: ``stop``, or ``length`` for the token limit
    prompt_tokens: int | None = None  # media included
    output_ids: tuple[int, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)  # of Generation, as the engine has it


class EngineStopped(RuntimeError):
    """Nothing more can be asked; what is in flight is still answered. One sentence."""


class Engine(Protocol):
    """Something that answers requests, many at once."""

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; what fails of this request alone is in the future's result.

        The future raises only when the engine itself is beyond use.
        """

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results."""

    def close(self) -> None:
        """Stop, and give back what it holds."""


def shown(text: object, limit: int = 300) -> str:
    """Return ``str(text)`` as one line of at most ``limit`` characters that is safe to show.

    White space becomes single spaces, what is not printable its escape (``\\x1b``, ``\\u202e``).
    """
    whole = str(text).strip()
    line = " ".join(whole[:limit].split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(whole) <= limit and len(line) <= limit else f"{line[: limit - 1]}…"


def logger(name: str) -> logging.Logger:
    """Return the logger ``name``, whose messages are harmless whatever handler shows them."""
    found = logging.getLogger(name)
    found.addFilter(_harmless)  # a filter that is there is not added again
    return found


def harmless_record(record: Any) -> None:
    """Make a record of loguru harmless; for ``logger.patch``."""
    record["message"] = shown(record["message"], _RECORD)


def _harmless(record: logging.LogRecord) -> bool:
    record.msg, record.args = shown(record.getMessage(), _RECORD), ()
    return True
