"""The tiny Qwen3-Omni: transformers loads all of it, and what it writes depends on its input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_qwen3 import QWEN3
from ugc_models.testing.tiny_omni import build_tiny_omni

VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_omni(tmp_path_factory.mktemp("tiny") / "omni", family=QWEN3)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    import torch
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    model, report = Qwen3OmniMoeThinkerForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), f"weights and network do not match: {report}"
    return model.eval()


@pytest.fixture(scope="module")
def processor(checkpoint: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(checkpoint, local_files_only=True)


def caption(model: Any, processor: Any, picture: int, pitch: int | None) -> list[int]:
    """Ids that the model writes about random frames of that seed and a tone in Hz."""
    import numpy as np

    squares = np.random.default_rng(picture).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    frames = np.kron(squares, np.ones((1, 16, 16, 1), np.uint8))
    tone = 0.3 * np.sin(2 * np.pi * (pitch or 0) * np.arange(32_000) / 16_000)
    parts = [{"type": "video"}, {"type": "text", "text": "Describe it."}]
    inputs = processor(
        text=processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
        ),
        videos=[frames],
        audio=None if pitch is None else [tone.astype(np.float32)],
        use_audio_in_video=pitch is not None,
        fps=2.0,
        return_tensors="pt",
    )
    written = model.generate(
        **inputs, use_audio_in_video=pitch is not None, max_new_tokens=32, do_sample=False
    )
    ids: list[int] = written[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


def test_says_that_it_is_qwen3_omni(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Qwen3OmniMoeForConditionalGeneration"]
    assert config["thinker_config"]["position_id_per_seconds"] == 13
    assert config["thinker_config"]["text_config"]["num_experts"] == 4


def test_is_about_two_megabytes(checkpoint: Path) -> None:
    assert sum(path.stat().st_size for path in checkpoint.iterdir()) < 2_000_000


def test_keeps_its_experts_one_by_one_as_the_published_checkpoints_do(checkpoint: Path) -> None:
    from safetensors import safe_open

    with safe_open(checkpoint / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
    layer = "thinker.model.layers.0.mlp.experts"
    assert {f"{layer}.3.{part}_proj.weight" for part in ("gate", "up", "down")} <= names
    assert not any("gate_up" in name for name in names)


def test_writes_about_what_it_sees_and_hears(model: Any, processor: Any) -> None:
    asked = ((1, 220), (2, 220), (1, 880), (1, None))
    captions = [tuple(caption(model, processor, *each)) for each in asked]
    assert len(set(captions)) == 4, "the output ignores part of the input"
    assert all(len(set(ids)) >= len(ids) // 4 for ids in captions), "it runs in circles"


def test_the_prompt_has_its_own_marks(processor: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "audio"}]}]
    rendered = processor.apply_chat_template(messages, tokenize=False)
    text = rendered if isinstance(rendered, str) else rendered[0]
    assert text.endswith(
        f"<|im_start|>user\n{VIDEO}<|audio_start|><|audio_pad|><|audio_end|><|im_end|>\n"
    )


def test_is_another_checkpoint_than_the_other_family_s(checkpoint: Path) -> None:
    with pytest.raises(FileExistsError, match=r"tiny checkpoint of qwen2\.5-omni and seed 0"):
        build_tiny_omni(checkpoint)
    assert build_tiny_omni(checkpoint, family=QWEN3) == checkpoint
