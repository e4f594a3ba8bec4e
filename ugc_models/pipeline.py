"""Requests in order, prepared ahead of the engine, answered, and out again as captions on disk.

Threads look up stored captions and read clips; the engine answers many requests at once, without
batches; :meth:`Pipeline.run` joins the two in the caller's thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ugc_models.captions import Caption, Generation, is_repetitive
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine, EngineOutput, EngineRequest
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import READING, Clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import Conversation
from ugc_models.store import CaptionStore, CaptionStoreError, caption_key

LOST_SECONDS = 0.5
"""How much of its announced picture a clip may lack; with more missing it is another clip."""

_LOOK_S = 1.0  # seconds after which the main thread looks whether it was stopped


@dataclass(frozen=True)
class CaptionRequest:
    """What was asked, and what is known of it so far."""

    index: int  # the caller's own number for it
    chat: Conversation | None  # None where ``error`` says why
    prompt: str = ""  # as the chat template renders it
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of ``vllm.SamplingParams``
    clip: Clip | None = None
    key: str | None = None  # under which its caption is stored, None where captions are not
    made_of: Mapping[str, Any] = field(default_factory=dict)  # what ``key`` is the digest of
    found: Caption | None = None  # that an earlier run made of the same
    error: str | None = None  # why the engine will not be asked, in one sentence


class Reader:
    """Prepares requests: finds the stored caption, or reads the clip. For several threads.

    ``made_of`` is what a caption depends on besides its clip, prompt and parameters.
    """

    def __init__(
        self,
        pool: DecodePool,
        sampling: Sampling,
        *,
        sound: bool,
        align_sound: bool = True,
        store: CaptionStore | None,
        made_of: Mapping[str, Any],
    ) -> None:
        self._pool, self._sampling, self._store = pool, sampling, store
        self._sound, self._align_sound = sound, align_sound
        self._made_of = made_of

    def __call__(self, request: CaptionRequest) -> CaptionRequest:
        """Return the request with its caption, its clip, or the reason why it has neither.

        Raises:
            CaptionStoreError: the store cannot be used, which concerns more than one clip.
        """
        if request.error is not None or request.chat is None:
            return request
        video = request.chat.video
        try:
            if self._store is not None and (video is None or video.is_file()):
                with suppress(OSError):  # whoever reads the clip has the words
                    request = self._keyed(request, self._store, video)
            if request.found is not None or video is None:
                return request
            clip = self._pool.read(
                video, self._sampling, sound=self._sound, align_sound=self._align_sound
            )
        except CaptionStoreError:
            raise
        except Exception as error:  # one clip must not end the run, whatever it did
            said = (
                str(error) if isinstance(error, MediaError) else f"{type(error).__name__}: {error}"
            )
            return replace(request, error=f"the clip cannot be read: {said}")
        if clip.lost_seconds > LOST_SECONDS:
            lost, whole = clip.lost_seconds, clip.lost_seconds + clip.duration
            said = f"the clip is cut off: {lost:.1f} of {whole:.1f} s are missing"
            return replace(request, error=said)
        return replace(request, clip=clip)

    def _keyed(
        self, request: CaptionRequest, store: CaptionStore, video: Path | None
    ) -> CaptionRequest:
        made_of = {
            **self._made_of,
            "prompt": request.prompt,
            "sampling": dict(request.parameters),
            "clip": None if video is None else store.digest(video),
            "align_sound": self._sound and self._align_sound,
        }
        if video is not None:
            made_of["reading"] = READING
        key = caption_key(made_of)
        if (stored := store.get(key)) is None:
            return replace(request, key=key, made_of=made_of)
        text, generation = stored
        return replace(request, key=key, found=Caption(text, replace(generation, stored=True)))


@dataclass(frozen=True)
class _Asked:
    """A request that is with the engine, or about to be."""

    request: CaptionRequest
    generation: Generation
    again: EngineRequest | None  # what the engine got, kept where it may be asked for less


class Pipeline:
    """Captions of requests; to be run once.

    Args:
        requests: taken one by one, a bounded number ahead of the engine.
        prepare: done with each ahead of the engine; called from ``workers`` threads at once.
        start: returns the running engine; called when the first request needs one.
        setup: how media are set up, in a few words for the record.
        window: how many are prepared and not yet asked, and how many are with the engine.
        fewer_frames: ask again with half of the frames where a prompt is too long.
    """

    def __init__(
        self,
        requests: Iterable[CaptionRequest],
        prepare: Callable[[CaptionRequest], CaptionRequest],
        start: Callable[[], Engine],
        *,
        inputs: ProcessorInputs,
        setup: str = "",
        store: CaptionStore | None = None,
        workers: int = 1,
        window: int = 1,
        fewer_frames: bool = False,
    ) -> None:
        self._requests, self._prepare, self._start = iter(requests), prepare, start
        # Threads, because what they do waits for other processes.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="ugc-prefetch")
        self._prefetched: list[Future[CaptionRequest]] = []
        self._ahead, self._window = max(workers, window), window
        self._inputs, self._setup, self._store = inputs, setup, store
        self._fewer_frames = fewer_frames
        self._again: deque[tuple[_Asked, EngineRequest]] = deque()
        self._wake = threading.Event()
        self._stopped = False

    def stop(self) -> None:
        """Ask nothing more; what is asked is finished. May be called from a signal's handler."""
        # An event that is set by a handler can wait for ever for the thread that it interrupts.
        self._stopped = True

    def run(self) -> Iterator[tuple[int, Caption]]:
        """Yield each request's index and caption once, when it is there and on disk.

        A failure is an empty caption that says why.

        Raises:
            CaptionStoreError: the store cannot be used.
            Exception: the engine does not start, or is beyond use. What was asked is cancelled.
        """
        engine: Engine | None = None
        in_flight: dict[Future[EngineOutput], _Asked] = {}
        finished: deque[Future[EngineOutput]] = deque()

        def done(future: Future[EngineOutput]) -> None:
            finished.append(future)
            self._wake.set()

        try:
            while True:
                self._wake.clear()
                while finished:
                    future = finished.popleft()
                    caption = self._caption(in_flight.pop(future), future.result())
                    if caption is not None:
                        yield future.result().index, caption
                while len(in_flight) < self._window and (ready := self._next()) is not None:
                    if isinstance(ready, CaptionRequest):
                        failed = Generation(error=ready.error or "nothing was asked")
                        # A caption that was found may be empty.
                        found = Caption("", failed) if ready.found is None else ready.found
                        yield ready.index, found
                        continue
                    asked, request = ready
                    if engine is None:
                        engine = self._start()
                        self._setup = f"{self._setup}, {engine.decoding()}"
                    future = engine.submit(request)
                    in_flight[future] = asked
                    future.add_done_callback(done)
                    del ready, asked, request  # a clip is let go as soon as it is answered
                if not in_flight and (self._stopped or not (self._again or self._prefetched)):
                    return
                if not finished:
                    self._wake.wait(_LOOK_S)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for future in in_flight:  # the caller stopped: nobody waits for these
                future.cancel()

    def _next(self) -> CaptionRequest | tuple[_Asked, EngineRequest] | None:
        """Return what is ready: for the engine, or as it is where it needs none; None for none."""
        if self._stopped:
            return None
        if self._again:
            return self._again.popleft()
        while len(self._prefetched) < self._ahead:
            if (request := next(self._requests, None)) is None:
                break
            self._prefetched.append(self._threads.submit(self._prepare, request))
            self._prefetched[-1].add_done_callback(lambda _: self._wake.set())
        # The oldest of those that are done: nothing waits for long.
        ready = next((future for future in self._prefetched if future.done()), None)
        if ready is None:
            return None
        self._prefetched.remove(ready)
        prepared = ready.result()
        if prepared.found is not None or prepared.error is not None or prepared.chat is None:
            return prepared
        return self._asked(
            replace(prepared, clip=None),
            _generation(prepared.clip),
            self._engine_request(prepared, prepared.chat),
        )

    def _engine_request(self, prepared: CaptionRequest, chat: Conversation) -> EngineRequest:
        request = EngineRequest(
            prepared.index,
            prepared.prompt,
            frames=None,
            fps=None,
            sound=None,
            parameters=prepared.parameters,
            messages=chat.messages,
        )
        if (clip := prepared.clip) is None:
            return request
        frames, sound = self._inputs.frames(clip.frames), self._inputs.sound(clip.sound)
        options = self._inputs.options(clip.fps, frames.shape, sound=sound)
        return replace(request, frames=frames, fps=clip.fps, sound=sound, processor=options)

    def _asked(
        self, prepared: CaptionRequest, generation: Generation, request: EngineRequest
    ) -> tuple[_Asked, EngineRequest]:
        again = request if self._fewer_frames and request.frames is not None else None
        return _Asked(prepared, generation, again), request

    def _caption(self, asked: _Asked, output: EngineOutput) -> Caption | None:
        """Return the caption, on disk if it is one; None where it is asked for once more."""
        if output.overflow and asked.again is not None and self._ask_again(asked, asked.again):
            return None
        generation = replace(
            asked.generation,
            error=output.error,
            decoding=self._setup,
            finish_reason=output.finish_reason,
            prompt_tokens=output.prompt_tokens,
        )
        if output.error is not None:  # the model never got the sound
            return Caption(output.text, replace(generation, sound_seconds=0.0))
        flags = {
            "token_limit": output.finish_reason == "length",
            "repetition": is_repetitive(output.text),
            "fewer_frames": generation.frames_dropped > 0,
        }
        generation = replace(
            generation,
            output_tokens=len(output.output_ids),
            flags=tuple(name for name, raised in flags.items() if raised),
        )
        if self._store is not None and asked.request.key is not None:
            self._store.put(asked.request.key, asked.request.made_of, output.text, generation)
        return Caption(output.text, generation)

    def _ask_again(self, asked: _Asked, request: EngineRequest) -> bool:
        """Ask with every second frame instead; False where no frame can be left out."""
        frames = request.frames
        if frames is None or len(frames) < 2 or self._stopped:
            return False
        fewer, fps = frames[::2], (request.fps or 2.0) / 2
        options = self._inputs.options(fps, fewer.shape, sound=request.sound)
        generation = replace(
            asked.generation,
            frames=len(fewer),
            fps=round(fps, 6),
            frames_dropped=asked.generation.frames_dropped + len(frames) - len(fewer),
        )
        thinner = replace(request, frames=fewer, fps=fps, processor=options)
        self._again.append(self._asked(asked.request, generation, thinner))
        return True


def _generation(clip: Clip | None) -> Generation:
    if clip is None:
        return Generation()
    count, height, width, _ = clip.frames.shape
    return Generation(
        frames=count,
        fps=round(clip.fps, 6),
        size=(width, height),
        seconds=round(clip.duration, 3),
        sound_seconds=0.0 if clip.sound is None else round(len(clip.sound) / 16_000, 3),
        sound_missing=clip.sound_missing,
        sound_offset=None if clip.sound_offset is None else round(clip.sound_offset, 4),
        sound_gaps=round(clip.sound_gaps, 4),
        picture_track=clip.picture_track,
        sound_track=clip.sound_track,
    )
