"""From lmms-eval's chat messages to the parts of a Qwen2.5-Omni prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SPECIAL = re.compile(r"<\|[A-Za-z_]+\|>")


class PromptError(ValueError):
    """A request that this model cannot take, in one sentence."""


@dataclass(frozen=True)
class Conversation:
    """A chat for the model's own template, and the one clip that it is about.

    Attributes:
        messages: ``[{"role": ..., "content": [{"type": "text" | "video", ...}]}]``.
        video: the clip's file, None for a question without one.
    """

    messages: list[dict[str, Any]]
    video: Path | None


def conversation(messages: Sequence[Mapping[str, Any]], system_prompt: str | None) -> Conversation:
    """Check messages as lmms-eval's tasks give them.

    Args:
        messages: roles with a string, or a list of ``{"type": "text", "text": ...}`` and
            ``{"type": "video", "url": path}``, as content.
        system_prompt: set as the system message where the task has none.

    Raises:
        PromptError: more than one video, a part that is neither text nor video, or text that
            spells one of the model's control tokens.
    """
    videos: list[Path] = []
    checked = [
        {"role": str(message["role"]), "content": [_part(p, videos) for p in _parts(message)]}
        for message in messages
    ]
    if len(videos) > 1:
        raise PromptError(f"this model takes one video a request, not {len(videos)}")
    if system_prompt and not any(message["role"] == "system" for message in checked):
        system = {"role": "system", "content": [{"type": "text", "text": system_prompt}]}
        checked.insert(0, system)
    return Conversation(checked, videos[0] if videos else None)


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: Mapping[str, Any], videos: list[Path]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        text = str(part["text"])
        # The tokenizer would read these as control tokens: a question could forge a turn, or a
        # second video that is not there.
        if found := _SPECIAL.search(text):
            raise PromptError(f"the question contains the control token {found.group()}")
        return {"type": "text", "text": text}
    if kind == "video":
        url = part.get("url")
        if not isinstance(url, str | Path):
            raise PromptError("the video of a request must be the path of a file")
        videos.append(Path(url))
        return {"type": "video", "video": str(url)}
    raise PromptError(f"this model takes text and video, not {kind!r}")
