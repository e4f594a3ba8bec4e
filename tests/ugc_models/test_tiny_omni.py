"""The tiny checkpoint: what the tests and the demo rely on when they use it for the real model."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ugc_models.testing import tiny_model
from ugc_models.testing.tiny_omni import build_tiny_omni, main

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUESTION = "Describe the video and the audio in detail."
VIDEO = "<|vision_bos|><|VIDEO|><|vision_eos|>"
AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_omni(tmp_path_factory.mktemp("tiny") / "omni")


@pytest.fixture(scope="module")
def processor(checkpoint: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(checkpoint, local_files_only=True)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


class TestTheFolder:
    def test_is_about_a_megabyte(self, checkpoint: Path) -> None:
        assert sum(path.stat().st_size for path in checkpoint.iterdir()) < 1_300_000

    def test_says_that_it_is_qwen2_5_omni(self, checkpoint: Path) -> None:
        config = json.loads((checkpoint / "config.json").read_text("utf-8"))
        assert config["architectures"] == ["Qwen2_5OmniForConditionalGeneration"]
        assert config["dtype"] == "float32"
        text = config["thinker_config"]["text_config"]
        assert (text["vocab_size"], text["hidden_size"]) == (448, 64)
        assert text["max_position_embeddings"] == 32768

    def test_has_the_same_bytes_for_the_same_seed(self, checkpoint: Path, tmp_path: Path) -> None:
        assert digests(build_tiny_omni(tmp_path / "again")) == digests(checkpoint)

    def test_differs_in_its_weights_alone_for_another_seed(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        ours, other = digests(checkpoint), digests(build_tiny_omni(tmp_path / "other", seed=1))
        assert {name for name in ours if ours[name] != other[name]} == {
            "model.safetensors",
            "tiny_omni.json",
        }

    def test_is_readable_by_all_whom_the_umask_allows(self, checkpoint: Path) -> None:
        modes = {path.stat().st_mode & 0o777 for path in checkpoint.iterdir()}
        assert len(modes) == 1
        assert checkpoint.stat().st_mode & 0o444 == modes.pop() & 0o444


class TestBuildingTwice:
    def test_leaves_a_complete_checkpoint_as_it_is(self, checkpoint: Path) -> None:
        before = (checkpoint / "model.safetensors").stat().st_mtime_ns
        assert build_tiny_omni(checkpoint) == checkpoint
        assert (checkpoint / "model.safetensors").stat().st_mtime_ns == before

    def test_refuses_a_folder_that_holds_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(FileExistsError, match="something other than the tiny checkpoint"):
            build_tiny_omni(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_refuses_a_checkpoint_of_another_seed(self, checkpoint: Path) -> None:
        with pytest.raises(FileExistsError, match="seed 7"):
            build_tiny_omni(checkpoint, seed=7)

    def test_refuses_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "omni").write_text("")
        with pytest.raises(FileExistsError, match="not a folder"):
            build_tiny_omni(tmp_path / "omni")

    def test_fills_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "omni").mkdir()
        assert (build_tiny_omni(tmp_path / "omni") / "config.json").is_file()

    def test_that_fails_half_way_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full_disk(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tiny_model, "draw_weights", full_disk)
        with pytest.raises(OSError, match="No space left"):
            build_tiny_omni(tmp_path / "omni")
        assert list(tmp_path.iterdir()) == []


class TestThePrompt:
    def test_is_chatml_with_a_placeholder_for_each_part(self, processor: Any) -> None:
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "video"}, {"type": "audio"}, {"type": "image"},
                {"type": "text", "text": QUESTION},
            ]},
        ]  # fmt: skip
        assert processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        ) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            f"<|im_start|>user\n{VIDEO}{AUDIO}<|vision_bos|><|IMAGE|><|vision_eos|>"
            f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_has_a_system_turn_even_when_none_is_given(self, processor: Any) -> None:
        messages = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
        ]
        assert processor.apply_chat_template(messages, tokenize=False) == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        )

    def test_refuses_a_part_that_it_cannot_render(self, processor: Any) -> None:
        messages = [{"role": "user", "content": [{"type": "smell", "smell": "roses"}]}]
        with pytest.raises(Exception, match='of type "smell"'):
            processor.apply_chat_template(messages, tokenize=False)


class TestTheTokenizer:
    @pytest.fixture(scope="class")
    def tokenizer(self, checkpoint: Path) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)

    @pytest.mark.parametrize("text", ["plain words", "  two\n\nlines\t", "ünïcode 東京 🎬 1999"])
    def test_brings_any_text_back(self, tokenizer: Any, text: str) -> None:
        assert tokenizer.decode(tokenizer(text).input_ids) == text

    def test_fills_the_vocabulary_to_the_last_id(self, tokenizer: Any) -> None:
        assert len(tokenizer) == 448
        assert tokenizer.eos_token == "<|im_end|>"
        assert tokenizer.pad_token == "<|endoftext|>"

    def test_reads_a_placeholder_as_one_token(self, tokenizer: Any) -> None:
        ids = tokenizer(f"{VIDEO}{AUDIO}").input_ids
        assert len(ids) == 6
        assert ids[1] == tokenizer.convert_tokens_to_ids(tokenizer.video_token)
        assert ids[4] == tokenizer.convert_tokens_to_ids(tokenizer.audio_token)


class TestTheModel:
    @pytest.fixture(scope="class")
    def model(self, checkpoint: Path) -> Any:
        import torch
        from transformers import Qwen2_5OmniThinkerForConditionalGeneration

        model, report = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32, output_loading_info=True, local_files_only=True
        )
        assert not any(report.values()), f"weights and network do not match: {report}"
        return model.eval()

    def caption(self, model: Any, processor: Any, picture: int, pitch: int | None) -> list[int]:
        """Ids that the model writes about random frames of that seed and a tone in Hz."""
        parts = [{"type": "video"}, {"type": "text", "text": QUESTION}]
        inputs = processor(
            text=processor.apply_chat_template(
                [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
            ),
            videos=[random_frames(picture)],
            audio=None if pitch is None else [tone(pitch)],
            use_audio_in_video=pitch is not None,
            return_tensors="pt",
        )
        written = model.generate(
            **inputs, use_audio_in_video=pitch is not None, max_new_tokens=48, do_sample=False
        )
        ids: list[int] = written[0, inputs["input_ids"].shape[1] :].tolist()
        return ids

    def test_writes_about_what_it_sees_and_hears(self, model: Any, processor: Any) -> None:
        captions = [
            self.caption(model, processor, picture, pitch)
            for picture, pitch in ((1, 220), (2, 220), (1, 880), (1, None))
        ]
        assert len({tuple(ids) for ids in captions}) == 4, "the output ignores part of the input"
        again = self.caption(model, processor, 1, 220)
        assert again == captions[0]

    def test_does_not_repeat_one_token_for_ever(self, model: Any, processor: Any) -> None:
        ids = self.caption(model, processor, 3, 300)
        assert len(set(ids)) >= len(ids) // 3

    def test_writes_readable_text(self, model: Any, processor: Any) -> None:
        text = processor.tokenizer.decode(
            self.caption(model, processor, 4, 400), skip_special_tokens=True
        )
        assert text.isascii()
        assert text.isprintable()
        assert "<|" not in text


def random_frames(seed: int) -> NDArray[np.uint8]:
    """Four frames (two seconds at 2 fps) of 112x84 pixels in coloured squares."""
    import numpy as np

    squares = np.random.default_rng(seed).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    return np.kron(squares, np.ones((1, 14, 14, 1), np.uint8))


def tone(pitch: int) -> NDArray[np.float32]:
    """Two seconds of a sine of `pitch` Hz at 16 kHz."""
    import numpy as np

    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(32_000) / 16_000)).astype(np.float32)


class TestTheCommand:
    def test_builds_and_says_where(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(tmp_path / "omni"), "--seed", "3"]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / "omni")
        assert (tmp_path / "omni" / "config.json").is_file()

    def test_says_in_one_line_what_is_in_its_way(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "notes.txt").write_text("")
        assert main([str(tmp_path)]) == 1
        complaint = capsys.readouterr().err
        assert complaint.startswith("tiny_omni: ")
        assert complaint.count("\n") == 1

    def test_gives_help_without_loading_torch(self) -> None:
        probe = (
            "import sys; from ugc_models.testing.tiny_omni import main\n"
            "try: main(['--help'])\n"
            "finally: assert not {'torch', 'transformers'} & set(sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "--seed" in done.stdout
