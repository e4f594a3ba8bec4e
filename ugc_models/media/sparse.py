"""Decoding only what a plan says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import av.error

from ugc_models.media.container import Damage, packets
from ugc_models.media.plan import Step

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from ugc_models.media.joins import Joins
    from ugc_models.media.limits import Budget

STRICT = {"err_detect": "explode"}
"""Decoder options for a plan. A decoder that hides damage hides it with the pictures that it was
given before, and a plan leaves some of those out; this one reports damage instead."""


class Astray(Exception):
    """The file is not what its plan took it for: only decoding all of it tells what it shows."""


def planned_video(
    container: InputContainer, stream: VideoStream, budget: Budget, steps: bytes, joins: Joins
) -> Iterator[VideoFrame]:
    """Yield the stream's frames in the order of the decoder, given one ``Step`` for each packet.

    The stream's decoder must have been set up with ``STRICT``. Raises ``Astray`` at any damage.
    """
    damage = Damage()
    found = packets(container, stream, budget, damage, joins)
    for step, packet in zip(steps, found, strict=False):
        if step == Step.RESTART:
            yield from _decoded(stream, None)
            stream.codec_context.flush_buffers()
        if step != Step.LEAVE:
            yield from _decoded(stream, packet)
    if damage.count:
        raise Astray
    yield from _decoded(stream, None)


def _decoded(stream: VideoStream, packet: Packet | None) -> Iterator[VideoFrame]:
    try:
        frames = stream.decode(packet)
    except av.error.FFmpegError:
        raise Astray from None
    for frame in frames:
        if frame.is_corrupt:
            raise Astray
        yield frame
