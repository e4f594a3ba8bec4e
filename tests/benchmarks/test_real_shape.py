"""The checkpoint of the true size, and its way to the disk in little."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import AutoConfig, AutoProcessor, Qwen2_5OmniThinkerForConditionalGeneration

from benchmarks import real_shape
from benchmarks.real_shape import SMALL, Dimensions, write_checkpoint
from ugc_models.testing.tiny_tokenizer import SPECIAL_TOKENS, train_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_shape, "_SHARD", 1 << 17)  # several files, as the true one has
        return write_checkpoint(tmp_path_factory.mktemp("real-shape") / "model", SMALL)


def test_the_true_size_has_the_parameters_of_a_3b_model_and_its_encoders() -> None:
    tokenizer = real_shape._padded(train_tokenizer(), Dimensions().vocabulary)
    shapes = real_shape._shapes(real_shape._thinker(tokenizer, Dimensions()))

    def billions(part: str) -> float:
        return sum(math.prod(s) for n, s in shapes.items() if n.startswith(f"thinker.{part}")) / 1e9

    assert billions("model.") + billions("lm_head") == pytest.approx(3.4, abs=0.05)
    assert billions("visual.") == pytest.approx(0.67, abs=0.02)
    assert billions("audio_tower.") == pytest.approx(0.64, abs=0.02)


def test_the_vocabulary_is_as_large_as_the_model_with_the_special_tokens_last(
    folder: Path,
) -> None:
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert len(tokenizer) == SMALL.vocabulary
    ids = [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS]
    assert ids == list(range(SMALL.vocabulary - len(ids), SMALL.vocabulary))


def test_text_is_read_as_with_the_smaller_vocabulary(folder: Path) -> None:
    text = "A small dog runs after a ball."
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert tokenizer.encode(text) == train_tokenizer().encode(text).ids
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_configuration_names_the_tokens_where_they_are_now(folder: Path) -> None:
    thinker = AutoConfig.from_pretrained(folder).thinker_config
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert thinker.video_token_index == tokenizer.convert_tokens_to_ids("<|VIDEO|>")
    assert thinker.audio_token_index == tokenizer.convert_tokens_to_ids("<|AUDIO|>")


def test_every_weight_of_the_model_is_in_one_of_several_files(folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))
    found = {}
    for part in sorted(set(index["weight_map"].values())):
        with safe_open(folder / part, "pt") as file:
            names = file.keys()
            found |= {key: tuple(file.get_slice(key).get_shape()) for key in names}
    assert len(set(index["weight_map"].values())) > 1
    assert found.keys() == index["weight_map"].keys()
    model, report = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert model.lm_head.weight.shape == (SMALL.vocabulary, SMALL.hidden)
