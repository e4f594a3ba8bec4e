"""``--model_args``: what is understood, what is undone, what is refused and in which words."""

from __future__ import annotations

import os
from typing import Any

import pytest
from lmms_eval.utils import simple_parse_args_string

from ugc_models.config import DEFAULT_MODEL, Settings
from ugc_models.engine.family import GEMMA3N, QWEN2_5, QWEN3, ProcessorInputs
from ugc_models.engine.local import engine_argument_names
from ugc_models.media.sampling import Sampling

ENGINE = {
    "model",
    "seed",
    "dtype",
    "max_model_len",
    "gpu_memory_utilization",
    "mm_processor_cache_gb",
    "limit_mm_per_prompt",
    "tensor_parallel_size",
    "enforce_eager",
    "quantization",
}


def settings(**arguments: Any) -> Settings:
    return Settings.from_arguments(arguments, ENGINE)


def from_command_line(line: str) -> Settings:
    return Settings.from_arguments(simple_parse_args_string(line), ENGINE)


class TestDefaults:
    def test_are_32_frames_heard_of_the_small_model(self) -> None:
        plain = settings()
        assert plain.model == DEFAULT_MODEL == "Qwen/Qwen2.5-Omni-3B"
        assert (plain.frames, plain.fps, plain.use_audio_in_video) == (32, None, True)
        assert plain.engine == {}

    def test_are_those_that_the_documentation_states(self) -> None:
        plain = settings()
        assert (plain.max_frames, plain.min_pixels, plain.max_pixels) == (768, 3136, None)
        assert (plain.max_in_flight, plain.engine_timeout) == (32, 300.0)
        assert (plain.on_overflow, plain.store, plain.base_url) == ("refuse", None, None)
        assert (plain.align_sound, plain.tell_fps, plain.processor_resize) == (True, True, False)

    @pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (6, 6), (64, 8)])
    def test_decode_a_clip_a_core_and_eight_at_most(
        self, monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int
    ) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        assert settings().decode_workers == workers


class TestWhatTheyBecome:
    def test_a_frame_has_as_many_pixels_as_suits_the_model_unless_it_is_said(self) -> None:
        pixels = {family.model_type: 100_352 for family in (QWEN2_5, QWEN3)}
        pixels[GEMMA3N.model_type] = 589_824  # all that it sees of an image
        for family in (QWEN2_5, QWEN3, GEMMA3N):
            assert settings().frame_sampling(family).max_pixels == pixels[family.model_type]
            assert settings(max_pixels=50_176).frame_sampling(family).max_pixels == 50_176
        assert "<=589824px" in settings().decoding(GEMMA3N)

    def test_bounds_of_an_image_are_refused_where_all_have_one_size(self) -> None:
        with pytest.raises(ValueError, match="image_max_pixels: leave them out, this model scales"):
            settings(image_max_pixels=50_176).processor_inputs(GEMMA3N)

    def test_frames_are_taken_as_the_arguments_say(self) -> None:
        stated = settings(
            frames=9, fps=1.5, max_frames=40, spread="count", scaling="opencv",
            min_pixels=5000, max_pixels=60_000,
        )  # fmt: skip
        assert stated.frame_sampling(QWEN3) == Sampling(
            frames=9, fps=1.5, max_frames=40, spread="count", scaling="opencv",
            min_pixels=5000, max_pixels=60_000, factor=32,
        )  # fmt: skip
        assert settings(processor_resize=True).frame_sampling(QWEN3).factor == 2

    @pytest.mark.parametrize("tell_fps", [True, False])
    @pytest.mark.parametrize("resize", [True, False])
    def test_they_are_handed_over_as_the_arguments_say(self, tell_fps: bool, resize: bool) -> None:
        stated = settings(channels="bgr", tell_fps=tell_fps, processor_resize=resize)
        expected = ProcessorInputs(QWEN3, channels="bgr", tell_fps=tell_fps, resize=resize)
        assert stated.processor_inputs(QWEN3) == expected

    def test_a_rate_is_recorded_as_it_is(self) -> None:
        assert settings(fps=1.5).decoding().startswith("default: 1.5 fps ")


class TestSorting:
    def test_ours_are_ours_and_the_rest_is_the_engine_s(self) -> None:
        mixed = settings(model="folder", frames=8, seed=7, max_model_len=4096)
        assert (mixed.model, mixed.frames) == ("folder", 8)
        assert mixed.engine == {"seed": 7, "max_model_len": 4096}

    def test_knows_the_names_that_the_real_engine_has(self) -> None:
        names = engine_argument_names()
        assert {"tensor_parallel_size", "max_model_len", "gpu_memory_utilization"} <= names
        assert {"dtype", "seed", "enforce_eager", "limit_mm_per_prompt"} <= names


class TestValuesFromTheCommandLine:
    def test_minus_one_is_whole_again(self) -> None:
        value = from_command_line("max_model_len=-1").engine["max_model_len"]
        assert (value, type(value)) == (-1, int)

    @pytest.mark.parametrize("name", ["fps", "gpu_memory_utilization"])
    def test_real_numbers_stay_real(self, name: str) -> None:
        parsed = from_command_line(f"{name}=1.0")
        value = parsed.fps if name == "fps" else parsed.engine[name]
        assert (value, type(value)) == (1.0, float)

    def test_a_fraction_stays_a_fraction(self) -> None:
        assert from_command_line("fps=0.5").fps == 0.5

    def test_json_is_read(self) -> None:
        parsed = settings(limit_mm_per_prompt='{"video": 1, "audio": 1}')
        assert parsed.engine["limit_mm_per_prompt"] == {"video": 1, "audio": 1}
        assert settings(quantization='["a", "b"]').engine["quantization"] == ["a", "b"]

    def test_values_that_are_objects_already_stay(self) -> None:
        limits = {"video": 1}
        assert settings(limit_mm_per_prompt=limits).engine["limit_mm_per_prompt"] is limits

    def test_malformed_json_is_refused_with_its_name(self) -> None:
        with pytest.raises(ValueError, match=r"limit_mm_per_prompt=\{video: 1\}: not valid JSON"):
            settings(limit_mm_per_prompt="{video: 1}")

    @pytest.mark.parametrize("word", ["none", "None", "null"])
    def test_none_is_none(self, word: str) -> None:
        parsed = from_command_line(f"fps={word},quantization={word},system_prompt={word}")
        assert parsed.fps is None
        assert parsed.system_prompt is None
        assert parsed.engine == {"quantization": None}

    def test_but_for_the_store_it_is_a_word(self) -> None:
        assert from_command_line("store=none").store == "none"

    def test_true_and_false_are_themselves(self) -> None:
        parsed = from_command_line("use_audio_in_video=False,enforce_eager=True")
        assert parsed.use_audio_in_video is False
        assert parsed.engine["enforce_eager"] is True


class TestUnknownNames:
    def test_are_refused_with_the_nearest_known_one(self) -> None:
        with pytest.raises(ValueError, match=r"'max_modle_len' \(did you mean 'max_model_len'\?\)"):
            settings(max_modle_len=4096)

    def test_are_named_all_at_once(self) -> None:
        with pytest.raises(ValueError, match="unknown model argument") as refusal:
            settings(frame=8, tensor_parallel=2, zzz=1)
        message = str(refusal.value)
        assert "'frame' (did you mean 'frames'?)" in message
        assert "'tensor_parallel' (did you mean 'tensor_parallel_size'?)" in message
        assert "'zzz'," not in message
        assert "'zzz'" in message

    def test_the_engine_s_own_field_of_settings_is_no_argument(self) -> None:
        with pytest.raises(ValueError, match="unknown model argument 'engine'"):
            settings(engine={"seed": 1})


class TestBounds:
    @pytest.mark.parametrize(
        ("name", "least"),
        [
            ("frames", 1),
            ("max_frames", 2),
            ("min_pixels", 1),
            ("max_pixels", 3136),  # the default of min_pixels
            ("decode_workers", 1),
            ("max_in_flight", 1),
        ],
    )
    def test_whole_numbers_have_a_least_value(self, name: str, least: int) -> None:
        assert getattr(settings(**{name: least}), name) == least
        with pytest.raises(ValueError, match=f"{name}={least - 1}: a whole number"):
            settings(**{name: least - 1})

    @pytest.mark.parametrize(
        "name",
        ["frames", "max_frames", "min_pixels", "decode_workers", "max_in_flight"],
    )
    @pytest.mark.parametrize("value", [1.5, "many", None, True])
    def test_whole_numbers_are_whole_numbers(self, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=f"{name}={value!r}: a whole number"):
            settings(**{name: value})

    def test_max_pixels_holds_one_token_even_where_min_pixels_does_not(self) -> None:
        with pytest.raises(ValueError, match="max_pixels=783: a whole number from 784 up"):
            settings(min_pixels=1, max_pixels=783)

    @pytest.mark.parametrize(
        ("name", "least"),
        [
            ("total_pixels", 784),
            ("image_min_pixels", 1),
            ("image_max_pixels", 784),
        ],
    )
    def test_some_may_be_left_open(self, name: str, least: int) -> None:
        assert getattr(settings(), name) is None
        assert getattr(settings(**{name: least}), name) == least
        with pytest.raises(ValueError, match=f"{name}={least - 1}: a whole number from {least} up"):
            settings(**{name: least - 1})

    def test_image_max_pixels_is_not_below_image_min_pixels(self) -> None:
        with pytest.raises(ValueError, match=r"image_max_pixels=800: .* image_min_pixels=900"):
            settings(image_min_pixels=900, image_max_pixels=800)

    def test_on_error_is_one_of_two_words(self) -> None:
        assert (settings().on_error, settings(on_error="stop").on_error) == ("continue", "stop")
        with pytest.raises(ValueError, match="on_error='raise': continue or stop is needed"):
            settings(on_error="raise")

    def test_max_pixels_is_not_below_min_pixels(self) -> None:
        with pytest.raises(ValueError, match=r"max_pixels=5000: .* not below min_pixels=6000"):
            settings(min_pixels=6000, max_pixels=5000)
        assert settings(min_pixels=6000, max_pixels=6000).max_pixels == 6000

    @pytest.mark.parametrize("rate", [0, -2.0, float("nan"), float("inf"), "fast", True])
    def test_fps_is_a_number_above_zero(self, rate: object) -> None:
        with pytest.raises(ValueError, match=r"fps=.*: a number of frames per second above 0"):
            settings(fps=rate)

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "long", True, None])
    def test_engine_timeout_is_a_number_above_zero(self, seconds: object) -> None:
        with pytest.raises(ValueError, match=r"engine_timeout=.*: seconds above 0 are needed"):
            settings(engine_timeout=seconds)
        assert settings(engine_timeout=0.5).engine_timeout == 0.5

    def test_on_overflow_is_one_of_two_words(self) -> None:
        assert settings(on_overflow="fewer_frames").on_overflow == "fewer_frames"
        with pytest.raises(ValueError, match="on_overflow='drop': refuse or fewer_frames"):
            settings(on_overflow="drop")

    def test_store_is_a_place(self) -> None:
        with pytest.raises(ValueError, match="store=7: a file, a folder or none is needed"):
            settings(store=7)

    @pytest.mark.parametrize("value", ["yes", 1, None])
    @pytest.mark.parametrize("name", ["use_audio_in_video", "align_sound"])
    def test_a_switch_is_true_or_false(self, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=rf"{name}=.*: True or False"):
            settings(**{name: value})

    @pytest.mark.parametrize("value", [7, "", "none"])
    def test_model_is_a_name(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"model=.*: a Hugging Face name or a folder"):
            settings(model=value)

    def test_system_prompt_is_a_text(self) -> None:
        with pytest.raises(ValueError, match="system_prompt=7: a text is needed"):
            settings(system_prompt=7)

    def test_the_cache_that_loses_sound_stays_off(self) -> None:
        with pytest.raises(ValueError, match="mm_processor_cache_gb must stay 0"):
            settings(mm_processor_cache_gb=4)
        assert settings(mm_processor_cache_gb=0.0).engine == {"mm_processor_cache_gb": 0.0}
