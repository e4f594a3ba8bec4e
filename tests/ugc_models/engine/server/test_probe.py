"""The tokens of a small clip show whether a server has the correction of positions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.support.asking import the_video
from ugc_models.engine.family import GEMMA3N, QWEN2_5, QWEN3, Family
from ugc_models.engine.interleave import Clock, Grid, token_order
from ugc_models.engine.server import probe

PICTURE, SOUND = 151656, 151646


def prompt(order: list[bool], *, text: int = 40) -> list[int]:
    written = random.Random(0).choices(range(1000), k=text)
    return [*written, *(PICTURE if picture else SOUND for picture in order), *written[:5]]


def test_the_references_order_is_the_corrected_one() -> None:
    order = token_order(Grid(2, 8, 8), 400, 8.0, Clock())
    assert probe.findings(prompt(order), QWEN2_5) == ("corrected", PICTURE)


def test_of_a_model_that_is_not_corrected_only_the_picture_is_known() -> None:
    shown = prompt([True] * 98 + [False] * 208)
    assert probe.findings(shown, QWEN3) == ("unverified", PICTURE)
    assert probe.findings(shown, GEMMA3N) == ("unverified", None)


def test_a_model_without_videos_is_asked_about_frames_and_a_sound() -> None:
    request = probe.clip_request(GEMMA3N)
    assert [part["type"] for part in request.messages[0]["content"]] == ["video", "audio", "text"]
    assert (len(request.images), request.processor) == (4, {})


@pytest.mark.engine
def test_vllms_own_order_is_another() -> None:
    from transformers import Qwen2_5OmniThinkerConfig
    from vllm.model_executor.models import qwen2_5_omni_thinker as module

    method = module.Qwen2_5OmniThinkerMultiModalProcessor.omni_get_updates_use_audio_in_video
    own = getattr(method, "__wrapped__", method)
    config = Qwen2_5OmniThinkerConfig()
    arguments = (config, 400, np.array([2, 16, 16]), 8.0)
    processor = module.Qwen2_5OmniThinkerMultiModalProcessor
    _, *tokens, _ = own(*arguments) if own is method else own.__func__(processor, *arguments)
    order = [token == config.video_token_index for token in tokens]
    assert (order.count(True), order.count(False)) == (128, 400)
    assert probe.findings(prompt(order), QWEN2_5) == ("native", config.video_token_index)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        [],
        [1],
        [1, 2, 3] * 50,
        [1, 2] * 128,
        prompt([True, False] * 200),
        prompt([False] * 400),
    ],
)
def test_other_tokens_say_nothing(shown: list[int] | None) -> None:
    assert probe.findings(shown, QWEN2_5) == ("unverified", None)


@pytest.mark.parametrize("family", [QWEN2_5, QWEN3])
def test_the_small_clip_is_whole_tokens_with_sound(family: Family) -> None:
    request = probe.clip_request(family)
    assert the_video(request).frames.shape[1] % family.token_side == 0
    assert request.processor["use_audio_in_video"]
    assert ("second_per_grid_ts" in request.processor) == family.told_twice
