"""From lmms-eval's chat messages to a Qwen2.5-Omni prompt."""

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
        PromptError: more than one video, a part that is neither text nor video, a role that the
            model does not know, or text that spells one of its control tokens.
    """
    if system_prompt and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": system_prompt}, *messages]
    videos: list[Path] = []
    checked = [
        {"role": _role(message), "content": [_part(p, videos) for p in _parts(message)]}
        for message in messages
    ]
    if len(videos) > 1:
        raise PromptError(f"this model takes one video a request, not {len(videos)}")
    return Conversation(checked, videos[0] if videos else None)


class ChatTemplate:
    """The checkpoint's own chat template, loaded when the first prompt is rendered.

    Args:
        model: Hugging Face name or folder.
        revision: of the Hugging Face repository; its main branch without one.
    """

    def __init__(self, model: str, revision: str | None = None) -> None:
        self._model = model
        self._revision = revision

    def render(self, chat: Conversation) -> str:
        """Return the text of a prompt, media marks unexpanded, up to where the model writes on.

        Raises:
            CheckpointError: the checkpoint has no processor, or no template.
            PromptError: the template refuses this conversation.
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
            raise CheckpointError(
                f"the processor of model={self._model!r} cannot be loaded: check the folder or the "
                f"Hugging Face name ({type(error).__name__}: {_first_sentence(error)})"
            ) from error
        if not getattr(processor, "chat_template", None):
            raise CheckpointError(f"the checkpoint model={self._model!r} has no chat template")
        return processor


def _first_sentence(error: Exception) -> str:
    return shown(str(error).strip().partition("\n")[0])


def _role(message: Mapping[str, Any]) -> str:
    role = message["role"]
    if role not in _ROLES:
        raise PromptError(f"this model knows the roles {', '.join(_ROLES)}, not {role!r}")
    return str(role)


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
            raise PromptError(f"the text contains the control token {found.group()}")
        return {"type": "text", "text": text}
    if kind == "video":
        url = part.get("url")
        if not isinstance(url, str | Path):
            raise PromptError("the video of a request must be the path of a file")
        videos.append(Path(url))
        return {"type": "video", "video": str(url)}
    raise PromptError(f"this model takes text and video, not {kind!r}")
