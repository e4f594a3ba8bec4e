"""What the towers get: the same pixels and mel features from vLLM's processor and transformers'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.asking import as_given
from tests.support.parity import QUESTION, UNTOLD, Case, read_case, seen
from tests.support.tiny_qwen3 import QWEN3
from tests.support.transformers_reference import Reference
from ugc_models.engine import positions
from ugc_models.engine.base import AudioInput, EngineRequest, ImageInput, VideoInput
from ugc_models.engine.corrections import CORRECTIONS
from ugc_models.engine.family import Family, ProcessorInputs, family_of
from ugc_models.engine.local import _prompt
from ugc_models.media.clip import Clip
from ugc_models.media.sampling import Sampling
from ugc_models.request.prompt import ChatTemplate, Conversation
from ugc_models.testing.tiny_model import QWEN2_5
from ugc_models.testing.tiny_omni import build_tiny_omni

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Both:
    """A checkpoint's processor as vLLM runs it, and as transformers does."""

    family: Family
    vllm: Any
    reference: Reference


@pytest.fixture(scope="module", params=[QWEN2_5, QWEN3], ids=lambda family: family.label)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY

    folder = tmp_path_factory.mktemp("inputs") / "tiny"
    checkpoint = build_tiny_omni(folder, family=request.param)
    positions.install()
    config = ModelConfig(
        model=str(checkpoint),
        dtype="float32",
        max_model_len=8192,
        mm_processor_cache_gb=0,
        limit_mm_per_prompt={"video": 2, "audio": 2, "image": 2},
    )
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    return Both(family_of(str(checkpoint)), processor, Reference(checkpoint))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    case = Case({"width": 270, "height": 480, "seconds": 5.05}, {"frames": 9})
    # 196 and 448 are no whole tokens of either family: frames that a processor must scale.
    sampling = Sampling(factor=2, max_pixels=100_176)
    return read_case(tmp_path_factory.mktemp("clip") / "a.mp4", case, sampling)


def whole_tokens(both: Both, clip: Clip) -> Clip:
    """Return the clip with frames cut to four by three tokens."""
    side = both.family.token_side
    return replace(clip, frames=clip.frames[:, : 4 * side, : 3 * side].copy())


def processed(both: Both, prompt: str, clip: Clip, options: Mapping[str, Any]) -> Any:
    """Return ids and tensors as vLLM hands them to the model."""
    items = both.vllm.info.parse_mm_data({"video": [clip.frames], "audio": [clip.sound]})
    return both.vllm(prompt, mm_items=items, hf_processor_mm_kwargs=options)


@pytest.mark.parametrize("how", ["as they are", "scaled, rate not told"])
def test_pixels_mel_features_and_ids_are_those_of_transformers(
    how: str, both: Both, clip: Clip
) -> None:
    import torch

    given, inputs, reference_options = clip, ProcessorInputs(both.family), None
    if how == "as they are":
        given = whole_tokens(both, clip)
    else:
        inputs = ProcessorInputs(both.family, channels="bgr", tell_fps=False, resize=True)
        reference_options = UNTOLD
    given = seen(given, inputs)
    prompt = both.reference.chat(QUESTION)

    options = inputs.options(as_given([given], inputs))
    ours = processed(both, prompt, given, options)
    theirs = both.reference.inputs(prompt, given, reference_options)

    tensors = ours["mm_kwargs"].get_data()
    assert ours["prompt_token_ids"] == theirs["input_ids"][0].tolist()
    assert torch.equal(tensors["video_grid_thw"], theirs["video_grid_thw"])
    assert torch.equal(tensors["pixel_values_videos"], theirs["pixel_values_videos"])
    heard = theirs["feature_attention_mask"][0].bool()
    assert torch.equal(tensors["audio_feature_lengths"], heard.sum().reshape(1))
    mel = torch.as_tensor(tensors["input_audio_features"]).squeeze(0)
    assert torch.equal(mel, theirs["input_features"][0][:, heard])


def test_the_sides_of_a_token_are_those_of_the_checkpoint(both: Both) -> None:
    assert (
        both.family.token_side == {"qwen2_5_omni": 28, "qwen3_omni_moe": 32}[both.family.model_type]
    )


CORRECTED = {
    # Frames more than a chunk of two seconds apart.
    "qwen2_5_omni": 1 / 3,
    # A frame and a token of the sound at the same time.
    "qwen3_omni_moe": 13.0,
}
"""A frame rate at which vLLM's own token order differs."""


def test_without_the_correction_the_order_of_tokens_differs(
    both: Both, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    fps = CORRECTED[both.family.model_type]
    inputs = ProcessorInputs(both.family)
    given = seen(replace(whole_tokens(both, clip), fps=fps), inputs)
    options = inputs.options(as_given([given], inputs))
    prompt = both.reference.chat(QUESTION)
    expected = both.reference.inputs(prompt, given)["input_ids"][0].tolist()

    assert processed(both, prompt, given, options)["prompt_token_ids"] == expected
    # Of both: one family's processor is a subclass of the other's.
    for correction in (each for family in CORRECTIONS.values() for each in family):
        owner, original = correction.place()
        assert getattr(owner, correction.name).corrected
        monkeypatch.setattr(owner, correction.name, original)
    native = processed(both, prompt, given, options)["prompt_token_ids"]
    assert native != expected
    assert sorted(native) == sorted(expected)


def test_vllm_makes_a_mel_frame_too_many_of_what_is_left_out(both: Both, clip: Clip) -> None:
    """Qwen3-Omni alone; transformers hears no more of the last incomplete 10 ms."""

    assert clip.sound is not None
    inputs = ProcessorInputs(both.family)
    whole = clip.sound[: len(clip.sound) // 160 * 160]
    uneven = replace(whole_tokens(both, clip), sound=np.pad(whole, (0, 7)))
    options = inputs.options((VideoInput(uneven.frames, clip.fps, uneven.sound),))
    prompt = both.reference.chat(QUESTION)

    def heard(given: Clip) -> int:
        data = processed(both, prompt, given, options)["mm_kwargs"].get_data()
        return int(data["audio_feature_lengths"])

    theirs = int(both.reference.inputs(prompt, uneven)["feature_attention_mask"].sum())
    assert heard(uneven) - theirs == int(both.family.whole_hops)
    assert heard(seen(uneven, inputs)) == theirs


def test_frames_of_their_final_size_keep_their_pixels(
    both: Both, clip: Clip, tmp_path: Path
) -> None:
    """Nothing is scaled: the processor's patches, put back together, are the frame."""
    import torch

    side = both.family.token_side
    frames = clip.frames[:2, : 4 * side, : 2 * side].copy()
    options = ProcessorInputs(both.family).options((VideoInput(frames, 2.0),))
    items = both.vllm.info.parse_mm_data({"video": [frames]})
    prompt = both.reference.chat(QUESTION)
    ours = both.vllm(prompt, mm_items=items, hf_processor_mm_kwargs=options)
    patches = ours["mm_kwargs"].get_data()["pixel_values_videos"]

    video = both.reference.processor.video_processor
    patch, merge = video.patch_size, video.merge_size
    # One time step: rows and columns of tokens, then of patches in a token, then channel, the two
    # frames, and the patch itself.
    split = patches.reshape(4, 2, merge, merge, 3, 2, patch, patch)
    put = split.permute(5, 0, 2, 6, 1, 3, 7, 4).reshape(2, 4 * side, 2 * side, 3)
    levels = (put * torch.tensor(video.image_std) + torch.tensor(video.image_mean)) * 255
    assert np.array_equal(levels.round().to(torch.uint8).numpy(), frames)


def test_images_and_audios_beside_a_video_have_the_reference_s_tensors(both: Both) -> None:
    """In one request with a video; the frames are not scaled, the images are."""
    import torch

    dice, inputs = np.random.default_rng(2), ProcessorInputs(both.family)
    side = both.family.token_side

    def samples(count: int) -> Any:
        return inputs.sound(dice.normal(0, 0.2, count).astype(np.float32))

    def pixels(*shape: int) -> Any:
        return dice.integers(0, 256, (*shape, 3), np.uint8)

    media = (
        ImageInput(pixels(301, 57)),
        VideoInput(pixels(6, 2 * side, 3 * side), 3.0, samples(40_000)),
        AudioInput(samples(17_777)),
        ImageInput(pixels(900, 1300)),
    )
    content = [{"type": kind} for kind in ("image", "video", "audio", "image")]
    prompt = ChatTemplate(str(both.reference.checkpoint)).render(
        Conversation([{"role": "user", "content": content}])
    )
    given = _prompt(EngineRequest(0, prompt, media, {}, inputs.options(media)))
    items = both.vllm.info.parse_mm_data(given["multi_modal_data"])
    options = given["mm_processor_kwargs"]
    ours = both.vllm(prompt, mm_items=items, hf_processor_mm_kwargs=options)
    theirs = both.reference.inputs(prompt, media)

    tensors = ours["mm_kwargs"].get_data()
    assert ours["prompt_token_ids"] == theirs["input_ids"][0].tolist()
    for name in ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw"):
        assert torch.equal(tensors[name], theirs[name]), name
    heard = theirs["feature_attention_mask"].bool()
    assert torch.equal(torch.as_tensor(tensors["audio_feature_lengths"]), heard.sum(-1))
    mel = torch.cat([f[:, h] for f, h in zip(theirs["input_features"], heard, strict=True)], dim=1)
    given_mel = tensors["input_audio_features"]
    if not isinstance(given_mel, torch.Tensor):
        given_mel = torch.cat(list(given_mel), dim=1)
    assert torch.equal(given_mel, mel)
