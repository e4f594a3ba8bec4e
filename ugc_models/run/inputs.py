"""What was read for a request, as the engine gets it, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ugc_models.captions import Generation
from ugc_models.engine.base import (
    AudioInput,
    FileInput,
    FramesInput,
    ImageInput,
    Medium,
    VideoInput,
)
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import Clip
from ugc_models.media.source import Audio, Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RATE = 16_000
_UNHEARD = 0.05  # seconds: the last incomplete 10 ms are not worth a word

Read = Clip | Image | Audio | FileInput
Given = tuple[Medium, ...]
"""What the engine gets of one medium: itself, and its sound where that is beside it."""


def given_of(read: Sequence[Read], inputs: ProcessorInputs | None) -> list[Given]:
    """Return what the engine gets of each medium; files as they are, without ``inputs``.

    The sound of videos is interleaved with their frames where every video of the request has some.
    Where only some have, transformers cannot express that: it follows its video, as an audio. So it
    does always where the model takes no videos.
    """
    if inputs is None:
        return [(medium,) for medium in read if isinstance(medium, FileInput)]
    video = VideoInput if inputs.family.takes_videos else FramesInput

    def sound_of(clip: Clip) -> NDArray[np.float32] | None:
        samples = None if clip.sound is None else inputs.sound(clip.sound)
        return samples if samples is not None and len(samples) else None

    heard = [sound_of(medium) is not None for medium in read if isinstance(medium, Clip)]
    beside = any(heard) and not (all(heard) and inputs.family.takes_videos)

    def given(medium: Read) -> Given:
        if isinstance(medium, Image):
            return (ImageInput(medium.pixels),)
        if isinstance(medium, FileInput):
            return (medium,)
        if isinstance(medium, Audio):
            return (AudioInput(inputs.sound(medium.samples)),)
        frames, sound = inputs.frames(medium.frames), sound_of(medium)
        if sound is None:
            return (video(frames, medium.fps),)
        if beside:
            return video(frames, medium.fps), AudioInput(sound)
        return (video(frames, medium.fps, sound),)

    return [given(medium) for medium in read]


def with_sound_beside(
    messages: Sequence[Mapping[str, Any]], given: Sequence[Given]
) -> list[dict[str, Any]]:
    """Return messages that have a part for each sound that is beside its video."""
    left = iter(given)

    def parts(part: Mapping[str, Any]) -> list[dict[str, Any]]:
        several = part["type"] != "text" and len(next(left)) > 1
        return [dict(part), *([{"type": "audio"}] if several else [])]

    return [
        {**message, "content": [new for part in message["content"] for new in parts(part)]}
        for message in messages
    ]


def with_marks(
    messages: Sequence[Mapping[str, Any]], media: Sequence[Medium]
) -> list[dict[str, Any]]:
    """Return messages for the template, in which each frame that is an image has its own part."""
    left = iter(media)

    def parts(part: Mapping[str, Any]) -> list[dict[str, Any]]:
        medium = None if part["type"] == "text" else next(left)
        if isinstance(medium, FramesInput):
            return [{"type": "image"} for _ in medium.frames]
        return [dict(part)]

    return [
        {**message, "content": [new for part in message["content"] for new in parts(part)]}
        for message in messages
    ]


def record(read: Sequence[Read], given: Sequence[Given]) -> Generation:
    """Return what is known of a request's media before it is answered.

    The fields about a clip are those of the only video. Where there is more than that one, each
    medium has an entry in ``media``.
    """
    entries = [_entry(medium, *each) for medium, each in zip(read, given, strict=True)]
    clips = [medium for medium in read if isinstance(medium, Clip)]
    heard = sum(entry.get("sound_seconds", 0.0) for entry in entries)
    generation = Generation(
        sound_seconds=round(heard, 3),
        flags=("sound_cut",) if any("cut_seconds" in entry for entry in entries) else (),
        media=None if len(read) == len(clips) < 2 else tuple(entries),
    )
    if len(clips) != 1:
        return generation
    [clip] = clips
    return replace(
        generation,
        frames=len(clip.frames),
        fps=round(clip.fps, 6),
        size=(clip.frames.shape[2], clip.frames.shape[1]),
        seconds=round(clip.duration, 3),
        sound_missing=clip.sound_missing,
        sound_offset=None if clip.sound_offset is None else round(clip.sound_offset, 4),
        sound_gaps=round(clip.sound_gaps, 4),
        picture_track=clip.picture_track,
        sound_track=clip.sound_track,
    )


def _entry(read: Read, given: Medium, beside: Medium | None = None) -> dict[str, Any]:
    if isinstance(given, FileInput):
        stretch = (given.start, given.end) != (0.0, None)
        cut = {"start": given.start, "end": given.end} if stretch else {}
        return {"kind": given.kind, "mime_type": given.mime_type, "bytes": given.size, **cut}
    if isinstance(given, ImageInput):
        return {"kind": "image", "size": [given.pixels.shape[1], given.pixels.shape[0]]}
    if isinstance(given, AudioInput):
        whole = read.seconds if isinstance(read, Audio) else 0.0
        return {"kind": "audio", **_heard("seconds", len(given.samples), whole)}
    if not isinstance(read, Clip) or not isinstance(given, VideoInput):
        raise TypeError(f"{type(given).__name__} was not made of {type(read).__name__}")
    entry: dict[str, Any] = {
        "kind": "video",
        "frames": len(given.frames),
        "fps": round(read.fps, 6),
        "size": [given.frames.shape[2], given.frames.shape[1]],
        "seconds": round(read.duration, 3),
    }
    sound = beside.samples if isinstance(beside, AudioInput) else given.sound
    if sound is None or read.sound is None:
        return entry | {"sound_missing": read.sound_missing}
    how = "interleaved" if beside is None else "beside"
    whole = len(read.sound) / _RATE + read.sound_cut
    return entry | {"sound": how, **_heard("sound_seconds", len(sound), whole)}


def _heard(name: str, samples: int, whole: float) -> dict[str, float]:
    seconds = samples / _RATE
    said = {name: round(seconds, 3)}
    return said | ({"cut_seconds": round(whole - seconds, 3)} if whole - seconds > _UNHEARD else {})


def with_fewer_frames(
    media: Sequence[Medium], generation: Generation
) -> tuple[tuple[Medium, ...], Generation] | None:
    """Leave out every second frame of all videos; None where no frame can be left out."""
    fewer = tuple(
        replace(medium, frames=medium.frames[::2], fps=(medium.fps or 2.0) / 2)
        if isinstance(medium, VideoInput) and len(medium.frames) > 1
        else medium
        for medium in media
    )
    before, videos = (
        [medium for medium in each if isinstance(medium, VideoInput)] for each in (media, fewer)
    )
    dropped = sum(len(b.frames) - len(f.frames) for b, f in zip(before, videos, strict=True))
    if not dropped:
        return None
    facts: list[dict[str, Any]] = [
        {"frames": len(video.frames), "fps": round(video.fps or 2.0, 6)} for video in videos
    ]
    generation = replace(generation, frames_dropped=generation.frames_dropped + dropped)
    if generation.frames is not None:
        generation = replace(generation, **facts[0])
    if generation.media is not None:
        left = iter(facts)
        entries = (e | next(left) if e["kind"] == "video" else e for e in generation.media)
        generation = replace(generation, media=tuple(entries))
    return fewer, generation
