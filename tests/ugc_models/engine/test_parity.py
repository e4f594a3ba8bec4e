"""What the adapter writes is what transformers writes, token for token.

Each case is a real MP4, read by the adapter's own media code; both implementations get the same
arrays and the same prompt, in float32, greedy. Equal prompt ids mean the same order of picture and
sound; equal output means the same positions, features and weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.parity import (
    QUESTION,
    UNTOLD,
    Case,
    assert_same,
    read_case,
    seen,
    write,
)
from tests.support.transformers_reference import Reference
from tests.ugc_models.conftest import SharedEngine
from ugc_models.config import Settings
from ugc_models.engine.family import QWEN2_5
from ugc_models.engine.local import LocalEngine
from ugc_models.media.clip import Clip
from ugc_models.media.sampling import Sampling

pytestmark = pytest.mark.engine

SMALL = Sampling(max_pixels=12 * 28 * 28)
TINY = {"min_pixels": 1, "max_pixels": 28 * 28}


def _stereo(**more: Any) -> dict[str, Any]:
    return {"audio": "stereo", **more}


CASES = {
    "32 frames of 4 s, the default": Case(_stereo()),
    "2 frames a second": Case(_stereo(), {"fps": 2.0}),
    "1 frame a second": Case(_stereo(seconds=7.3), {"fps": 1.0}),
    "4 frames a second": Case(_stereo(), {"fps": 4.0}),
    "half a frame a second": Case(_stereo(seconds=11), {"fps": 0.5}),
    "a third of a frame a second": Case(_stereo(seconds=20), {"fps": 1 / 3}),
    "an odd rate": Case(_stereo(seconds=5.7), {"fps": 2.7}),
    "30 frames a second, 7 of them": Case(_stereo(seconds=0.24, fps=30)),
    "an odd number of frames": Case(_stereo(seconds=6), {"frames": 9}),
    "a single frame": Case(_stereo(), {"frames": 1}),
    "sound shorter than the picture": Case(_stereo(audio_seconds=1.1), {"fps": 2.0}),
    "sound much shorter, few frames": Case(_stereo(seconds=8, audio_seconds=0.3), {"frames": 5}),
    "sound longer than the picture": Case(_stereo(audio_seconds=6.5), {"fps": 2.0}),
    "40 s, 2 frames a second": Case(_stereo(seconds=40, fps=10), {"fps": 2.0}),
    "40 s, 32 frames: more than 2 s apart as the model steps": Case(_stereo(seconds=40, fps=10)),
    "60 s, 16 frames": Case(_stereo(seconds=60, fps=5), {"frames": 16}),
    "mono at 16 kHz": Case({"audio": "mono", "audio_rate": 16000}, {"frames": 8}),
    "rotated by 90 degrees": Case(_stereo(rotation=90), {"frames": 8}),
    "no sound in the file": Case({"audio": None}, {"fps": 2.0}),
    "sound switched off": Case(_stereo(), {"fps": 2.0}, sound=False),
    # Sizes at their limits.
    "frames of a single token": Case(_stereo(width=40, height=40), {"frames": 6, **TINY}),
    "a single frame of a single token": Case(_stereo(), {"frames": 1, **TINY}),
    "768 frames of a single token": Case(
        _stereo(width=32, height=32, seconds=26, fps=30), {"frames": 768, **TINY}
    ),
    "767 frames of a single token": Case(
        _stereo(width=32, height=32, seconds=26, fps=30, audio_seconds=3), {"frames": 767, **TINY}
    ),
    "frames as large as the processor allows": Case(
        _stereo(width=640, height=960, seconds=1, fps=4), {"frames": 2, "max_pixels": 768 * 28 * 28}
    ),
    "a tall ribbon": Case(_stereo(width=20, height=1000, fps=5), {"frames": 6}),
    "a wide ribbon": Case(_stereo(width=1000, height=20, fps=5), {"frames": 7}),
}
WITH_SOUND = [name for name, case in CASES.items() if case.sound and case.clip["audio"]]
TOGETHER = [
    name for name in CASES if "large" not in name and "76" not in name and "60 s" not in name
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Every case's clip, written and read once."""
    folder = tmp_path_factory.mktemp("parity")
    return {
        name: read_case(folder / f"{i}.mp4", case, SMALL)
        for i, (name, case) in enumerate(CASES.items())
    }


@pytest.fixture(scope="module")
def prompt(reference: Reference) -> str:
    """The chat prompt of the checkpoint's own template."""
    return reference.chat(QUESTION)


def test_there_are_at_least_twelve_cases_with_sound_in_video() -> None:
    assert len(WITH_SOUND) >= 12


def test_the_sizes_are_at_their_limits(clips: dict[str, Clip]) -> None:
    assert clips["frames of a single token"].frames.shape == (6, 28, 28, 3)
    assert clips["768 frames of a single token"].frames.shape == (768, 28, 28, 3)
    assert clips["frames as large as the processor allows"].frames[0].size > 2.8 * 600_000
    assert clips["a tall ribbon"].frames.shape[1:3] == (672, 28)
    assert clips["a wide ribbon"].frames.shape[1:3] == (28, 672)


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(
    name: str, clips: dict[str, Clip], prompt: str, engine: LocalEngine, reference: Reference
) -> None:
    clip = clips[name]
    assert (clip.sound is not None) == (name in WITH_SOUND), clip.sound_missing
    [answer] = write(engine, prompt, [clip])
    assert_same(answer, reference, prompt, clip)


def test_clips_in_flight_together_do_not_change_each_other(
    clips: dict[str, Clip], prompt: str, engine: LocalEngine, reference: Reference
) -> None:
    together = [clips[name] for name in TOGETHER]
    for clip, answer in zip(together, write(engine, prompt, together), strict=True):
        assert_same(answer, reference, prompt, clip)


PAPER = Settings.from_arguments({"preset": "paper"}, ())
PAPER_CASES = {
    "a portrait clip": Case(_stereo(width=270, height=480, fps=15)),
    "a clip whose frames stay as large as they are": Case(_stereo(width=202, height=98)),
    "fewer frames than are asked for": Case(_stereo(seconds=0.6)),
    "40 s": Case(_stereo(seconds=40, fps=5)),
    "no sound": Case({"audio": None}),
}


class TestThePaperPreset:
    """Against transformers' own processor, which scales the frames and is told no rate."""

    @pytest.mark.parametrize("name", PAPER_CASES)
    def test_tokens_are_those_of_transformers(
        self, name: str, tmp_path: Path, engine: LocalEngine, reference: Reference
    ) -> None:
        inputs = PAPER.processor_inputs(QWEN2_5)
        clip = read_case(tmp_path / "a.mp4", PAPER_CASES[name], PAPER.frame_sampling(QWEN2_5))
        assert len(clip.frames) == 32
        prompt = reference.chat(QUESTION, "Write as much as you can.")
        [answer] = write(engine, prompt, [clip], inputs)
        assert_same(answer, reference, prompt, seen(clip, inputs), options=UNTOLD)

    def test_a_portrait_frame_is_made_smaller_and_then_larger(
        self, tmp_path: Path, reference: Reference
    ) -> None:
        """To 100,176 pixels, and by transformers' processor to its 128 tokens at least."""
        case = PAPER_CASES["a portrait clip"]  # the shape of 1080x1920
        clip = read_case(tmp_path / "a.mp4", case, PAPER.frame_sampling(QWEN2_5))
        inputs = reference.inputs(reference.chat(QUESTION), clip, UNTOLD)
        assert clip.frames.shape == (32, 422, 236, 3)
        assert (inputs["video_grid_thw"][0] * 14).tolist()[1:] == [448, 252]


class TestPrefixCachingAndChunkedPrefill:
    """The same tokens where prompts share what is computed, and are computed in pieces."""

    @pytest.fixture
    def piecewise(self, piecewise_engine: SharedEngine) -> LocalEngine:
        return piecewise_engine.running()

    @pytest.mark.parametrize("name", ["sound much shorter, few frames", "2 frames a second"])
    def test_a_clip_that_is_cut_anywhere_is_computed_as_a_whole(
        self,
        name: str,
        piecewise: LocalEngine,
        clips: dict[str, Clip],
        prompt: str,
        reference: Reference,
    ) -> None:
        # Words before the clip move the cuts: one is in the first's sound, after which only picture
        # follows.
        for words in range(0, 40, 4):
            asked = prompt.replace("<|vision_bos|>", "a " * words + "<|vision_bos|>")
            [answer] = write(piecewise, asked, [clips[name]])
            assert_same(answer, reference, asked, clips[name])

    def test_leave_the_tokens_as_they_are(
        self, piecewise: LocalEngine, clips: dict[str, Clip], prompt: str, reference: Reference
    ) -> None:
        together = [clips[name] for name in TOGETHER]
        first = write(piecewise, prompt, together)
        again = write(piecewise, prompt, together)  # from the cache
        for clip, *answers in zip(together, first, again, strict=True):
            for answer in answers:
                assert_same(answer, reference, prompt, clip)

    def test_the_same_frames_with_another_sound_are_not_given_the_first_sound(
        self, piecewise: LocalEngine, clips: dict[str, Clip], prompt: str, reference: Reference
    ) -> None:
        clip = clips["2 frames a second"]
        assert clip.sound is not None
        noise = np.random.default_rng(1).normal(0, 0.3, clip.sound.shape).astype(np.float32)
        for heard in (clip, replace(clip, sound=noise)):
            [answer] = write(piecewise, prompt, [heard])
            assert_same(answer, reference, prompt, heard)
