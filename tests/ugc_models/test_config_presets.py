"""Presets: what they stand for, what wins over them, and what each switch of them changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.parity import QUESTION, Case, read_case, write
from tests.support.transformers_reference import Reference
from ugc_models.config import Settings, _preset_named, _text_of
from ugc_models.engine.base import VideoInput
from ugc_models.engine.family import QWEN2_5, QWEN3
from ugc_models.engine.local import LocalEngine
from ugc_models.presets import CHECKPOINTS, PAPER, PRESETS, Preset, missing_checkpoint

ENGINE = {"seed", "max_model_len", "dtype"}


def settings(**arguments: Any) -> Settings:
    return Settings.from_arguments(arguments, ENGINE)


class TestDefault:
    def test_is_what_no_preset_is(self) -> None:
        assert settings(preset="default") == settings()

    def test_leaves_engine_sampling_and_system_prompt_alone(self) -> None:
        assert settings().engine == {}
        assert settings().generation() == {}
        assert settings().system_text() is None
        assert settings(system_prompt="Be brief.").system_text() == "Be brief."

    def test_is_recorded(self) -> None:
        assert settings().decoding() == "default: 32 frames <=100352px with sound"
        assert settings(fps=2, use_audio_in_video=False).decoding() == (
            "default: 2 fps <=100352px without sound"
        )


class TestPaper:
    def test_is_the_published_protocol(self) -> None:
        paper = settings(preset="paper")
        assert (paper.frames, paper.fps, paper.spread) == (32, None, "count")
        assert (paper.max_pixels, paper.channels, paper.tell_fps) == (100_176, "bgr", False)
        assert (paper.min_pixels, paper.scaling, paper.processor_resize) == (1, "opencv", True)
        assert paper.align_sound is False and settings().align_sound is True
        assert paper.engine == {"max_model_len": 20_000, "seed": 42}
        assert paper.generation() == {"temperature": 0.2, "max_new_tokens": 1024}

    @pytest.mark.parametrize("family", [QWEN2_5, QWEN3])
    def test_gives_even_sides_and_leaves_the_rest_to_the_processor(self, family: Any) -> None:
        paper = settings(preset="paper")
        assert paper.frame_sampling(family).factor == 2
        frames = np.zeros((32, 422, 236, 3), np.uint8)
        clip = VideoInput(frames, 1.3, np.zeros(1000, np.float32))
        options = paper.processor_inputs(family).options([clip])
        options.pop("audio_kwargs", None)  # how sound is padded, which changes nothing
        assert options == {
            "use_audio_in_video": True,
            "videos_kwargs": {"do_sample_frames": False, "cap_pixels_per_frame": False},
        }

    def test_is_recorded(self) -> None:
        assert settings(preset="paper").decoding() == (
            "paper: 32 frames by count <=100176px by OpenCV's scaling resized by the processor "
            "BGR rate not told with sound (not aligned)"
        )


class TestPaperOfGemma3n:
    def test_is_the_authors_script_as_far_as_it_says(self) -> None:
        paper = settings(preset="paper-gemma-3n")
        assert (paper.frames, paper.align_sound, paper.channels) == (32, False, "rgb")
        assert (paper.system_text(), paper.engine) == (None, {})
        sampled = {"temperature": 1.0, "top_p": 0.95, "top_k": 64, "max_new_tokens": 1024}
        assert paper.generation() == sampled


class TestOthers:
    def test_qwen_s_own_examples_take_2_frames_a_second_within_a_budget(self) -> None:
        own = settings(preset="qwen-omni-utils")
        assert (own.fps, own.min_frames, own.max_frames) == (2.0, 4, 768)
        assert (own.spread, own.total_pixels) == ("even", 115_200 * 28 * 28)
        assert (own.min_pixels, own.max_pixels) == (128 * 28 * 28, 768 * 28 * 28)
        assert (own.generation(), own.system_text(), own.engine) == ({}, None, {})
        assert own.decoding() == (
            "qwen-omni-utils: 2 fps evenly <=602112px <=90316800px in all with sound"
        )

    @pytest.mark.parametrize(
        ("name", "pixels", "generation"),
        [
            ("avocado", 90_316_800, {"temperature": 0.0, "max_new_tokens": 2048}),
            (
                "asid",
                20_070_400,
                {"temperature": 0.0, "max_new_tokens": 4096, "repetition_penalty": 1.1},
            ),
        ],
    )
    def test_captioners_are_as_in_their_scripts(
        self, name: str, pixels: int, generation: dict[str, Any]
    ) -> None:
        own = settings(preset=name)
        assert (own.fps, own.max_pixels, own.total_pixels) == (2.0, 401_408, pixels)
        assert (own.tell_fps, own.align_sound, own.use_audio_in_video) == (False, False, True)
        assert own.generation() == generation

    def test_they_begin_with_qwen_s_own_system_message(self) -> None:
        """Its text is read from lmms-eval: a new version that has it elsewhere fails here."""
        text = settings(preset="asid").system_text()
        assert text is not None
        assert text.startswith("You are Qwen, ")
        assert settings(preset="avocado").system_text() == text


class TestBesideAPreset:
    def test_an_argument_wins_and_is_recorded(self) -> None:
        mixed = settings(preset="paper", frames=16, channels="rgb", seed=7)
        assert (mixed.frames, mixed.channels, mixed.max_pixels) == (16, "rgb", 100_176)
        assert mixed.engine == {"max_model_len": 20_000, "seed": 7}
        assert mixed.decoding().startswith("paper+channels=rgb+frames=16+seed=7: 16 frames")

    def test_one_that_says_the_same_is_no_difference(self) -> None:
        assert settings(preset="paper", frames=32, seed=42) == settings(preset="paper")

    def test_a_rate_wins_over_a_number_of_frames(self) -> None:
        mixed = settings(preset="paper", fps=2.0, tell_fps=True)
        assert mixed.frame_sampling(QWEN2_5).fps == 2.0
        assert mixed.decoding() == (
            "paper+fps=2.0+tell_fps=True: 2 fps <=100176px by OpenCV's scaling resized by the "
            "processor BGR with sound (not aligned)"
        )

    @pytest.mark.parametrize("text", ["Be brief.", None])
    def test_a_system_prompt_wins_and_its_text_is_not_recorded(self, text: str | None) -> None:
        mixed = settings(preset="paper", system_prompt=text)
        assert mixed.system_text() == text
        assert mixed.decoding().startswith("paper+system_prompt: ")


class TestRefused:
    @pytest.mark.parametrize("name", ["papr", "", None, 7, ["paper"]])
    def test_a_preset_that_there_is_not(self, name: object) -> None:
        with pytest.raises(ValueError, match=r"preset=.*: one of default, paper, .* is needed"):
            settings(preset=name)

    @pytest.mark.parametrize(
        ("name", "value"), [("channels", "BGR"), ("spread", "evenly"), ("scaling", ["smooth"])]
    )
    def test_words_that_a_switch_does_not_have(self, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=f"{name}=.* is needed"):
            settings(**{name: value})

    @pytest.mark.parametrize("name", ["tell_fps", "processor_resize"])
    def test_anything_but_true_and_false(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name}='yes': True or False"):
            settings(**{name: "yes"})


class TestTheSystemPromptOfThePaper:
    def test_is_named_and_asked_for_when_it_is_needed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ugc_tasks import benchmark

        monkeypatch.setattr(benchmark, "published_system_prompt", lambda: "as data")
        assert settings(preset="paper").system_text() == "as data"
        assert PAPER.system_prompt == "ugc_tasks.benchmark:published_system_prompt"

    @pytest.mark.parametrize("reference", ["ugc_nowhere:text", "ugc_models.config:nothing"])
    def test_that_is_not_installed_is_said_in_words(self, reference: str) -> None:
        with pytest.raises(ValueError, match=r"is not installed .*state system_prompt="):
            _text_of(reference)

    def test_does_not_bring_the_benchmark_in_before(self) -> None:
        probe = (
            "import sys; from ugc_models.config import Settings\n"
            "Settings.from_arguments({'preset': 'paper'}, ()).decoding()\n"
            "assert 'ugc_tasks.benchmark' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", probe], check=True, timeout=120)


def test_a_preset_is_found_by_its_name() -> None:
    assert {name: _preset_named(name) for name in PRESETS} == dict(PRESETS)
    assert (PRESETS["default"], PRESETS["paper"]) == (Preset(), PAPER)


SWITCHES: dict[str, tuple[dict[str, Any], set[str]]] = {
    # What differs from the default's: the prompt's length, the tokens written, or nothing.
    "the rate is not told": ({"tell_fps": False}, {"tokens"}),
    "BGR": ({"channels": "bgr"}, {"tokens"}),
    "scaled by the processor too, which wants 128 tokens a frame at least": (
        {"max_pixels": 100_176, "min_pixels": 1, "processor_resize": True},
        {"prompt", "tokens"},
    ),
    "OpenCV's scaling": ({"scaling": "opencv"}, {"tokens"}),
    "another size": ({"max_pixels": 40_000}, {"prompt", "tokens"}),
    "by count, constant frame rate": ({"spread": "count"}, set()),
    "another system prompt": ({"system_prompt": "Be long."}, {"prompt", "tokens"}),
    "no sound": ({"use_audio_in_video": False}, {"prompt", "tokens"}),
}


@pytest.mark.engine
class TestEachSwitchAlone:
    """One clip of 12 seconds at 25 frames a second; the reference of each is the default."""

    @pytest.mark.parametrize("name", SWITCHES)
    def test_changes_what_the_documentation_says(
        self, name: str, tmp_path: Path, engine: LocalEngine, reference: Reference
    ) -> None:
        arguments, changed = SWITCHES[name]
        clip = Case({"width": 270, "height": 480, "seconds": 12})
        before, after = (
            self._write(tmp_path / "a.mp4", clip, s, engine, reference)
            for s in (settings(), settings(**arguments))
        )
        differ = {what for what in before if before[what] != after[what]}
        assert differ == changed

    def _write(
        self, path: Path, case: Case, chosen: Settings, engine: LocalEngine, reference: Reference
    ) -> dict[str, Any]:
        case = Case(case.clip, sound=chosen.use_audio_in_video)
        clip = read_case(path, case, chosen.frame_sampling(QWEN2_5))
        prompt = reference.chat(QUESTION, chosen.system_text())
        [answer] = write(engine, prompt, [clip], chosen.processor_inputs(QWEN2_5))
        assert answer.error is None
        return {"prompt": answer.prompt_tokens, "tokens": answer.output_ids}


def test_a_checkpoint_that_its_authors_share_is_looked_for_and_said_where_to_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, link in CHECKPOINTS.items():
        said = f"checkpoints/{name} does not exist (looked for in {tmp_path}): get it from {link}"
        assert missing_checkpoint(f"checkpoints/{name}") == said
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        assert missing_checkpoint(f"checkpoints/{name}") == ""
    assert "get it from where it is shared" in missing_checkpoint("checkpoints/mine")
    assert missing_checkpoint("Qwen/Qwen2.5-Omni-3B") == ""
    assert missing_checkpoint(str(tmp_path / "checkpoints" / "nowhere")) == ""
