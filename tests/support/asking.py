"""Requests to an engine as the adapter makes them from a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_models.engine.options import Handover
from ugc_models.engine.request import Answer, Engine, Request
from ugc_models.media.clip import Clip

_AS_IT_IS = Handover()


def request_about(
    clip: Clip,
    prompt: str,
    sampling: Mapping[str, Any],
    *,
    index: int = 0,
    handover: Handover = _AS_IT_IS,
) -> Request:
    """Return the request for a rendered prompt about a clip that was read."""
    sound = handover.sound(clip.sound)
    return Request(
        index,
        prompt,
        frames=handover.frames(clip.frames),
        fps=clip.fps,
        sound=sound,
        sampling=sampling,
        processor=handover.options(clip.fps, clip.frames.shape, sound=sound),
    )


def ask(engine: Engine, requests: Sequence[Request], *, timeout: float = 240) -> list[Answer]:
    """Ask all at once; return the answers in the order of the requests."""
    futures = [engine.submit(request) for request in requests]
    return [future.result(timeout=timeout) for future in futures]
