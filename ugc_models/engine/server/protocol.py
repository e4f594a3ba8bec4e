"""Requests and answers as ``vllm serve`` speaks them: its chat completions, and nothing else.

Fields beyond OpenAI's are those of vLLM 0.26 to 0.32
(``vllm/entrypoints/openai/chat_completion/protocol.py``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from ugc_models.engine.base import (
    TOO_LONG,
    AudioInput,
    EngineOutput,
    EngineRequest,
    FramesInput,
    ImageInput,
    Medium,
    VideoInput,
    shown,
)
from ugc_models.engine.server.packing import MEDIA_TYPE, pack, png, wav

NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""What an engine in process does by itself; a server would take the checkpoint's own instead."""

# Whatever the server was started with: every frame, as it is.
_ALL_FRAMES = {"video": {"video_backend": "opencv", "num_frames": -1, "fps": -1}}


def chat_body(request: EngineRequest, model: str, max_model_len: int | None = None) -> bytes:
    """Return the body of ``POST /v1/chat/completions``.

    ``model`` is the name that the server gives it; the server refuses a limit of new tokens above
    its ``max_model_len``. The ``messages`` have a ``{"type": "video"}``, image or audio where each
    medium belongs.

    Raises:
        ValueError: values that JSON or Unicode does not have; media of another kind.
    """
    parameters = {k: v for k, v in request.parameters.items() if v is not None}
    body = {"model": model, "return_token_ids": True, **NEUTRAL, **parameters}
    if max_model_len is not None and body.get("max_tokens", 0) > max_model_len:
        body["max_tokens"] = max_model_len  # an engine in process stops there too
    if salt := request.cache_salt:
        body["cache_salt"] = salt
    try:
        if request.processor:
            body["mm_processor_kwargs"] = dict(request.processor)
        if request.videos:
            body["media_io_kwargs"] = _ALL_FRAMES
        media = map(_parts, request.media)
        body["messages"] = [
            {"role": message["role"], "content": _content(message["content"], media)}
            for message in request.messages
        ]
        return json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"the request cannot be sent: {error}") from None


def _content(content: Any, media: Iterator[list[dict[str, Any]]]) -> Any:
    if isinstance(content, str):
        return content
    parts = ([part] if part["type"] == "text" else next(media) for part in content)
    return [part for each in parts for part in each]


def _parts(medium: Medium) -> list[dict[str, Any]]:
    if isinstance(medium, FramesInput):
        return [_part(ImageInput(frame)) for frame in medium.frames]
    return [_part(medium)]


def _part(medium: Medium) -> dict[str, Any]:
    if isinstance(medium, VideoInput):
        file, kind, name = pack(medium.frames, medium.sound), MEDIA_TYPE, "video_url"
    elif isinstance(medium, ImageInput):
        file, kind, name = png(medium.pixels), "image/png", "image_url"
    elif isinstance(medium, AudioInput):
        data = base64.b64encode(wav(medium.samples)).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    else:
        raise TypeError("a file is not what this engine takes")
    return {"type": name, name: {"url": f"data:{kind};base64,{base64.b64encode(file).decode()}"}}


def read_reply(index: int, body: bytes) -> tuple[EngineOutput, tuple[int, ...] | None]:
    """Return the output in a chat completion, and the ids of the whole prompt, media expanded.

    The ids are None where the server does not show them. Raises ``ValueError`` for anything else.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError
        reason, usage = choice.get("finish_reason"), data.get("usage")
        prompt_tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        output = EngineOutput(
            index,
            text=text,
            finish_reason=reason if isinstance(reason, str) else None,
            prompt_tokens=prompt_tokens if isinstance(prompt_tokens, int) else None,
            output_ids=_ids(choice.get("token_ids")) or (),
        )
        return output, _ids(data.get("prompt_token_ids"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer is not a chat completion") from None


def _ids(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        return None
    return tuple(value)


def refusal(index: int, status: int, body: bytes) -> EngineOutput:
    """Return the output for a request that a server refused for good (a status of 400 to 499)."""
    said = message(body)
    error = f"the server refused it: {said or f'status {status}'}"
    if "--trust-request-mm-kwargs" in said:
        error = (
            "the server does not take a video's frame rate from its clients: start it with "
            "--trust-request-mm-kwargs"
        )
    elif status == 413 or "file size exceeded" in said:
        error = (
            "it is too large for the server: fewer frames or pixels, or a larger "
            "VLLM_MAX_AUDIO_CLIP_FILESIZE_MB there (a proxy before it may have its own limit)"
        )
    return EngineOutput(index, error=error, overflow=bool(TOO_LONG.search(said)))


def message(body: bytes) -> str:
    """Return what an error body says, in one line of at most 300 characters."""
    data = json_object(body)
    inner = data.get("error", data)
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail")
    return shown(inner) if isinstance(inner, str) else ""


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, an empty one where there is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
