"""What a server is found to do with a small clip: which tokens it makes, and in which order.

A server cannot be asked whether the correction of :mod:`ugc_models.engine.positions` is installed
there. But the correction is one act for positions and token order, and the order is seen in the
prompt that a reply shows: for frames eight seconds apart, vLLM's own is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ugc_models.engine.base import EngineRequest
from ugc_models.engine.family import QWEN2_5, Family, processor_options
from ugc_models.engine.interleave import Clock, Grid, token_order

Order = Literal["corrected", "native", "unverified"]

_FRAMES, _SIDE = 4, 224  # 224 pixels are whole tokens of 28 (Qwen2.5-Omni) and of 32 (Qwen3-Omni)
_SECONDS_PER_FRAME = 4.0
_SOUND_SECONDS = 16
_SOUND_TOKENS = 25 * _SOUND_SECONDS  # of Qwen2.5-Omni


@dataclass(frozen=True)
class Findings:
    """What a prompt showed.

    Attributes:
        order: ``corrected``; ``native`` for the server's own; ``unverified`` where it shows none,
            or where the model is not Qwen2.5-Omni, the one that is corrected.
        picture: the id of a picture's tokens, None where unknown.
    """

    order: Order = "unverified"
    picture: int | None = None


def request(family: Family) -> EngineRequest:
    """Return the question about the small clip: black frames with silence, one token to answer."""
    frames = np.zeros((_FRAMES, _SIDE, _SIDE, 3), np.uint8)
    fps = 1 / _SECONDS_PER_FRAME
    content = [{"type": "video"}, {"type": "text", "text": "?"}]
    return EngineRequest(
        0,
        "",
        frames=frames,
        fps=fps,
        sound=np.zeros(16_000 * _SOUND_SECONDS, np.float32),
        sampling={"temperature": 0.0, "max_tokens": 1},
        processor=processor_options(fps, frames.shape, sound=True, family=family),
        messages=[{"role": "user", "content": content}],
    )


def findings(prompt_ids: Sequence[int] | None, family: Family) -> Findings:
    """Return what the tokens of :func:`request`'s prompt show, None where the server shows none."""
    if prompt_ids is None:
        return Findings()
    grid = Grid(_FRAMES // 2, _SIDE // family.token_side, _SIDE // family.token_side)
    picture = _repeated(prompt_ids, grid.t * grid.frame)
    sound = _repeated(prompt_ids, _SOUND_TOKENS)
    if picture is None or sound is None or family.model_type != QWEN2_5.model_type:
        return Findings(picture=picture)
    order = [token == picture for token in prompt_ids if token in {picture, sound}]
    expected = token_order(grid, _SOUND_TOKENS, 2 * _SECONDS_PER_FRAME, Clock())
    return Findings("corrected" if order == expected else "native", picture)


def _repeated(ids: Sequence[int], times: int) -> int | None:
    """Return the one id that is there so often: the text around a clip repeats none as much."""
    found = [token for token, seen in Counter(ids).items() if seen == times]
    return found[0] if len(found) == 1 else None
