"""A request on its way to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ugc_models.captions import Caption
from ugc_models.media.clip import Clip
from ugc_models.prompt import Conversation


@dataclass(frozen=True)
class Job:
    """What was asked, and what is known of it so far.

    Attributes:
        index: the caller's own number for it.
        chat: the conversation, None where ``error`` says why there is none.
        prompt: the conversation as the chat template renders it.
        sampling: arguments of ``vllm.SamplingParams``.
        clip: what was read from the conversation's video.
        key: under which its caption is stored, None where captions are not.
        made_of: what ``key`` is the digest of.
        found: the caption that an earlier run made of the same.
        error: why the engine will not be asked, in one sentence.
    """

    index: int
    chat: Conversation | None
    prompt: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    clip: Clip | None = None
    key: str | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)
    found: Caption | None = None
    error: str | None = None
