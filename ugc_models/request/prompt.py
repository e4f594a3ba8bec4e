"""From lmms-eval's messages to a prompt."""

from __future__ import annotations

import base64
import binascii
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ugc_models.engine.base import shown
from ugc_models.media.source import AudioSource, ImageSource, Source, VideoFile, VideoFrames

_SPECIAL = re.compile(r"<\|[A-Za-z_]+\|>")
_ROLES = ("system", "user", "assistant")
_KINDS = ("text", "video", "image", "audio")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DATA_URI = re.compile(r"(?i)data:[^,]{0,200};base64,")
_LONGEST_URI = 256 << 20  # characters
# lmms-eval calls a dictionary with a path a video, whatever is in the file.
_ENDINGS = {
    "image": (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp"),
    "audio": (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus"),
}
_MARKS = {
    "image": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"WEBP"),
    # The last are frames of MP3 and AAC.
    "audio": (
        b"WAVE",
        b"fLaC",
        b"OggS",
        b"ID3",
        b"\xff\xfb",
        b"\xff\xf3",
        b"\xff\xf1",
        b"\xff\xf9",
    ),
}
_WHOLE = {"int16": (0, 1 << 15), "int32": (0, 1 << 31), "uint8": (128, 128)}  # silence, the highest
_STARTS, _ENDS = ("start_time", "video_start"), ("end_time", "video_end")
_RATES = ("fps", "sample_fps")


class PromptError(ValueError):
    """A request that this model cannot take, in one sentence."""


class CheckpointError(RuntimeError):
    """A checkpoint whose processor cannot be loaded: no request can be asked."""


def unloadable(what: str, model: str, error: Exception) -> CheckpointError:
    """Return the error for a part of a checkpoint that transformers does not load."""
    said = shown(str(error).strip().partition("\n")[0])
    return CheckpointError(
        f"the {what} of model={model!r} cannot be loaded: check the folder or the Hugging Face "
        f"name ({type(error).__name__}: {said})"
    )


@dataclass(frozen=True)
class Conversation:
    """A chat for the model's own template, and what it has the model look at or listen to."""

    # [{"role": ..., "content": [{"type": "text" | "video" | "image" | "audio", ...}]}]
    messages: list[dict[str, Any]]
    media: tuple[Source, ...] = ()  # in the order of their parts in ``messages``


def conversation(messages: Sequence[Mapping[str, Any]], system_prompt: str | None) -> Conversation:
    """Check messages as lmms-eval's tasks give them.

    Their content is a string, or a list of ``{"type": "text", "text": ...}`` and ``{"type":
    "video" | "image" | "audio", "url": ...}``. An ``url`` is a path; a picture, a recording or a
    list of frames; or a dictionary with one of them. ``system_prompt`` is the system message where
    the task has none.

    Raises:
        PromptError: a part that is nothing of that, a remote address, a role that the model does
            not know, or text that spells one of its control tokens.
    """
    if not messages:
        raise PromptError("the task gives no messages")
    if not isinstance(messages, list | tuple) or not all(map(_is_message, messages)):
        raise PromptError("messages are a list of dictionaries with role and content")
    if system_prompt and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": system_prompt}, *messages]
    media: list[Source] = []
    checked: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in _ROLES:
            raise PromptError(f"this model knows the roles {', '.join(_ROLES)}, not {role!r}")
        if content is None:
            raise PromptError(f"a message of the {role} has no content")
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(given, list | tuple):
            raise PromptError(f"a {type(content).__name__} is no content of a message")
        parts = [_part(part, media) for part in given]
        # The tokenizer would read these as control tokens: a question could forge a turn, or a
        # second video that is not there.
        if found := _SPECIAL.search(_joined(parts)):
            raise PromptError(f"the text contains the control token {found.group()}")
        checked.append({"role": role, "content": parts})
    return Conversation(checked, tuple(media))


class ChatTemplate:
    """The checkpoint's own chat template, loaded when the first prompt is rendered.

    Without ``takes_videos`` a video stands in the prompt as an image and an audio, until it is read
    and the number of its frames is known.
    """

    def __init__(
        self, model: str, revision: str | None = None, *, takes_videos: bool = True
    ) -> None:
        self._model = model
        self._revision = revision
        self._takes_videos = takes_videos

    def render(self, chat: Conversation) -> str:
        """Return the text of a prompt, media marks unexpanded, up to where the model writes on.

        Raises ``CheckpointError`` where the checkpoint has no processor or no template, and
        ``PromptError`` where the template refuses this conversation, or a text of it spells a
        control token.
        """
        from jinja2 import TemplateError

        messages = chat.messages
        for text in (_joined(message["content"]) for message in messages):
            if found := next((token for token in self._control_tokens if token in text), None):
                raise PromptError(f"the text contains the control token {found}")
        if not self._takes_videos:
            messages = [{**m, "content": _without_videos(m["content"])} for m in messages]
        try:
            prompt = self._processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:
            raise PromptError(
                f"the checkpoint's chat template refuses it: {shown(error)}"
            ) from error
        return prompt[0] if isinstance(prompt, list) else str(prompt)

    @cached_property
    def _control_tokens(self) -> list[str]:
        tokenizer = getattr(self._processor, "tokenizer", self._processor)
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        return [token.content for token in added if token.special]

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(
                self._model, revision=self._revision or "main"
            )
        except Exception as error:
            raise unloadable("processor", self._model, error) from error
        if not getattr(processor, "chat_template", None):
            raise CheckpointError(f"the checkpoint model={self._model!r} has no chat template")
        return processor


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and {"role", "content"} <= set(message)


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return a message's text as a template joins the parts of it that follow each other."""
    return "".join(part.get("text", "\n") for part in parts)


def _without_videos(content: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    stand_in = [{"type": "image"}, {"type": "audio"}]
    return [new for part in content for new in (stand_in if part["type"] == "video" else [part])]


def _part(part: Any, media: list[Source]) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind not in _KINDS:
        said = repr(kind) if isinstance(part, Mapping) else f"a part of {type(part).__name__}"
        raise PromptError(f"this model takes text, video, image and audio, not {shown(said)}")
    if kind == "text":
        if part.get("text") is None:
            raise PromptError("a text part has no text")
        return {"type": "text", "text": str(part["text"])}
    source = _source(kind, part)
    media.append(source)
    if isinstance(source, VideoFile):
        return {"type": "video", "video": str(source.path)}
    return {"type": _kind_of(source)}


def _kind_of(source: Source) -> str:
    return {ImageSource: "image", AudioSource: "audio"}.get(type(source), "video")


def _source(kind: str, part: Mapping[str, Any]) -> Source:
    """Return what a part refers to; ``PromptError`` where it is nothing of its kind."""
    content = part.get("url")
    told = dict(part)
    if isinstance(content, Mapping):
        told |= content
        if content.get("array") is not None:
            return _recording(content["array"], content.get("sampling_rate"))
        # An image or recording of ``datasets`` has bytes, and a name that may not be a path.
        names = ("path", "url", "bytes") if kind == "video" else ("bytes", "path", "url")
        content = next((content[n] for n in names if content.get(n) is not None), None)
    if content is None:
        raise PromptError(f"the {kind} of a request is missing: the task gives none")
    if isinstance(content, str | os.PathLike):
        content = _local(kind, os.fspath(content))
        named = kind == "video" and isinstance(content, Path) and content.suffix.lower()
        kind = next((other for other, ends in _ENDINGS.items() if named in ends), kind)
    if kind == "video" and isinstance(content, bytes):
        kind = _sniffed(content)
    if kind == "video":
        return _video(content, told)
    if kind == "image" and (isinstance(content, bytes | Path) or hasattr(content, "getbands")):
        return ImageSource(content)
    if kind == "audio" and isinstance(content, bytes | Path):
        return AudioSource(content)
    if kind == "audio" and hasattr(content, "get_all_samples"):  # torchcodec's AudioDecoder
        # ``datasets`` notes what it is made of: that is decoded in a worker.
        of = getattr(content, "_hf_encoded", None) or {}
        if of.get("bytes") is not None or Path(of.get("path") or "").is_file():
            return _source(kind, {"url": of})
        try:
            samples = content.get_all_samples()
            return _recording(samples.data, samples.sample_rate)
        except PromptError:
            raise
        except Exception as error:  # libav's own, of a foreign file
            raise PromptError(f"the audio cannot be decoded: {shown(error)}") from error
    raise PromptError(f"a {type(content).__name__} is no {kind} that this model takes")


def _sniffed(content: bytes) -> str:
    """Return what the bytes of a file begin as; lmms-eval calls them a video without a look."""
    head = content[8:12] if content.startswith(b"RIFF") else content[:4]
    return next((kind for kind, marks in _MARKS.items() if head.startswith(marks)), "video")


def _local(kind: str, name: str) -> Path | bytes:
    """Return the file that a name refers to, or what a data URI holds."""
    if name[:5].lower() == "data:":
        if not (head := _DATA_URI.match(name)) or len(name) > _LONGEST_URI:
            raise PromptError(f"the data URI of the {kind} is not base64, or longer than 256 MB")
        try:
            return base64.b64decode(name[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise PromptError(f"the data URI of the {kind} is not base64: {error}") from None
    if name.lower().startswith("file://"):
        name = unquote(re.sub(r"(?i)^file://(localhost(?=/))?", "", name))
    elif remote := _SCHEME.match(name):
        raise PromptError(
            f"the {kind} is at a remote address ({remote[1]}://): this model reads files of this "
            "machine alone, so it must be fetched before"
        )
    if not name or "\0" in name:
        raise PromptError(f"the {kind} of a request must be the path of a file")
    return Path(name)


def _video(content: Any, told: Mapping[str, Any]) -> Source:
    start, end = (_seconds(told, names) for names in (_STARTS, _ENDS))
    if isinstance(content, Path):
        if end is not None and end <= (start or 0.0):
            raise PromptError(f"a stretch of video from {start or 0.0:g} to {end:g} s is empty")
        return VideoFile(content, start or 0.0, end)
    is_list = isinstance(content, list | tuple) or getattr(content, "ndim", 0) == 4
    if not is_list:
        raise PromptError("the video of a request must be the path of a file, or a list of frames")
    if not (pictures := list(content)):
        raise PromptError("the video of a request is an empty list of frames")
    if any(isinstance(picture, str | bytes) or picture is None for picture in pictures):
        raise PromptError("the frames of a video must be pictures")
    if (start, end) != (None, None):
        raise PromptError("a video that is a list of frames has no times to cut it at")
    rate = _seconds(told, _RATES)
    return VideoFrames(pictures, rate or None)


def _seconds(told: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return the first number from 0 up that is there under one of the names."""
    name = next((name for name in names if told.get(name) is not None), None)
    if name is None:
        return None
    try:
        number = float(told[name])
    except (TypeError, ValueError):
        number = -1.0
    if not math.isfinite(number) or number < 0:
        raise PromptError(f"{name}={shown(repr(told[name]), 60)} of a video is no number from 0 up")
    return number


def _recording(samples: Any, rate: Any) -> AudioSource:
    import numpy as np

    try:
        array = np.asarray(samples)
        rate = int(rate)
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"an audio without samples or rate: {shown(error)}") from None
    if array.dtype.name in _WHOLE:  # as a WAV file has them
        middle, highest = _WHOLE[array.dtype.name]
        array = (array.astype(np.float32) - np.float32(middle)) / np.float32(highest)
    elif array.dtype.kind != "f":
        raise PromptError(f"an audio of {array.dtype}: floats or {', '.join(_WHOLE)} are needed")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if array.ndim not in {1, 2} or not array.size or rate < 1:
        raise PromptError(
            f"an audio of shape {array.shape} at {rate} Hz: samples or (channels, samples) "
            "are needed"
        )
    return AudioSource(None, array, rate)
