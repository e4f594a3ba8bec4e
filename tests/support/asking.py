"""Requests to an engine as the adapter makes them from a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_models.engine.base import Engine, EngineOutput, EngineRequest, Medium, VideoInput
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import Clip
from ugc_models.run.inputs import Read, given_of

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
    media = as_given([clip], inputs)
    return EngineRequest(index, prompt, media, sampling, inputs.options(media))


def as_given(read: Sequence[Read], inputs: ProcessorInputs = _AS_IT_IS) -> tuple[Medium, ...]:
    """Return what an engine gets of media that were read."""
    return tuple(medium for each in given_of(read, inputs) for medium in each)


def the_video(request: EngineRequest) -> VideoInput:
    """Return the only video of a request."""
    [video] = request.videos
    return video


def ask(
    engine: Engine, requests: Sequence[EngineRequest], *, timeout: float = 240
) -> list[EngineOutput]:
    """Ask all at once; return the answers in the order of the requests."""
    futures = [engine.submit(request) for request in requests]
    return [future.result(timeout=timeout) for future in futures]
