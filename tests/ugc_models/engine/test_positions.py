"""When vLLM's positions are corrected, when they are left alone, and in which processes."""

from __future__ import annotations

import ast
import logging
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.support.parity import QUESTION, Case, assert_same, read_case, write
from tests.support.transformers_reference import Reference
from tests.ugc_models.conftest import SharedEngine
from ugc_models.engine import positions
from ugc_models.media.sampling import Sampling

MODEL = "Qwen2_5OmniThinkerForConditionalGeneration"
PROCESSOR = "Qwen2_5OmniThinkerMultiModalProcessor"


@pytest.fixture
def thinker() -> Any:
    from vllm.model_executor.models import qwen2_5_omni_thinker

    return qwen2_5_omni_thinker


def methods(thinker: Any) -> tuple[Any, Any]:
    """Return the two methods that are replaced."""
    model, processor = getattr(thinker, MODEL), getattr(thinker, PROCESSOR)
    return (
        vars(model).get("get_mrope_input_positions"),
        vars(processor).get("omni_get_updates_use_audio_in_video"),
    )


FAMILIES = ("qwen2_5_omni", "qwen3_omni_moe")


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have nobody have read these functions."""
    left = {k: said for k, said in positions.KNOWN.items() if said.split()[0] not in names}
    monkeypatch.setattr(positions, "KNOWN", left)


class TestStatus:
    @pytest.mark.parametrize("version", ["0.25.1", "0.32.0+cpu", "0.34.0", "1.0.0", "dev"])
    @pytest.mark.parametrize("family", FAMILIES)
    def test_the_installed_functions_are_ones_that_were_read_whatever_the_release_is_called(
        self, family: str, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(positions, "_vllm_version", lambda: version)
        assert positions.status(family) == "corrected"

    @pytest.mark.parametrize("word", ["native", "NATIVE"])
    def test_the_switch_leaves_vllm_its_own(
        self, word: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(positions.SWITCH, word)
        assert positions.status() == "native"

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_function_that_nobody_read_is_named(
        self, family: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(positions, "_vllm_version", lambda: "0.40.0")
        without(monkeypatch, "get_mrope_input_positions")
        assert positions.status(family) == "unverified"
        words = positions.engine_words(family)
        assert words.startswith("vllm 0.40.0 unverified positions")
        assert words.endswith("(vLLM's own get_mrope_input_positions)")

    def test_one_that_matters_for_several_media_alone_is_named_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without(monkeypatch, "_maybe_apply_prompt_updates")
        assert positions.status() == "corrected"
        assert positions.engine_words().endswith("(vLLM's own _maybe_apply_prompt_updates)")

    def test_is_part_of_what_results_say_of_an_engine(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(positions, "_vllm_version", lambda: "0.33.0")
        assert positions.engine_words() == "vllm 0.33.0 corrected positions"
        said = "vllm 0.33.0 corrected positions, rounded down"
        assert positions.engine_words("qwen3_omni_moe") == said


class TestDigest:
    PLAIN = "def f(self, a, b=None):\n    return [a for x in (a, b)]"

    def of(self, source: str) -> str:
        return positions.digest_of(ast.parse(source).body[0])

    def test_is_the_same_however_it_is_written(self) -> None:
        written = """def f(
            self, a: list[int], b: int | None = None,
        ) -> list[int]:
            'What it does.'
            return [
                a for x in (a, b)  # a comment
            ]
        """
        assert self.of(written) == self.of(self.PLAIN)

    @pytest.mark.parametrize(
        ("before", "after"), [("b=None", "b=1"), ("[a", "[b"), ("(a, b)", "(b, a)"), ("f(", "g(")]
    )
    def test_is_another_for_what_does_something_else(self, before: str, after: str) -> None:
        assert self.of(self.PLAIN.replace(before, after)) != self.of(self.PLAIN)


class TestInstall:
    def test_replaces_both_methods_and_keeps_vllm_s(self, thinker: Any) -> None:
        positions.install()
        for method in methods(thinker):
            plain = getattr(method, "__func__", method)
            assert plain.corrected
            assert plain.__wrapped__ is not None

    def test_replaces_nothing_where_vllm_s_own_are_wanted(
        self, thinker: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = getattr(thinker, MODEL)
        own = model.get_mrope_input_positions.__wrapped__
        monkeypatch.setattr(model, "get_mrope_input_positions", own)
        monkeypatch.setenv(positions.SWITCH, "native")
        positions.install()
        assert model.get_mrope_input_positions is own
        monkeypatch.delenv(positions.SWITCH)
        positions.install()
        assert model.get_mrope_input_positions.__wrapped__ is own

    def test_leaves_a_function_that_nobody_read(
        self, thinker: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = getattr(thinker, MODEL)

        def get_mrope_input_positions(self: Any, input_tokens: Any, mm_features: Any) -> None:
            raise NotImplementedError

        monkeypatch.setattr(model, "get_mrope_input_positions", get_mrope_input_positions)
        with caplog.at_level(logging.INFO, positions.__name__):
            positions.install()
        assert model.get_mrope_input_positions is get_mrope_input_positions
        assert "another get_mrope_input_positions of qwen2_5_omni than was read" in caplog.text
        with caplog.at_level(logging.WARNING, positions.__name__):
            positions.require("qwen2_5_omni")
        assert "unverified positions" in caplog.text

    def test_a_second_time_changes_nothing(self, thinker: Any) -> None:
        positions.install()
        before = methods(thinker)
        positions.install()
        assert methods(thinker) == before

    @pytest.mark.parametrize(
        ("owner", "method"),
        [
            ("Qwen3OmniMoeThinkerForConditionalGeneration", "get_mrope_input_positions"),
            ("Qwen3OmniMoeThinkerMultiModalProcessor", "_postprocess_hf_mm_data"),
        ],
    )
    def test_replaces_those_of_qwen3_omni_once(self, owner: str, method: str) -> None:
        from vllm.model_executor.models import qwen3_omni_moe_thinker

        positions.install()
        first = getattr(getattr(qwen3_omni_moe_thinker, owner), method)
        assert first.corrected
        assert not hasattr(first.__wrapped__, "corrected")
        positions.install()
        assert getattr(getattr(qwen3_omni_moe_thinker, owner), method) is first

    @pytest.mark.parametrize("missing", [MODEL, PROCESSOR])
    def test_does_not_raise_where_vllm_lacks_the_class(
        self, missing: str, thinker: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(thinker, missing)
        positions.install()
        assert positions.status() == "unverified"

    def test_does_not_raise_where_it_cannot_be_replaced(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: object) -> bool:
            raise OSError("could not get source code")

        monkeypatch.setattr(positions, "is_known", fail)
        with caplog.at_level(logging.ERROR, positions.__name__):
            positions.install()
        assert "could not be corrected in this vLLM" in caplog.text

    def test_is_among_the_plugins_that_vllm_loads(self) -> None:
        [plugin] = entry_points(group="vllm.general_plugins", name=positions.PLUGIN)
        assert plugin.load() is positions.install


class TestRequire:
    @pytest.mark.parametrize(
        ("named", "then"),
        [
            ("", "ugc_omni_positions"),
            ("mine", "mine,ugc_omni_positions"),
            ("ugc_omni_positions,mine", "ugc_omni_positions,mine"),
        ],
    )
    def test_adds_the_correction_to_the_plugins_that_are_named(
        self, named: str, then: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VLLM_PLUGINS", named)
        positions.require("qwen2_5_omni")
        assert os.environ["VLLM_PLUGINS"] == then

    def test_leaves_all_plugins_on_where_none_are_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("VLLM_PLUGINS", raising=False)
        positions.require("qwen2_5_omni")
        assert "VLLM_PLUGINS" not in os.environ


@pytest.mark.engine
def test_the_correction_is_there_in_the_engine_s_process_whatever_plugins_are_named(
    piecewise_engine: SharedEngine, checkpoint: Path, tmp_path: Path, reference: Reference
) -> None:
    """The model runs in a process that the engine spawns, where nothing of ours is imported."""
    engine = piecewise_engine.running()
    clip = read_case(
        tmp_path / "clip.mp4",
        Case({"audio": "stereo", "seconds": 5}),
        Sampling(fps=2.0, max_pixels=12 * 28 * 28),
    )
    prompt = reference.chat(QUESTION)
    [answer] = write(engine, prompt, [clip])
    assert_same(answer, reference, prompt, clip)
    assert "corrected positions" in engine.decoding()
