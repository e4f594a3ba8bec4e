"""What a checkpoint's processor is given and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugc_models.engine.base import AudioInput, ImageInput, VideoInput
from ugc_models.engine.family import (
    GEMMA3N,
    QWEN2_5,
    QWEN3,
    Family,
    ProcessorInputs,
    family_of,
)
from ugc_models.request.prompt import CheckpointError

SHAPE = (9, 224, 420, 3)
IMAGE = ImageInput(np.zeros((30, 40, 3), np.uint8))


def clip(samples: int | None) -> VideoInput:
    sound = None if samples is None else np.zeros(samples, np.float32)
    return VideoInput(np.zeros(SHAPE, np.uint8), 2.0, sound)


def processor_options(
    fps: float | None,
    shape: tuple[int, ...],
    *,
    sound: bool,
    family: Family = QWEN2_5,
    **more: bool,
) -> dict[str, Any]:
    """Return the options for a clip, but for those that pad its sound."""
    samples = np.zeros(16_000, np.float32) if sound else None
    media = (VideoInput(np.zeros(shape, np.uint8), fps, samples),)
    options = ProcessorInputs(family, **more).options(media)  # type: ignore[arg-type]
    options.pop("audio_kwargs", None)
    return options


def about_frames(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options for videos alone."""
    return dict(options["videos_kwargs"])


class TestOptions:
    def test_tell_the_rate_under_two_names_to_qwen2_5(self) -> None:
        options = processor_options(4.0, SHAPE, sound=True)
        assert (options["fps"], options["second_per_grid_ts"]) == (4.0, [0.5])

    def test_tell_it_under_one_name_to_qwen3(self) -> None:
        options = processor_options(4.0, SHAPE, sound=True, family=QWEN3)
        assert options["fps"] == 4.0
        assert "second_per_grid_ts" not in options

    @pytest.mark.parametrize("family", [QWEN2_5, QWEN3])
    def test_tell_none_where_none_is_to_be_told(self, family: Family) -> None:
        options = processor_options(4.0, SHAPE, sound=True, family=family, tell_fps=False)
        assert not {"fps", "second_per_grid_ts"} & set(options)

    def test_bound_the_size_by_the_frames_own(self) -> None:
        options = about_frames(processor_options(4.0, SHAPE, sound=False))
        assert options["do_resize"] is False
        assert options["size"] == {"shortest_edge": 94_080, "longest_edge": 846_720}

    def test_bound_a_single_frame_as_the_pair_that_it_becomes(self) -> None:
        options = about_frames(processor_options(4.0, (1, *SHAPE[1:]), sound=False))
        assert options["size"] == {"shortest_edge": 94_080, "longest_edge": 188_160}

    def test_tell_two_frames_a_second_where_a_clip_has_no_rate(self) -> None:
        options = processor_options(None, SHAPE, sound=False)
        assert (options["fps"], options["second_per_grid_ts"]) == (2.0, [1.0])

    def test_leave_size_and_bounds_to_a_processor_that_scales(self) -> None:
        options = processor_options(4.0, SHAPE, sound=False, resize=True)
        assert not {"do_resize", "size"} & {*options, *about_frames(options)}

    def test_never_leave_frames_out(self) -> None:
        for resize in (True, False):
            options = about_frames(processor_options(4.0, SHAPE, sound=False, resize=resize))
            assert options["do_sample_frames"] is options["cap_pixels_per_frame"] is False


class TestSeveralMedia:
    def test_the_bounds_are_those_of_all_frames(self) -> None:
        small = VideoInput(np.zeros((4, 28, 28, 3), np.uint8), 2.0)
        options = about_frames(ProcessorInputs().options([clip(None), small]))
        assert options["size"] == {"shortest_edge": 784, "longest_edge": 846_720}

    @pytest.mark.parametrize("family", [QWEN2_5, QWEN3])
    def test_rates_that_differ_are_told_of_each(self, family: Family) -> None:
        slow = VideoInput(np.zeros((4, 28, 28, 3), np.uint8), 0.5)
        options = ProcessorInputs(family).options([clip(None), slow])
        assert options["second_per_grid_ts"] == [1.0, 4.0]

    def test_an_image_alone_is_the_processor_s_business(self) -> None:
        assert ProcessorInputs().options([IMAGE]) == {}

    @pytest.mark.parametrize(
        ("bounds", "size"),
        [
            ({"image_min_pixels": 784, "image_max_pixels": 7840}, (784, 7840)),
            ({"image_max_pixels": 7840}, (3136, 7840)),
            ({"image_min_pixels": 78400}, (78400, 12845056)),
        ],
    )
    def test_unless_it_is_bounded(self, bounds: dict[str, int], size: tuple[int, int]) -> None:
        inputs = ProcessorInputs(**bounds)  # type: ignore[arg-type]
        told = {"size": dict(zip(("shortest_edge", "longest_edge"), size, strict=True))}
        assert inputs.options([IMAGE]) == {"images_kwargs": told}
        assert "images_kwargs" not in inputs.options([clip(None)])


class TestProcessorInputs:
    def test_turns_the_channels_round(self) -> None:
        frames = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
        turned = ProcessorInputs(channels="bgr").frames(frames)
        assert turned[0, 0, 0].tolist() == [2, 1, 0]
        assert turned.flags.c_contiguous
        assert ProcessorInputs().frames(frames) is frames

    @pytest.mark.parametrize(("samples", "left"), [(1600, 1600), (1759, 1600), (1760, 1760)])
    def test_cuts_sound_to_whole_mel_frames_for_qwen3_alone(self, samples: int, left: int) -> None:
        sound = np.zeros(samples, np.float32)
        assert len(ProcessorInputs(QWEN3).sound(sound)) == left
        assert ProcessorInputs(QWEN2_5).sound(sound) is sound

    def test_cuts_sound_where_the_feature_extractor_of_qwen2_5_does(self) -> None:
        sound = np.zeros(301 * 16_000, np.float32)
        assert len(ProcessorInputs().sound(sound)) == 300 * 16_000
        assert len(ProcessorInputs(QWEN3).sound(sound)) == 301 * 16_000
        assert len(ProcessorInputs(GEMMA3N).sound(sound)) == 30 * 16_000


class TestFamilyOf:
    def test_reads_the_side_of_a_token_from_the_checkpoint(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        assert family_of(str(checkpoint)) == QWEN2_5
        config = json.loads((checkpoint / "config.json").read_text("utf-8"))
        config["thinker_config"]["vision_config"] |= {"patch_size": 10, "spatial_merge_size": 3}
        (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
        assert family_of(str(tmp_path)).token_side == 30

    def test_knows_gemma_3n(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "gemma3n"}')
        assert family_of(str(tmp_path)) == GEMMA3N

    def test_refuses_a_model_that_this_is_not_for(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
        with pytest.raises(CheckpointError, match="is a 'gpt2': this adapter knows qwen2_5_omni"):
            family_of(str(tmp_path))

    @pytest.mark.parametrize(("revision", "asked"), [(None, "main"), ("v2", "v2")])
    def test_reads_that_of_the_revision_and_says_what_fails_in_one_harmless_line(
        self, revision: str | None, asked: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers import AutoConfig

        def fail(model: str, *, revision: str) -> None:
            raise OSError(f"\n{model} has\x1b[2J no {revision}.\nFurther lines\nof advice")

        monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
        said = rf"\(OSError: lab/omni has\\x1b\[2J no {asked}\.\)$"
        with pytest.raises(CheckpointError, match=said):
            family_of("lab/omni", revision)

    def test_says_where_it_looked(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"configuration of model=.*nowhere"):
            family_of(str(tmp_path / "nowhere"))


class TestThePaddingOfSound:
    """Which features come out is compared with transformers' own in ``test_parity_inputs.py``."""

    @pytest.mark.parametrize(
        ("samples", "padded"),
        [
            (1_600, 2_080),
            (16_000, 16_480),
            (384_000, 384_480),
            (16_001, 16_480),
            (4_800_000, 4_800_000),
        ],
    )
    def test_is_half_a_window_at_each_side_in_whole_frames(self, samples: int, padded: int) -> None:
        options = ProcessorInputs().options([clip(samples)])
        assert options["audio_kwargs"] == {"padding": "max_length", "max_length": padded}
        assert options["use_audio_in_video"]

    def test_is_that_of_the_longest(self) -> None:
        several = [clip(1_600), AudioInput(np.zeros(16_000, np.float32)), clip(384_000)]
        assert ProcessorInputs().options(several)["audio_kwargs"]["max_length"] == 384_480

    def test_is_not_spoken_of_where_there_is_none(self) -> None:
        options = ProcessorInputs().options([clip(None)])
        assert {"audio_kwargs", "use_audio_in_video"}.isdisjoint(options)

    def test_is_left_to_qwen3(self) -> None:
        options = ProcessorInputs(QWEN3).options([clip(16_000)])
        assert options["use_audio_in_video"] is True
        assert "audio_kwargs" not in options
