"""The system prompt that the published Qwen captions were made with.

It stands, as data, in the authors' whole prompt (:mod:`ugc_tasks.data.official`).
"""

from __future__ import annotations

import os

from ugc_tasks.data.home import Home
from ugc_tasks.data.official import OfficialPromptError, official_text

_BEGIN, _END = "<|im_start|>system\n", "<|im_end|>"


def published_system_prompt() -> str:
    """Return the text of the system turn, obtained where the environment says.

    Raises:
        OfficialPromptError: the prompt is not on this machine and cannot be downloaded.
        DataError: ``UGC_VIDEOCAP_HOME`` names no folder.
    """
    home = Home.from_env(os.environ)
    return system_turn(official_text("inference_prompt", home=home.root, cache=home.cache))


def system_turn(prompt: str) -> str:
    """Return the text of a ChatML prompt's first turn, which must be the system's."""
    text, end, _ = prompt.removeprefix(_BEGIN).partition(_END)
    if not prompt.startswith(_BEGIN) or not end:
        raise OfficialPromptError(
            "the official prompt 'inference_prompt' begins with no system turn"
        )
    return text
