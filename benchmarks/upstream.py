"""Which faults vLLM has in its models, with cases: ``python -m benchmarks.upstream``.

For each case vLLM's own processor and positions are held against transformers', on checkpoints of a
megabyte with random weights; nothing of this project is between. What differs is what
``ugc_models/engine/positions.py`` corrects. Below stand the digests of vLLM's functions, for the
list of those that were read.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.support.tiny_qwen3 import QWEN3 as QWEN3_TINY
from tests.support.transformers_reference import Reference
from ugc_models.engine import positions
from ugc_models.engine.base import AudioInput, Medium, VideoInput, sounds_of
from ugc_models.engine.corrections import CORRECTIONS
from ugc_models.engine.family import Family, ProcessorInputs, family_of
from ugc_models.testing.tiny_model import QWEN2_5 as QWEN2_5_TINY
from ugc_models.testing.tiny_omni import build_tiny_omni

TINY = {"qwen2_5_omni": QWEN2_5_TINY, "qwen3_omni_moe": QWEN3_TINY}


@dataclass(frozen=True)
class Case:
    """What a prompt has: videos as (frames, rows, columns, frames a second, seconds of sound)."""

    name: str
    videos: tuple[tuple[int, int, int, float, float], ...]
    audio: float = 0.0  # seconds of an audio behind them


CASES = (
    Case("a video with sound", ((4, 2, 2, 2.0, 2.0),)),
    Case("frames 4 s apart, with sound", ((4, 2, 2, 0.25, 16.0),)),
    Case("13 frames a second, with sound", ((26, 2, 2, 13.0, 2.0),)),
    Case("3 frames a second, with sound", ((6, 2, 2, 3.0, 2.0),)),
    Case("a high picture with short sound", ((2, 20, 1, 2.0, 0.3),)),
    Case("two videos of different rates", ((4, 2, 2, 2.0, 0.0), (4, 2, 2, 0.5, 0.0))),
    Case("a video with sound, then an audio", ((4, 2, 2, 2.0, 2.0),), 1.0),
)


def media_of(case: Case, family: Family) -> tuple[Medium, ...]:
    """Return black frames and silence."""
    side = family.token_side

    def silence(seconds: float) -> Any:
        return np.zeros(round(seconds * 16_000) // 160 * 160, np.float32)

    media: list[Medium] = [
        VideoInput(np.zeros((t, h * side, w * side, 3), np.uint8), fps, silence(s) if s else None)
        for t, h, w, fps, s in case.videos
    ]
    return (*media, AudioInput(silence(case.audio))) if case.audio else tuple(media)


class Native:
    """vLLM's own processor and positions of a checkpoint."""

    def __init__(self, checkpoint: Path, family: Family) -> None:
        from vllm.config import ModelConfig
        from vllm.multimodal import MULTIMODAL_REGISTRY

        config = ModelConfig(
            model=str(checkpoint), dtype="float32", max_model_len=8192, mm_processor_cache_gb=0
        )
        self._processor = MULTIMODAL_REGISTRY.create_processor(config)
        self._inputs = ProcessorInputs(family)
        owner, _ = CORRECTIONS[family.model_type][0].place()
        self._model = owner.__new__(owner)
        self._model.__dict__["config"] = config.hf_config.thinker_config

    def prompt(self, text: str, media: tuple[Medium, ...]) -> tuple[list[int], Any]:
        """Return token ids and (3, n) positions."""
        from vllm.multimodal.inputs import MultiModalFeatureSpec

        data = {"video": [m.frames for m in media if isinstance(m, VideoInput)]}
        if sounds := sounds_of(media):
            data["audio"] = sounds
        made = self._processor(
            text,
            mm_items=self._processor.info.parse_mm_data(data),
            hf_processor_mm_kwargs=self._inputs.options(media),
        )
        features = [
            MultiModalFeatureSpec(data=item, modality=kind, identifier="", mm_position=place)
            for kind, items in made["mm_kwargs"].items()
            for item, place in zip(items, made["mm_placeholders"][kind], strict=True)
        ]
        ids = made["prompt_token_ids"]
        return ids, self._model.get_mrope_input_positions(ids, features)[0].numpy()


def theirs(
    reference: Reference, text: str, media: tuple[Medium, ...], *, interleaved: bool
) -> tuple[list[int], Any]:
    """Return the ids and positions of transformers."""
    inputs = reference.inputs(text, media)
    mask = inputs.get("feature_attention_mask")
    found, _ = reference.model.get_rope_index(
        inputs["input_ids"],
        video_grid_thw=inputs["video_grid_thw"],
        attention_mask=inputs["attention_mask"],
        use_audio_in_video=interleaved,
        audio_seqlens=None if mask is None else mask.sum(-1),
        second_per_grids=inputs["video_second_per_grid"],
    )
    return inputs["input_ids"][0].tolist(), found[:, 0].numpy()


def difference(case: Case, native: Native, reference: Reference, family: Family) -> str:
    """Return in a sentence where vLLM and transformers part, ``the same`` where they do not."""
    media = media_of(case, family)
    content = [{"type": "video"}] * len(case.videos) + [{"type": "audio"}] * bool(case.audio)
    text = reference.processor.apply_chat_template(
        [{"role": "user", "content": [*content, {"type": "text", "text": "?"}]}], tokenize=False
    )
    text = text if isinstance(text, str) else text[0]
    ids, expected = theirs(reference, text, media, interleaved=bool(case.videos[0][4]))
    try:
        own_ids, own = native.prompt(text, media)
    except Exception as error:
        return f"refused: {str(error)[:100]}"
    if (other := _first([a != b for a, b in zip(own_ids, ids, strict=False)])) is not None:
        return f"token {other} is {own_ids[other]} and not {ids[other]}"
    if len(own_ids) != len(ids):
        return f"{len(own_ids)} tokens and not {len(ids)}"
    if (other := _first(list((own != np.floor(expected)).any(axis=0)))) is not None:
        return f"token {other} is at {own[:, other].tolist()} and not {expected[:, other].tolist()}"
    return "the same" if np.array_equal(own, expected) else "the same, but for fractions"


def _first(differs: list[Any]) -> int | None:
    return next((at for at, other in enumerate(differs) if other), None)


def pieces(family: str) -> str:
    """Return what vLLM makes of a piece of a prompt with a piece of sound and then picture."""
    import torch

    check = next(
        c for c in CORRECTIONS[family] if c.name == "check_interleaved_audio_video"
    ).place()[1]
    is_audio = torch.tensor([True, True, False, False])
    found = check(~is_audio, is_audio, 2, 2)
    return "the same" if found else "sound and picture, a piece of a video, are not interleaved"


def company(family: str, reference: Reference) -> str:
    """Return what becomes of a short sound that vLLM encodes together with a long one.

    The encoder here is transformers'; how sounds are handed to it is vLLM's.
    """
    import torch

    found = [c for c in CORRECTIONS[family] if c.name == "_process_audio_input"]
    if not found:
        return "the same"
    tower = reference.model.audio_tower
    model = SimpleNamespace(
        audio_tower=lambda features, feature_lens, aftercnn_lens: (
            tower(
                features, feature_lens=feature_lens, aftercnn_lens=aftercnn_lens
            ).last_hidden_state
        )
    )
    model.audio_tower.dtype = torch.float32
    noise = torch.randn(128, 150, generator=torch.Generator().manual_seed(1))

    def encoded(*lengths: int) -> torch.Tensor:
        sounds = {
            "input_features": noise[:, : sum(lengths)],
            "audio_feature_lengths": torch.tensor(lengths),
        }
        with torch.no_grad():
            first: torch.Tensor = found[0].place()[1](model, sounds)[0]
        return first

    differ = (encoded(30) - encoded(30, 120)).abs().amax(1)
    rows = (differ > 1e-5).nonzero().flatten().tolist()
    return f"tokens {rows} of {len(differ)} are others beside a long sound" if rows else "the same"


def findings(family: str, folder: Path) -> Mapping[str, str]:
    """Return for each case where vLLM and transformers part.

    Those of Gemma-3n are seen in a running engine only (``test_parity_kinds.py``).
    """
    if family not in TINY:
        return {}
    checkpoint = build_tiny_omni(folder / family, family=TINY[family])
    known, reference = family_of(str(checkpoint)), Reference(checkpoint)
    native = Native(checkpoint, known)
    found = {case.name: difference(case, native, reference, known) for case in CASES}
    found["a sound of 0.3 s, in flight"] = company(family, reference)
    return {**found, "a piece of a prompt": pieces(family)}


def main() -> int:
    """Print the findings for the installed vLLM."""
    os.environ[positions.SWITCH] = "native"  # also in vLLM's own loading of plugins
    import vllm

    print(f"vLLM {vllm.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for family, corrections in CORRECTIONS.items():
            print(f"\n{family}" + ": vLLM against transformers" * (family in TINY))
            for name, found in findings(family, Path(folder)).items():
                print(f"  {name:36}{found}")
            for each in corrections:
                try:
                    digest = positions.digest(each.place()[1])
                except (ImportError, AttributeError):
                    digest = "is not there"
                known = positions.KNOWN.get(digest, "was not read yet")
                print(f"  {digest}  {each.name}: {each.fault} ({known})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
