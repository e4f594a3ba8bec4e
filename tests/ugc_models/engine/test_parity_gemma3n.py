"""What Gemma-3n's towers get: pixels and features of vLLM's processor are transformers' own.

That the answers are, too, is in ``test_parity_kinds.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_gemma3n import SIDE, build_tiny_gemma3n
from tests.support.transformers_reference import Reference
from ugc_models.engine.base import AudioInput, EngineRequest, FramesInput, ImageInput, Medium
from ugc_models.engine.local import _prompt
from ugc_models.request.prompt import ChatTemplate, Conversation
from ugc_models.run.inputs import with_marks

pytestmark = pytest.mark.engine

DICE = np.random.default_rng(2)
KINDS = {FramesInput: "video", ImageInput: "image", AudioInput: "audio"}


def pixels(*shape: int) -> Any:
    return DICE.integers(0, 256, (*shape, 3), np.uint8)


def audio(seconds: float) -> AudioInput:
    return AudioInput(DICE.normal(0, 0.2, round(seconds * 16_000)).astype(np.float32))


MEDIA: dict[str, tuple[Medium, ...]] = {
    "images of any size": (ImageInput(pixels(301, 57)), ImageInput(pixels(1, 1))),
    "frames and their sound": (FramesInput(pixels(3, 224, 126), 1.5), audio(2.23)),
    "the longest sound": (audio(30.0),),
    "sounds of several lengths": (audio(0.1), ImageInput(pixels(SIDE, SIDE)), audio(4.001)),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_gemma3n(tmp_path_factory.mktemp("gemma3n") / "tiny")


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Reference:
    return Reference(checkpoint)


@pytest.fixture(scope="module")
def vllm(checkpoint: Path) -> Any:
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY

    config = ModelConfig(model=str(checkpoint), dtype="float32", mm_processor_cache_gb=0)
    return MULTIMODAL_REGISTRY.create_processor(config)


@pytest.mark.parametrize("media", MEDIA.values(), ids=MEDIA)
def test_ids_pixels_and_features_are_the_reference_s(
    media: tuple[Medium, ...], vllm: Any, reference: Reference
) -> None:
    import torch

    content = [{"type": KINDS[type(medium)]} for medium in media] + [{"type": "text", "text": "?"}]
    messages = with_marks([{"role": "user", "content": content}], media)
    prompt = ChatTemplate(str(reference.checkpoint)).render(Conversation(messages))
    items = vllm.info.parse_mm_data(
        _prompt(EngineRequest(0, prompt, media, {}))["multi_modal_data"]
    )
    # As vLLM's own way from a text: without a second mark of the beginning.
    ids = reference.processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ours = vllm(ids, mm_items=items, hf_processor_mm_kwargs={})
    theirs = reference.inputs(prompt, media)

    tensors = ours["mm_kwargs"].get_data()
    assert ours["prompt_token_ids"] == theirs["input_ids"][0].tolist()
    assert ("pixel_values" in tensors) == ("pixel_values" in theirs)
    if "pixel_values" in theirs:
        assert theirs["pixel_values"].shape[-2:] == (SIDE, SIDE)
        assert torch.equal(tensors["pixel_values"], theirs["pixel_values"])
    for number, each in enumerate(tensors.get("input_features_padded", ())):
        # Beside a longer sound transformers lets a shorter one reach up to 32 ms into its padding.
        assert torch.equal(each, theirs["input_features"][number][: len(each)])
        assert torch.equal(
            tensors["input_features_mask"][number],
            theirs["input_features_mask"][number][: len(each)],
        )
