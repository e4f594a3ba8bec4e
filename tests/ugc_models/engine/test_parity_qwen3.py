"""Qwen3-Omni: what the adapter writes is what transformers writes, token for token.

But for one thing: transformers has fractions of a position, vLLM whole ones. Where a step of two
frames is no whole number of positions (13 to the second), the reference is run with its positions
rounded down, which shows that nothing else differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import QUICK
from tests.support.parity import (
    QUESTION,
    UNTOLD,
    Case,
    assert_same,
    read_case,
    seen,
    write,
)
from tests.support.tiny_qwen3 import QWEN3 as QWEN3_TINY
from tests.support.transformers_reference import Reference
from ugc_models.config import Settings
from ugc_models.engine.family import QWEN3, ProcessorInputs, family_of
from ugc_models.engine.local import LocalEngine
from ugc_models.media.clip import Clip
from ugc_models.request.prompt import ChatTemplate, conversation
from ugc_models.testing.tiny_omni import build_tiny_omni

pytestmark = pytest.mark.engine

SETTINGS = Settings.from_arguments({"max_pixels": 12 * 32 * 32}, ())
PAPER = Settings.from_arguments({"preset": "paper"}, ())
HANDOVER = ProcessorInputs(QWEN3)


def _stereo(**more: Any) -> dict[str, Any]:
    return {"audio": "stereo", **more}


WHOLE = {
    "1 frame a second": Case(_stereo(seconds=7.3), {"fps": 1.0}),
    "2 frames a second": Case(_stereo(), {"fps": 2.0}),
    "13 frames a second, sound and frames at the same time": Case(
        _stereo(seconds=2, fps=26), {"fps": 13.0}
    ),
    "6.5 frames a second": Case(_stereo(seconds=3, fps=26), {"fps": 6.5}),
    "a single frame": Case(_stereo(), {"frames": 1}),
    "sound shorter than the picture": Case(_stereo(audio_seconds=1.1), {"fps": 2.0}),
    "sound longer than the picture": Case(_stereo(audio_seconds=6.5), {"fps": 2.0}),
    "no sound in the file": Case({"audio": None}, {"fps": 2.0}),
}
FRACTIONS = {
    "32 frames of 4 s, the default": Case(_stereo()),
    "4 frames a second": Case(_stereo(), {"fps": 4.0}),
    "an odd rate": Case(_stereo(seconds=5.7), {"fps": 2.7}),
    "a rate whose steps meet the sound now and then": Case(_stereo(seconds=9.5), {"fps": 30 / 7}),
    "a third of a frame a second": Case(_stereo(seconds=20, fps=5), {"fps": 1 / 3}),
    "40 s, 32 frames": Case(_stereo(seconds=40, fps=5)),
    "an odd number of frames": Case(_stereo(seconds=6), {"frames": 9}),
    "no sound, an odd rate": Case({"audio": None, "seconds": 9}, {"fps": 0.9}),
}
CASES = {**WHOLE, **FRACTIONS}


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_omni(tmp_path_factory.mktemp("qwen3") / "tiny", family=QWEN3_TINY)


@pytest.fixture(scope="module")
def reference3(qwen3: Path) -> Reference:
    return Reference(qwen3)


@pytest.fixture(scope="module")
def engine3(qwen3: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(str(qwen3), QUICK)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: seen(read_case(folder / f"{i}.mp4", case, SETTINGS.frame_sampling(QWEN3)), HANDOVER)
        for i, (name, case) in enumerate(CASES.items())
    }


def test_the_family_is_read_from_the_checkpoint(qwen3: Path) -> None:
    assert family_of(str(qwen3)) == QWEN3


def test_the_prompt_has_this_family_s_marks(qwen3: Path) -> None:
    content = [{"type": "video", "url": "/clips/a.mp4"}, {"type": "text", "text": "What is it?"}]
    chat = conversation([{"role": "user", "content": content}], "Be brief.")
    assert ChatTemplate(str(qwen3)).render(chat) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>What is it?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_sides_are_whole_tokens_of_32_pixels(clips: dict[str, Clip]) -> None:
    for clip in clips.values():
        assert {side % 32 for side in clip.frames.shape[1:3]} == {0}


@pytest.mark.parametrize("name", WHOLE)
def test_tokens_are_those_of_transformers(
    name: str, clips: dict[str, Clip], engine3: LocalEngine, reference3: Reference
) -> None:
    prompt = reference3.chat(QUESTION)
    [answer] = write(engine3, prompt, [clips[name]], HANDOVER)
    assert_same(answer, reference3, prompt, clips[name])


@pytest.mark.parametrize("name", FRACTIONS)
def test_at_other_rates_they_are_those_of_transformers_with_whole_positions(
    name: str, clips: dict[str, Clip], engine3: LocalEngine, reference3: Reference
) -> None:
    prompt = reference3.chat(QUESTION)
    [answer] = write(engine3, prompt, [clips[name]], HANDOVER)
    assert_same(answer, reference3, prompt, clips[name], whole_positions=True)


def test_clips_in_flight_together_do_not_change_each_other(
    clips: dict[str, Clip], engine3: LocalEngine, reference3: Reference
) -> None:
    prompt = reference3.chat(QUESTION)
    answers = write(engine3, prompt, list(clips.values()), HANDOVER)
    for clip, answer in zip(clips.values(), answers, strict=True):
        assert_same(answer, reference3, prompt, clip, whole_positions=True)


def test_the_paper_preset_is_what_transformers_makes_of_it(
    engine3: LocalEngine, reference3: Reference, tmp_path: Path
) -> None:
    """Told no rate, this family takes 1 frame a second for granted."""
    inputs = PAPER.processor_inputs(QWEN3)
    case = Case(_stereo(width=270, height=480))
    clip = read_case(tmp_path / "a.mp4", case, PAPER.frame_sampling(QWEN3))
    prompt = reference3.chat(QUESTION)
    [answer] = write(engine3, prompt, [clip], inputs)
    assert_same(answer, reference3, prompt, seen(clip, inputs), options=UNTOLD)
