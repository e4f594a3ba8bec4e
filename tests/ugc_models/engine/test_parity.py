"""What the adapter writes is what transformers writes, token for token.

Each case is a real MP4, read by the adapter's own media code; both implementations get the same
arrays and the same prompt, in float32, greedy. Equal prompt ids mean the same order of picture and
sound; equal output means the same positions, features and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import write_clip
from tests.support.transformers_reference import Reference
from ugc_models.engine.local import Answer, LocalEngine, Request
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.sampling import Sampling

pytestmark = pytest.mark.engine

TOKENS = 24
SMALL = 12 * 28 * 28


@dataclass(frozen=True)
class Case:
    """A clip and how it is sampled."""

    clip: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)
    sound: bool = True


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
}
WITH_SOUND = [name for name, case in CASES.items() if case.sound and case.clip["audio"]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Every case's clip, written and read once."""
    folder = tmp_path_factory.mktemp("parity")
    return {name: _clip(folder / f"{i}.mp4", case) for i, (name, case) in enumerate(CASES.items())}


def _clip(path: Path, case: Case) -> Clip:
    write_clip(path, **case.clip)
    sampling = Sampling(**{"max_pixels": SMALL, **case.sampling})
    return read_clip(path, sampling, sound=case.sound)


@pytest.fixture(scope="module")
def prompt(reference: Reference) -> str:
    """The chat prompt of the checkpoint's own template."""
    content = [{"type": "video"}, {"type": "text", "text": "Describe the clip and its sound."}]
    rendered = reference.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return rendered if isinstance(rendered, str) else str(rendered[0])


class Once:
    """A source whose requests are all ready."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = list(requests)

    def next_request(self, *, block: bool) -> Request | None:
        return self._requests.pop(0) if self._requests else None


def _write(engine: LocalEngine, prompt: str, clips: Sequence[Clip]) -> list[Answer]:
    sampling = {"temperature": 0.0, "max_tokens": TOKENS, "ignore_eos": True}
    requests = [
        Request(i, prompt, clip.frames, clip.fps, clip.sound, sampling)
        for i, clip in enumerate(clips)
    ]
    return sorted(engine.run(Once(requests), max_in_flight=4), key=lambda answer: answer.index)


def test_there_are_at_least_twelve_cases_with_sound_in_video() -> None:
    assert len(WITH_SOUND) >= 12


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(
    name: str, clips: dict[str, Clip], prompt: str, engine: LocalEngine, reference: Reference
) -> None:
    clip = clips[name]
    assert (clip.sound is not None) == (name in WITH_SOUND), clip.sound_missing

    [answer] = _write(engine, prompt, [clip])
    expected = reference.generate(prompt, clip, tokens=TOKENS)

    assert answer.error is None
    assert answer.prompt_tokens == len(expected.prompt)
    assert min(expected.margins) > 1e-4, "a tie would make the comparison meaningless"
    assert list(answer.output_ids) == expected.tokens


def test_clips_in_flight_together_do_not_change_each_other(
    clips: dict[str, Clip], prompt: str, engine: LocalEngine, reference: Reference
) -> None:
    together = [clips[name] for name in ("2 frames a second", "no sound in the file", *WITH_SOUND)]
    answers = _write(engine, prompt, together)
    for clip, answer in zip(together, answers, strict=True):
        expected = reference.generate(prompt, clip, tokens=TOKENS).tokens
        assert list(answer.output_ids) == expected


@pytest.mark.parametrize(
    ("owner", "method", "name"),
    [
        ("model", "get_mrope_input_positions", "2 frames a second"),
        ("processor", "omni_get_updates_use_audio_in_video", "a third of a frame a second"),
    ],
)
def test_without_the_correction_they_differ(
    *,
    owner: str,
    method: str,
    name: str,
    clips: dict[str, Clip],
    prompt: str,
    engine: LocalEngine,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vllm.model_executor.models import qwen2_5_omni_thinker as module

    patched = {
        "model": module.Qwen2_5OmniThinkerForConditionalGeneration,
        "processor": module.Qwen2_5OmniThinkerMultiModalProcessor,
    }[owner]
    monkeypatch.setattr(patched, method, getattr(patched, method).__wrapped__)

    [answer] = _write(engine, prompt, [clips[name]])

    assert list(answer.output_ids) != reference.generate(prompt, clips[name], tokens=TOKENS).tokens
