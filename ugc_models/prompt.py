"""From lmms-eval's messages to a prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ugc_models.engine.base import shown

_SPECIAL = re.compile(r"<\|[A-Za-z_]+\|>")
_ROLES = ("system", "user", "assistant")


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
    """A chat for the model's own template, and the one clip that it is about."""

    # [{"role": ..., "content": [{"type": "text" | "video", ...}]}]
    messages: list[dict[str, Any]]
    video: Path | None  # the clip's file, None for a question without one


def conversation(messages: Sequence[Mapping[str, Any]], system_prompt: str | None) -> Conversation:
    """Check messages as lmms-eval's tasks give them.

    Their content is a string, or a list of ``{"type": "text", "text": ...}`` and ``{"type":
    "video", "url": path}``. ``system_prompt`` is the system message where the task has none.

    Raises:
        PromptError: more than one video, a part that is neither text nor video, a role that the
            model does not know, or text that spells one of its control tokens.
    """
    if system_prompt and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": system_prompt}, *messages]
    videos: list[Path] = []
    checked: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in _ROLES:
            raise PromptError(f"this model knows the roles {', '.join(_ROLES)}, not {role!r}")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        checked.append({"role": role, "content": [_part(part, videos) for part in parts]})
    if len(videos) > 1:
        raise PromptError(f"this model takes one video a request, not {len(videos)}")
    return Conversation(checked, videos[0] if videos else None)


class ChatTemplate:
    """The checkpoint's own chat template, loaded when the first prompt is rendered."""

    def __init__(self, model: str, revision: str | None = None) -> None:
        self._model = model
        self._revision = revision

    def render(self, chat: Conversation) -> str:
        """Return the text of a prompt, media marks unexpanded, up to where the model writes on.

        Raises ``CheckpointError`` where the checkpoint has no processor or no template, and
        ``PromptError`` where the template refuses this conversation.
        """
        from jinja2 import TemplateError

        try:
            prompt = self._processor.apply_chat_template(
                chat.messages, add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:
            raise PromptError(
                f"the checkpoint's chat template refuses it: {shown(error)}"
            ) from error
        return prompt[0] if isinstance(prompt, list) else str(prompt)

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


def _part(part: Mapping[str, Any], videos: list[Path]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        text = str(part["text"])
        # The tokenizer would read these as control tokens: a question could forge a turn, or a
        # second video that is not there.
        if found := _SPECIAL.search(text):
            raise PromptError(f"the text contains the control token {found.group()}")
        return {"type": "text", "text": text}
    if kind == "video":
        url = part.get("url")
        if not isinstance(url, str | Path):
            raise PromptError("the video of a request must be the path of a file")
        videos.append(Path(url))
        return {"type": "video", "video": str(url)}
    raise PromptError(f"this model takes text and video, not {kind!r}")
