"""One comparison of an engine with transformers: a clip, read by the adapter, asked of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.asking import ask, request_about
from tests.support.clips import write_clip
from tests.support.transformers_reference import About, Reference
from ugc_models.engine.base import Engine, EngineOutput
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.sampling import Sampling

TOKENS = 24
QUESTION = "Describe the clip and its sound."
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_tokens": TOKENS, "ignore_eos": True}
UNTOLD: dict[str, Any] = {"do_sample_frames": False, "cap_pixels_per_frame": False}
"""The reference processor's options where it scales frames itself and is told no rate."""


@dataclass(frozen=True)
class Case:
    """A clip (``tests.support.clips.write_clip``) and how it is sampled."""

    clip: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sound: bool = True


def read_case(path: Path, case: Case, defaults: Sampling) -> Clip:
    """Write the case's clip and read it as the adapter does."""
    write_clip(path, **case.clip)
    return read_clip(path, replace(defaults, **case.sampling), sound=case.sound)


def write(
    engine: Engine, prompt: str, clips: Sequence[Clip], inputs: ProcessorInputs | None = None
) -> list[EngineOutput]:
    """Ask the same of all clips at once; return the answers in their order."""
    inputs = inputs or ProcessorInputs()
    return ask(
        engine,
        [
            request_about(clip, prompt, GREEDY, index=index, inputs=inputs)
            for index, clip in enumerate(clips)
        ],
    )


def seen(clip: Clip, inputs: ProcessorInputs) -> Clip:
    """Return the clip with frames and sound as the model is to get them."""
    sound = None if clip.sound is None else inputs.sound(clip.sound)
    return replace(clip, frames=inputs.frames(clip.frames), sound=sound)


def assert_same(
    answer: EngineOutput, reference: Reference, prompt: str, clip: About, **how: Any
) -> None:
    """Hold an answer against the reference's, token for token; ``how`` is ``generate``'s."""
    expected = reference.generate(prompt, clip, tokens=TOKENS, **how)
    # Where two tokens are as good as equal, rounding chooses; what follows is another text.
    sure = next((at for at, gap in enumerate(expected.margins) if gap < 1e-4), TOKENS)
    assert sure >= TOKENS // 3, "a tie makes the comparison meaningless"
    assert answer.error is None
    assert answer.prompt_tokens == len(expected.prompt)
    pairs = zip(answer.output_ids, expected.tokens[:sure], strict=False)
    other = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    assert other is None, (
        f"token {other} is another one, where the reference prefers its own by "
        f"{expected.margins[other or 0]:.2g}"
    )
    assert len(answer.output_ids) >= sure
