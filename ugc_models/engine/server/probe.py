"""What a server serves, and what it does with a small clip: which tokens, and in which order.

A server cannot be asked whether the correction of :mod:`ugc_models.engine.positions` is installed
there. But it corrects positions and token order together, and the order is seen in the prompt that
a reply shows: for frames eight seconds apart, vLLM's own is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ugc_models.engine.base import AudioInput, EngineRequest, FramesInput, Medium, VideoInput
from ugc_models.engine.family import QWEN2_5, Family, ProcessorInputs
from ugc_models.engine.interleave import Clock, Grid, token_order
from ugc_models.engine.server import protocol
from ugc_models.engine.server.client import Client, RemoteError, RetryableError

Order = Literal["corrected", "native", "unverified"]

_FRAMES, _SIDE = 4, 224  # 224 pixels are whole tokens of 28 (Qwen2.5-Omni) and of 32 (Qwen3-Omni)
_SECONDS_PER_FRAME, _SOUND_SECONDS = 4.0, 16
_SOUND_TOKENS = 25 * _SOUND_SECONDS  # of Qwen2.5-Omni


@dataclass(frozen=True)
class Facts:
    """What a server serves.

    ``order`` is that of sound in video, in the prompt: ``corrected``; ``native`` for vLLM's own;
    ``unverified`` where the server does not show it, or the model is not Qwen2.5-Omni: what is
    corrected of Gemma-3n (embeddings) is not seen in a prompt.
    """

    model: str  # the name to ask for
    root: str | None  # the checkpoint that it was started from, None where it does not say
    max_model_len: int | None  # tokens of prompt and answer together, None likewise
    version: str  # vLLM's
    order: Order
    picture: int | None  # the id of a picture's tokens, None where unknown

    def decisive(self) -> str:
        """Return what a caption depends on, in words."""
        model = f"{self.model!r} with vLLM {self.version}"
        return f"{model}, {self.order} positions and max_model_len {self.max_model_len}"


async def look(client: Client, model: str | None, family: Family) -> Facts:
    """Return what a server serves.

    ``model`` is its name there or the checkpoint's; None for the only one served. Raises
    ``RemoteError`` where it does not serve this model, or not as this engine needs it.
    """
    status, listed = await client.get("/v1/models")
    cards = listed.get("data")
    if not isinstance(cards, list):
        # A cluster's proxy says so too while what is behind it starts.
        raise RetryableError(
            "away",
            f"{client.name} answers {status} and no list of models to GET /v1/models: no "
            "OpenAI-compatible server is there",
        )
    card = _card(client.name, model, cards)
    root, length = card.get("root"), card.get("max_model_len")
    length = length if type(length) is int and length > 0 else None
    _, about = await client.get("/version")
    version = about.get("version")
    body = protocol.chat_body(clip_request(family), card["id"], length)
    output, prompt_ids = await client.chat(0, body)
    if output.error is not None and not output.overflow:
        raise RemoteError(f"{client.name}: a video with sound cannot be asked: {output.error}")
    order, picture = findings(prompt_ids, family)
    return Facts(
        model=card["id"],
        root=root if isinstance(root, str) else None,
        max_model_len=length,
        version=version if isinstance(version, str) else "of unknown version",
        order=order,
        picture=picture,
    )


def _card(server: str, model: str | None, cards: list[Any]) -> dict[str, Any]:
    """Return what the server says of the model, by its name or else by its checkpoint's."""
    named = [c for c in cards if isinstance(c, dict) and isinstance(c.get("id"), str)]
    names = ", ".join(repr(card["id"]) for card in named) or "nothing"
    if model is None and len(named) != 1:
        raise RemoteError(f"{server} serves {names}: say which by model=")
    for name in ("id", "root"):
        for card in named:
            if model in {None, card.get(name)}:
                return card
    raise RemoteError(f"{server} serves {names}, not {model!r}: check model= and base_url")


def clip_request(family: Family) -> EngineRequest:
    """Return the question about the small clip: black frames with silence, one token to answer."""
    media: tuple[Medium, ...]
    frames = np.zeros((_FRAMES, _SIDE, _SIDE, 3), np.uint8)
    sound = np.zeros(16_000 * _SOUND_SECONDS, np.float32)
    if family.takes_videos:
        media = (VideoInput(frames, 1 / _SECONDS_PER_FRAME, sound),)
    else:
        media = (FramesInput(frames, 1 / _SECONDS_PER_FRAME), AudioInput(sound))
    content = [{"type": kind} for kind in ("video", "audio")[: len(media)]]
    content.append({"type": "text", "text": "?"})
    return EngineRequest(
        0,
        "",
        media,
        parameters={"temperature": 0.0, "max_tokens": 1},
        processor=ProcessorInputs(family).options(media),
        messages=[{"role": "user", "content": content}],
    )


def findings(prompt_ids: Sequence[int] | None, family: Family) -> tuple[Order, int | None]:
    """Return order and picture token (see :class:`Facts`) in the prompt of :func:`clip_request`.

    ``prompt_ids`` is None where the server does not show the prompt.
    """
    if prompt_ids is None:
        return "unverified", None
    grid = Grid(_FRAMES // 2, _SIDE // family.token_side, _SIDE // family.token_side)
    picture = _repeated(prompt_ids, grid.t * grid.frame)
    sound = _repeated(prompt_ids, _SOUND_TOKENS)
    if picture is None or sound is None or family.model_type != QWEN2_5.model_type:
        return "unverified", picture
    order = [token == picture for token in prompt_ids if token in {picture, sound}]
    expected = token_order(grid, _SOUND_TOKENS, 2 * _SECONDS_PER_FRAME, Clock())
    return ("corrected" if order == expected else "native"), picture


def _repeated(ids: Sequence[int], times: int) -> int | None:
    """Return the one id that is there so often: the text around a clip repeats none as much."""
    found = [token for token, seen in Counter(ids).items() if seen == times]
    return found[0] if len(found) == 1 else None
