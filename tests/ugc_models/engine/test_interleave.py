"""Order and positions of interleaved sound, against the functions of transformers themselves.

The grids are drawn at random once and for all (a fixed seed), from one frame in ten seconds to
thirty a second, sound shorter and longer than the picture.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_qwen3 import QWEN3
from ugc_models.engine.interleave import (
    Clock,
    Grid,
    Span,
    chunk_bounds,
    merged_order,
    merged_positions,
    merged_prompt_positions,
    positions,
    prompt_positions,
    token_order,
)
from ugc_models.testing.tiny_model import (
    make_processor,
    make_thinker_config,
    train_tokenizer,
)

CLOCK = Clock()
RATES = (0.1, 1 / 3, 0.4, 0.5, 0.75, 0.97, 1.0, 1.3, 2.0, 2.7, 4.0, 7.9, 29.97, 30.0)


@dataclass(frozen=True)
class Drawn:
    """A video of ``grid`` at ``fps`` frames a second with ``sound`` tokens, after ``text`` ones."""

    grid: Grid
    fps: float
    sound: int
    text: int

    @property
    def seconds_per_step(self) -> float:
        return 2.0 / self.fps


def draw(count: int) -> list[Drawn]:
    dice = random.Random(20250101)
    return [
        Drawn(
            Grid(dice.randint(1, 24), dice.randint(1, 3), dice.randint(1, 4)),
            dice.choice([*RATES, dice.uniform(0.05, 1.0), dice.uniform(1.0, 30.0)]),
            dice.choice([1, 50, 51, dice.randint(1, 300), *dice.choices(range(300, 1500), k=3)]),
            dice.randint(1, 30),
        )
        for _ in range(count)
    ]


DRAWN = draw(300)


@pytest.fixture(scope="module")
def processor() -> Any:
    return make_processor(train_tokenizer())


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    with torch.device("meta"):  # its positions need no weights
        return Qwen2_5OmniThinkerForConditionalGeneration(make_thinker_config(train_tokenizer()))


def test_the_draw_holds_every_kind_of_case() -> None:
    assert sum(drawn.fps < 1 for drawn in DRAWN) > 80
    ends = [(drawn.grid.t * drawn.seconds_per_step, drawn.sound / 25) for drawn in DRAWN]
    assert sum(sound < picture for picture, sound in ends) > 80
    assert sum(sound > picture for picture, sound in ends) > 80


def test_chunks_are_those_of_get_chunked_index(processor: Any) -> None:
    dice = np.random.default_rng(7)
    for _ in range(300):
        steps = dice.choice([0.1, 3.0, 25.0, 50.0, 120.0]) * dice.random(dice.integers(1, 60))
        times = np.cumsum(steps) - steps[0]
        per_chunk = int(dice.choice([1, 50, 75]))
        assert chunk_bounds(times, per_chunk) == processor.get_chunked_index(times, per_chunk)


def test_no_tokens_are_one_empty_chunk() -> None:
    assert chunk_bounds(np.arange(0), 50) == [(0, 0)]


@pytest.mark.parametrize("part", range(10))
def test_order_is_that_of_the_processor(part: int, processor: Any) -> None:
    for drawn in DRAWN[part::10]:
        grid = drawn.grid
        # The processor's grid is in patches, two by two of which make a token.
        patches = np.array([grid.t, 2 * grid.h, 2 * grid.w])
        [text] = processor.replace_multimodal_special_tokens(
            ["<|vision_bos|><|VIDEO|><|vision_eos|>"],
            iter([drawn.sound]),
            iter([]),
            iter([patches]),
            video_second_per_grid=iter([drawn.seconds_per_step]),
            use_audio_in_video=True,
            position_id_per_seconds=CLOCK.per_second,
            seconds_per_chunk=CLOCK.per_chunk / CLOCK.per_second,
        )
        order = token_order(grid, drawn.sound, drawn.seconds_per_step, CLOCK)
        ours = "".join("<|VIDEO|>" if is_picture else "<|AUDIO|>" for is_picture in order)
        begin, end = "<|vision_bos|><|audio_bos|>", "<|audio_eos|><|vision_eos|>"
        assert text == begin + ours + end, drawn


@pytest.mark.parametrize("part", range(10))
def test_positions_are_those_of_the_model(part: int, model: Any) -> None:
    import torch

    config = model.config
    for drawn in DRAWN[part::10]:
        grid = drawn.grid
        order = token_order(grid, drawn.sound, drawn.seconds_per_step, CLOCK)
        ids = [
            *[5] * drawn.text,
            config.vision_start_token_id,
            config.audio_start_token_id,
            *(config.video_token_id if picture else config.audio_token_id for picture in order),
            config.audio_end_token_id,
            config.vision_end_token_id,
            *[5] * 3,
        ]
        reference, _ = model.get_rope_index(
            torch.tensor([ids]),
            video_grid_thw=torch.tensor([[grid.t, 2 * grid.h, 2 * grid.w]]),
            use_audio_in_video=True,
            audio_seqlens=torch.tensor([4 * drawn.sound]),  # mel frames: four to a token
            second_per_grids=torch.tensor([drawn.seconds_per_step]),
        )
        # Text is counted from 0; the two begin marks share the position after it.
        span, following = positions(
            grid, drawn.sound, drawn.seconds_per_step, CLOCK, drawn.text + 1
        )
        begin = drawn.text + 2
        assert np.array_equal(reference[:, 0, begin : begin + len(order)].numpy(), span), drawn
        # What follows are the two end marks, which share a position too, and the text.
        after = [following, following, following + 1, following + 2, following + 3]
        assert reference[:, 0, begin + len(order) :].tolist() == [after] * 3, drawn


def test_without_sound_the_picture_is_alone() -> None:
    grid = Grid(3, 2, 2)
    assert token_order(grid, 0, 1.0, CLOCK) == [True] * 12
    span, following = positions(grid, 0, 1.0, CLOCK, 10)
    assert span[0].tolist() == [10] * 4 + [35] * 4 + [60] * 4
    assert span[1].tolist() == [10, 10, 11, 11] * 3
    assert span[2].tolist() == [10, 11, 10, 11] * 3
    assert following == 61


@pytest.fixture(scope="module")
def qwen3() -> Any:
    import torch
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    tokenizer = train_tokenizer(QWEN3)
    with torch.device("meta"):
        return Qwen3OmniMoeThinkerForConditionalGeneration(make_thinker_config(tokenizer, QWEN3))


@pytest.mark.parametrize("part", range(5))
def test_merged_positions_are_those_of_qwen3(part: int, qwen3: Any) -> None:
    import torch

    config = qwen3.config
    for drawn in DRAWN[part:100:5]:
        grid = drawn.grid
        # A whole second of mel frames becomes 13 tokens.
        sound = 13 * (drawn.sound // 13 + 1)
        span, following = merged_positions(grid, sound, drawn.seconds_per_step, 13, drawn.text + 2)
        ids = [
            *[5] * drawn.text,
            config.vision_start_token_id,
            config.audio_start_token_id,
            *[config.video_token_id] * (span.shape[1] - sound),  # in no order: it is not looked at
            *[config.audio_token_id] * sound,
            config.audio_end_token_id,
            config.vision_end_token_id,
            *[5] * 3,
        ]
        reference, _ = qwen3.get_rope_index(
            torch.tensor([ids]),
            video_grid_thw=torch.tensor([[grid.t, 2 * grid.h, 2 * grid.w]]),
            attention_mask=torch.ones(1, len(ids)),
            use_audio_in_video=True,
            audio_seqlens=torch.tensor([100 * sound // 13]),
            second_per_grids=torch.tensor([drawn.seconds_per_step]),
        )
        begin = drawn.text + 2
        theirs = reference[:, 0, begin : begin + span.shape[1]]
        assert np.array_equal(theirs.numpy(), span), drawn
        assert reference[0, 0, begin + span.shape[1]] == following, drawn
        given = [Span(begin - 1, grid, sound, drawn.seconds_per_step)]
        whole = merged_prompt_positions(given, len(ids), 13)
        assert np.array_equal(reference[:, 0].floor().numpy(), whole), drawn


def test_at_the_same_time_a_frame_comes_before_the_sound() -> None:
    span, following = merged_positions(Grid(2, 1, 1), 3, 1 / 13, 13, 10)
    assert span[0].tolist() == [10, 10, 11, 11, 12]
    assert following == 13


def test_a_frame_between_two_sounds_keeps_its_place_when_it_is_rounded() -> None:
    # At 10, 10.5 and 11: vLLM's own rounds first, and puts the second before the first sound.
    span = merged_prompt_positions([Span(1, Grid(3, 1, 2), 2, 0.5 / 13)], 12, 13)[:, 2:10]
    assert span[0].tolist() == [2, 2, 2, 2, 2, 3, 3, 3]
    assert span[2].tolist() == [2, 3, 2, 2, 3, 2, 3, 3]


def test_what_follows_a_ribbon_continues_after_its_sound() -> None:
    """Not after its highest row: the reference looks at the last tokens alone."""
    span, following = merged_positions(Grid(1, 20, 1), 3, 1.0, 13, 10)
    assert span.max() == 29
    assert following == 13


def test_fractions_are_kept_to_the_end_of_the_prompt() -> None:
    video = Grid(2, 1, 1)
    spans = [Span(0, video, None, 0.5 / 13), Span(3, video, None, 0.5 / 13)]
    # At 0 and 0.5, the mark at 1.5, at 2.5 and 3, and at 4.
    assert merged_prompt_positions(spans, 6, 13)[0].tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("family", ["qwen2_5", "qwen3"])
def test_a_prompt_with_several_media_has_the_model_s_positions(
    family: str, interleaved: bool, model: Any, qwen3: Any
) -> None:
    import torch

    reference = model if family == "qwen2_5" else qwen3
    config, dice = reference.config, np.random.default_rng(5)
    for _ in range(60):
        ids: list[int] = []
        spans: list[Span] = []
        told: dict[str, list[Any]] = {"image": [], "video": [], "audio": [], "seconds": []}
        for kind in dice.choice(["image", "video", "audio"], dice.integers(1, 6)):
            ids += [5] * int(dice.integers(1, 9))
            sound = None if kind == "image" else 13 * int(dice.integers(1, 20))
            grid = None if kind == "audio" else Grid(*map(int, dice.integers(1, 7, 3)))
            seconds = 1.0
            tokens = [config.audio_token_id] * (sound or 0)
            if grid is not None:
                t = 1 if kind == "image" else grid.t
                grid = Grid(t, grid.h, grid.w)
                told[str(kind)].append([t, 2 * grid.h, 2 * grid.w])
                tokens = [getattr(config, f"{kind}_token_id")] * (t * grid.frame)
            if kind == "video":
                seconds = float(dice.choice([0.25, 1.0, 2 / 3, 5.1]))
                told["seconds"].append(seconds)
                if interleaved:
                    tokens += [config.audio_token_id] * (sound or 0)
                    tokens = [config.audio_start_token_id, *tokens, config.audio_end_token_id]
                else:
                    sound = None
            if sound is not None:
                told["audio"].append(4 * sound if family == "qwen2_5" else 100 * sound // 13)
            begin, end = (config.vision_start_token_id, config.vision_end_token_id)
            if kind == "audio":
                begin, end = (config.audio_start_token_id, config.audio_end_token_id)
            spans.append(Span(len(ids) + 1, grid, sound, seconds))
            ids += [begin, *tokens, end]
        if not told["image"] + told["video"]:
            continue
        theirs, _ = reference.get_rope_index(
            torch.tensor([[*ids, 5, 5]]),
            image_grid_thw=torch.tensor(told["image"]) if told["image"] else None,
            video_grid_thw=torch.tensor(told["video"]) if told["video"] else None,
            attention_mask=torch.ones(1, len(ids) + 2),
            use_audio_in_video=interleaved,
            audio_seqlens=torch.tensor(told["audio"]) if told["audio"] else None,
            second_per_grids=torch.tensor(told["seconds"]),
        )
        length = len(ids) + 2
        ours = merged_prompt_positions(spans, length, 13)
        if family == "qwen2_5":
            ours = prompt_positions(spans, length, CLOCK)
        assert np.array_equal(theirs[:, 0].floor().numpy(), ours), spans


def test_the_order_of_qwen3_is_that_of_its_processor() -> None:
    processor = make_processor(train_tokenizer(QWEN3), QWEN3)
    for drawn in DRAWN[:100]:
        patches = np.array([drawn.grid.t, 2 * drawn.grid.h, 2 * drawn.grid.w])
        [text] = processor.replace_multimodal_special_tokens(
            ["<|vision_start|><|video_pad|><|vision_end|>"],
            iter([drawn.sound]),
            iter([]),
            iter([patches]),
            video_second_per_grid=iter([drawn.seconds_per_step]),
            use_audio_in_video=True,
            position_id_per_seconds=13.0,
            seconds_per_chunk=2.0,
        )
        order = merged_order(drawn.grid, drawn.sound, drawn.seconds_per_step, 13)
        ours = "".join("<|video_pad|>" if picture else "<|audio_pad|>" for picture in order)
        begin, end = "<|vision_start|><|audio_start|>", "<|audio_end|><|vision_end|>"
        assert text == begin + ours + end, drawn
