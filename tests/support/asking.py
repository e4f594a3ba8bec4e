"""Requests to an engine as the adapter makes them from a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_models.engine.base import Engine, EngineOutput, EngineRequest
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import Clip

_AS_IT_IS = ProcessorInputs()


def request_about(
    clip: Clip,
    prompt: str,
    sampling: Mapping[str, Any],
    *,
    index: int = 0,
    inputs: ProcessorInputs = _AS_IT_IS,
) -> EngineRequest:
    """Return the request for a rendered prompt about a clip that was read."""
    sound = inputs.sound(clip.sound)
    return EngineRequest(
        index,
        prompt,
        frames=inputs.frames(clip.frames),
        fps=clip.fps,
        sound=sound,
        parameters=sampling,
        processor=inputs.options(clip.fps, clip.frames.shape, sound=sound),
    )


def ask(
    engine: Engine, requests: Sequence[EngineRequest], *, timeout: float = 240
) -> list[EngineOutput]:
    """Ask all at once; return the answers in the order of the requests."""
    futures = [engine.submit(request) for request in requests]
    return [future.result(timeout=timeout) for future in futures]
