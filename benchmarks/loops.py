"""Ways to bring clips through an engine: one by one, in batches, and without a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count, islice
from pathlib import Path

from benchmarks.asking import Asking
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine, EngineOutput, EngineRequest
from ugc_models.feed import Feed
from ugc_models.media.clip import read_clip
from ugc_models.media.errors import MediaError
from ugc_models.pump import answers
from ugc_models.reading import Reader

ToRequest = Callable[[int, Path], EngineRequest]


class Unanswered(RuntimeError):
    """A clip of the benchmark got no caption: what was measured is not what was meant."""


def reader(asking: Asking) -> ToRequest:
    """Return what reads a clip here and now with this project's own code, and asks about it."""

    def read(index: int, path: Path) -> EngineRequest:
        try:
            return asking.request(index, read_clip(path, asking.media))
        except MediaError as error:
            raise Unanswered(f"{path.name}: the clip cannot be read: {error}") from error

    return read


def one_by_one(engine: Engine, clips: Sequence[Path], read: ToRequest) -> list[str]:
    """Read a clip, wait for its caption, read the next."""
    return [
        _text(engine.submit(read(index, path)).result(), path) for index, path in enumerate(clips)
    ]


def in_batches(engine: Engine, clips: Sequence[Path], read: ToRequest, size: int) -> list[str]:
    """Read ``size`` clips, wait for the captions of all of them, read the next."""
    captions: list[str] = []
    numbered = zip(count(), clips, strict=False)
    while batch := list(islice(numbered, size)):
        requests = [read(index, path) for index, path in batch]
        futures = [engine.submit(request) for request in requests]
        captions += [
            _text(future.result(), path) for future, (_, path) in zip(futures, batch, strict=True)
        ]
    return captions


def flowing(
    engine: Engine, clips: Sequence[Path], asking: Asking, *, workers: int, in_flight: int
) -> list[str]:
    """Bring clips through as ``qwen_omni_vllm`` does, where lmms-eval is not at hand.

    The same parts: worker processes, a feed, a pump. Nothing is stored.
    """
    captions: dict[int, str] = {}
    wake = threading.Event()
    with DecodePool(workers) as pool:
        read = Reader(pool, asking.media, sound=True, store=None, made_of={})
        with Feed(
            asking.jobs(clips),
            read,
            inputs=asking.inputs,
            workers=workers,
            window=in_flight,
            notify=wake.set,
        ) as feed:
            for answer in answers(engine, feed, in_flight, wake):
                captions[answer.index] = _text(answer, clips[answer.index])
                feed.caption(answer, "")
            for index, caption in feed.without_engine():
                raise Unanswered(f"{clips[index].name}: {caption.generation['error']}")
    return [captions[index] for index in range(len(clips))]


def _text(answer: EngineOutput, clip: Path) -> str:
    if answer.error is not None:
        raise Unanswered(f"{clip.name}: {answer.error}")
    return answer.text
