"""Requests and answers as ``vllm serve`` speaks them: its chat completions, and nothing else.

Pure: bytes in, values out. Fields beyond OpenAI's are those of vLLM 0.26 to 0.32
(``vllm/entrypoints/openai/chat_completion/protocol.py``).
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ugc_models.display import shown
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.server.packing import MEDIA_TYPE, pack

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

_ALSO = {"seed", "stop", "stop_token_ids", "max_tokens", "min_tokens", "ignore_eos", "bad_words",
         "include_stop_str_in_output", "skip_special_tokens", "spaces_between_special_tokens",
         "allowed_token_ids", "logit_bias"}  # fmt: skip
"""Further names that ``vllm.SamplingParams`` and a chat request have in common."""

# Whatever the server was started with: every frame, as it is.
_ALL_FRAMES = {"video": {"video_backend": "opencv", "num_frames": -1, "fps": -1}}

_TOO_LONG = re.compile(r"maximum (?:context|model) length")


class Unsendable(ValueError):
    """A request that cannot be put into words for a server, in one sentence."""


class Unreadable(ValueError):
    """A reply that is no chat completion."""


@dataclass(frozen=True)
class Reply:
    """A chat completion, taken apart.

    Attributes:
        text: what the model wrote.
        finish_reason: vLLM's word.
        prompt_tokens: as the server counted them.
        output_ids: the tokens of the text; None where the server keeps them to itself.
        prompt_ids: the whole prompt, media expanded; None likewise.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    output_ids: tuple[int, ...] | None
    prompt_ids: tuple[int, ...] | None


def chat_body(request: EngineRequest, model: str, max_model_len: int | None = None) -> bytes:
    """Return the body of ``POST /v1/chat/completions``.

    Args:
        request: its ``messages`` carry one ``{"type": "video"}`` where the clip belongs.
        model: the name that the server gives it.
        max_model_len: the server's; it refuses a limit of new tokens above it.

    Raises:
        Unsendable: no messages, media that they do not mention, or the reverse; a sampling
            argument that a server does not take.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(request),
        "return_token_ids": True,
        **_sampling(request.sampling, max_model_len),
    }
    if request.frames is not None:
        body |= {"mm_processor_kwargs": dict(request.processor), "media_io_kwargs": _ALL_FRAMES}
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Unsendable(f"the request cannot be written as JSON: {error}") from None


def read_reply(body: bytes) -> Reply:
    """Take a chat completion apart.

    Raises:
        Unreadable: it is something else.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError
        reason = choice.get("finish_reason")
        usage = data.get("usage")
        prompt_tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        return Reply(
            text=text,
            finish_reason=reason if isinstance(reason, str) else None,
            prompt_tokens=prompt_tokens if isinstance(prompt_tokens, int) else None,
            output_ids=_ids(choice.get("token_ids")),
            prompt_ids=_ids(data.get("prompt_token_ids")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unreadable("the answer is not a chat completion") from None


def answer(index: int, reply: Reply) -> EngineOutput:
    """Return the answer that a reply makes."""
    return EngineOutput(
        index,
        text=reply.text,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        output_ids=reply.output_ids or (),
    )


def refusal(index: int, status: int, body: bytes) -> EngineOutput:
    """Return the answer to a request that a server refused for good (a status of 400 to 499)."""
    said = message(body)
    return EngineOutput(index, error=_advice(status, said), overflow=bool(_TOO_LONG.search(said)))


def message(body: bytes) -> str:
    """Return what an error body says, in one line of at most 300 characters."""
    try:
        data = json.loads(body)
        inner = data.get("error", data)
        said = inner if isinstance(inner, str) else inner.get("message") or inner.get("detail")
    except (ValueError, AttributeError, RecursionError):
        said = None
    if not isinstance(said, str):
        return ""
    return shown(said)


def picture_tokens(shape: tuple[int, ...], side: int) -> int:
    """Return how many tokens frames become: one per square of ``side`` pixels and two frames."""
    count, height, width = shape[:3]
    return math.ceil(count / 2) * (height // side) * (width // side)


def _advice(status: int, said: str) -> str:
    if "--trust-request-mm-kwargs" in said:
        return (
            "the server does not take a clip's frame rate from its clients: start it with "
            "--trust-request-mm-kwargs"
        )
    if status == 413 or "file size exceeded" in said:
        return (
            "the clip is too large for the server: fewer frames or pixels, or a larger "
            "VLLM_MAX_AUDIO_CLIP_FILESIZE_MB there (a proxy before it may have its own limit)"
        )
    return f"the server refused it: {said or f'status {status}'}"


def _messages(request: EngineRequest) -> list[dict[str, Any]]:
    if not request.messages:
        raise Unsendable("a server renders prompts itself: the request has no messages")
    if request.sound is not None and request.frames is None:
        raise Unsendable("sound without a picture cannot be sent")
    parts = [p for m in request.messages if not isinstance(m["content"], str) for p in m["content"]]
    marks = sum(part["type"] == "video" for part in parts)
    if marks != (request.frames is not None):
        raise Unsendable(f"the messages have {marks} places for a video, and there is "
                         f"{'one' if request.frames is not None else 'none'}")  # fmt: skip
    url = "" if request.frames is None else _data_url(request)
    return [
        {
            "role": message["role"],
            "content": message["content"]
            if isinstance(message["content"], str)
            else [_part(part, url) for part in message["content"]],
        }
        for message in request.messages
    ]


def _part(part: Mapping[str, Any], url: str) -> dict[str, Any]:
    if part["type"] == "video":
        return {"type": "video_url", "video_url": {"url": url}}
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    raise Unsendable(f"a part of type {part['type']!r} cannot be sent")


def _data_url(request: EngineRequest) -> str:
    assert request.frames is not None  # noqa: S101  # the caller has looked
    try:
        file = pack(request.frames, request.sound)
    except ValueError as error:
        raise Unsendable(f"the clip cannot be packed: {error}") from None
    return f"data:{MEDIA_TYPE};base64,{base64.b64encode(file).decode()}"


def _sampling(arguments: Mapping[str, Any], max_model_len: int | None) -> dict[str, Any]:
    if unknown := sorted(set(arguments) - set(NEUTRAL) - _ALSO):
        raise Unsendable(f"a server does not take the sampling argument {unknown[0]!r}")
    sent = NEUTRAL | {name: value for name, value in arguments.items() if value is not None}
    if max_model_len is not None and sent.get("max_tokens", 0) > max_model_len:
        sent["max_tokens"] = max_model_len  # an engine in process stops there too
    return sent


def _ids(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        return None
    return tuple(value)
