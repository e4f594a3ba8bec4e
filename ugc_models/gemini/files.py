"""What a request has the model look at or listen to, as files that the API takes.

A clip goes byte for byte, with its sound. Only what the API does not take is made into something
that it does: pictures in memory into PNG, recordings into WAV.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import FileInput
from ugc_models.engine.server.packing import png, wav
from ugc_models.media.audio import convert_samples
from ugc_models.media.container import regular_file
from ugc_models.media.image import convert_picture
from ugc_models.media.limits import Limits
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import AudioSource, Image, ImageSource, Source, VideoFile, VideoFrames
from ugc_models.run.inputs import Read
from ugc_models.run.pipeline import Reader
from ugc_models.store import CaptionStore

INLINE_BYTES = 14_000_000
"""Of all media within one request: 18.7 MB in base64, where the API takes 20 MB with the text."""

# Source: ai.google.dev/gemini-api/docs/video-understanding, /image-understanding and /audio.
_VIDEO = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm", ".mpg": "mpg",
          ".mpeg": "mpeg", ".avi": "avi", ".wmv": "wmv", ".flv": "x-flv", ".3gp": "3gpp",
          ".mkv": "x-matroska"}  # fmt: skip
_MARKS = (
    *((0, b"\x89PNG", "image/png"), (0, b"\xff\xd8\xff", "image/jpeg"), (8, b"WEBP", "image/webp")),
    *((8, b"WAVE", "audio/wav"), (0, b"fLaC", "audio/flac"), (0, b"OggS", "audio/ogg")),
    *((0, b"ID3", "audio/mp3"), (0, b"\xff\xfb", "audio/mp3"), (8, b"AIFF", "audio/aiff")),
)
_ARTICLE = {"video": "a video", "image": "an image", "audio": "an audio"}


class FileReader(Reader):
    """Finds stored answers, or else the files of a request; decodes nothing that it need not."""

    reading = "files 1"  # part of every key on disk

    def __init__(
        self, pool: DecodePool, *, store: CaptionStore | None, made_of: Mapping[str, Any]
    ) -> None:
        super().__init__(
            pool, Sampling(), sound=False, align_sound=False, store=store, made_of=made_of
        )

    def _read(self, source: Source) -> Read:
        if isinstance(source, VideoFile):
            kind = f"video/{_VIDEO.get(source.path.suffix.lower(), 'mp4')}"
            return self._whole("video", source.path, kind, source.start, source.end)
        if isinstance(source, VideoFrames):
            limit = Limits().image_pixels
            pictures = tuple(png(convert_picture(each, limit)) for each in source.pictures)
            return FileInput("video", pictures, "image/png", "", sum(map(len, pictures)))
        if isinstance(source, ImageSource):
            return self._taken("image", source, source.content)
        return self._taken("audio", source, source.content)

    def _taken(self, kind: Literal["image", "audio"], source: Source, content: Any) -> FileInput:
        """Return a file as it is if the API takes its format, and another one made of it if not."""
        if isinstance(content, Path | bytes):
            head = _head(kind, content)
            for at, mark, mime_type in _MARKS:
                if head.startswith(mark, at) and mime_type.startswith(kind):
                    return self._whole(kind, content, mime_type)
        if isinstance(source, AudioSource) and source.samples is not None:
            read: Any = convert_samples(source.samples, source.rate, Limits())
        else:
            read = super()._read(source)
        made = png(read.pixels) if isinstance(read, Image) else wav(read.samples)
        return self._whole(kind, made, "image/png" if kind == "image" else "audio/wav")

    def _whole(
        self,
        kind: Literal["video", "image", "audio"],
        content: Path | bytes,
        mime_type: str,
        start: float = 0.0,
        end: float | None = None,
    ) -> FileInput:
        if isinstance(content, bytes):
            digest = hashlib.sha256(content).hexdigest()
            return FileInput(kind, content, mime_type, digest, len(content))
        size = regular_file(content, _ARTICLE[kind]).stat().st_size
        if self._store is not None:
            digest = self._store.digest(content)
        else:
            with content.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileInput(kind, content, mime_type, digest, size, start, end)


def _head(kind: str, content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content[:16]
    with regular_file(content, _ARTICLE[kind]).open("rb") as file:
        return file.read(16)


def contents(
    messages: Any, media: Iterator[list[Any]], *, text_first: bool
) -> tuple[str | None, list[Any]]:
    """Return the system instruction and the turns of a conversation, as google-genai has them.

    ``media`` gives the parts of each medium, in order. ``text_first`` puts the text of each turn
    before what it shows.
    """
    from google.genai import types

    system: list[str] = []
    turns: list[Any] = []
    for message in messages:
        texts: list[Any] = []
        parts: list[Any] = []
        for part in message["content"]:
            if part["type"] == "text":
                (texts if text_first else parts).append(types.Part(text=part["text"]))
            else:
                parts += next(media)
        if message["role"] == "system":
            system += [part.text for part in texts + parts if part.text]
        else:
            role = "model" if message["role"] == "assistant" else "user"
            turns.append(types.Content(role=role, parts=texts + parts))
    return "\n\n".join(system) or None, turns
