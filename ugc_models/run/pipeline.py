"""Requests in order, prepared ahead of the engine, answered, and out again as captions on disk.

Threads look up stored captions and read clips; the engine answers many requests at once, without
batches; :meth:`Pipeline.run` joins the two in the caller's thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ugc_models.captions import Caption, Generation, is_repetitive
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import (
    Engine,
    EngineOutput,
    EngineRequest,
    EngineStopped,
    FramesInput,
    Medium,
)
from ugc_models.engine.family import ProcessorInputs
from ugc_models.media.clip import READING, Clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import Source, VideoFile, digest
from ugc_models.request.prompt import Conversation
from ugc_models.run.inputs import (
    Read,
    given_of,
    record,
    with_fewer_frames,
    with_marks,
    with_sound_beside,
)
from ugc_models.store import CaptionStore, CaptionStoreError, caption_key

LOST_SECONDS = 0.5
"""How much of its announced picture a clip may lack; with more missing it is another clip."""

MOST_BYTES = 4 << 30
"""Of all media of one request, as they are held between reading and the engine's answer."""

_LOOK_S = 1.0  # seconds after which the main thread looks whether it was stopped


@dataclass(frozen=True)
class CaptionRequest:
    """What was asked, and what is known of it so far."""

    index: int  # the caller's own number for it
    chat: Conversation | None  # None where ``error`` says why
    prompt: str = ""  # as the chat template renders it
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of ``vllm.SamplingParams``
    media: tuple[Read, ...] = ()  # as they were read, those of ``chat`` in order
    key: str | None = None  # under which its caption is stored, None where captions are not
    made_of: Mapping[str, Any] = field(default_factory=dict)  # what ``key`` is the digest of
    found: Caption | None = None  # that an earlier run made of the same
    error: str | None = None  # why the engine will not be asked, in one sentence


class Reader:
    """Prepares requests: finds the stored caption, or reads the media. For several threads.

    ``made_of`` is what a caption depends on besides its media, prompt and parameters.
    """

    reading: Any = None  # in the key: which way of reading media, if not ``media.clip``'s

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
        """Return the request with its caption, its media, or the reason why it has neither.

        Raises:
            CaptionStoreError: the store cannot be used, which concerns more than one request.
        """
        if request.error is not None or request.chat is None:
            return request
        sources = request.chat.media
        if self._store is not None and all(map(_is_there, sources)):
            request = self._keyed(request, self._store, sources)
        if request.found is not None:
            return request
        media: list[Read] = []
        for number, source in enumerate(sources, 1):
            name = _name(source, number, len(sources))
            try:
                media.append(self._read(source))
            except Exception as error:  # one of them must not end the run, whatever it did
                said = str(error)
                if not isinstance(error, MediaError):
                    said = f"{type(error).__name__}: {error}"
                return replace(request, error=f"{name} cannot be read: {said}")
            last = media[-1]
            if isinstance(last, Clip) and (lost := last.lost_seconds) > LOST_SECONDS:
                said = f"{name} is cut off: {lost:.1f} of {lost + last.duration:.1f} s are missing"
                return replace(request, error=said)
            if sum(map(_size, media)) > MOST_BYTES:
                return replace(request, error=f"its media take more than {MOST_BYTES >> 30} GiB")
        return replace(request, media=tuple(media))

    def stored(self, request: CaptionRequest) -> str | None:
        """Return the stored caption; None where it is yet to be made. Reads no media."""
        if self._store is None or request.chat is None:
            return None
        if not all(map(_is_there, request.chat.media)):
            return None
        return self._keyed(request, self._store, request.chat.media).found

    def _read(self, source: Source) -> Read:
        return self._pool.read(
            source, self._sampling, sound=self._sound, align_sound=self._align_sound
        )

    def _keyed(
        self, request: CaptionRequest, store: CaptionStore, sources: tuple[Source, ...]
    ) -> CaptionRequest:
        try:
            digests = [digest(source, store.digest) for source in sources]
        except CaptionStoreError:
            raise
        except Exception:  # whoever reads it has the words
            return request
        made_of = {
            **self._made_of,
            "prompt": request.prompt,
            "sampling": dict(request.parameters),
            "clip": None,
            "align_sound": self._sound and self._align_sound,
        }
        if len(sources) == 1 and isinstance(sources[0], VideoFile):
            [made_of["clip"]] = digests
        elif sources:
            made_of["media"] = digests
        if sources:
            made_of["reading"] = self.reading or READING
        key = caption_key(made_of)
        if (stored := store.get(key)) is None:
            return replace(request, key=key, made_of=made_of)
        text, generation = stored
        return replace(request, key=key, found=Caption(text, replace(generation, stored=True)))


def _name(source: Source, number: int, of: int) -> str:
    kind = type(source).__name__.removesuffix("Source").lower()
    kind = "video" if kind.startswith("video") else kind
    return f"the {kind}" if of == 1 else f"the {kind}, medium {number} of {of},"


def _is_there(source: Source) -> bool:
    """Whether it can be digested: not a missing file, and not a pipe, which would never end."""
    path = getattr(source, "path", None) or getattr(source, "content", None)
    return not isinstance(path, Path) or path.is_file()


def _size(medium: Read) -> int:
    arrays = (getattr(medium, name, None) for name in ("frames", "sound", "pixels", "samples"))
    return sum(array.nbytes for array in arrays if array is not None)


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
        inputs: how media are handed to the processor; None for an engine that takes files.
        render: the chat template, for a prompt whose media turn out to be of other kinds.
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
        inputs: ProcessorInputs | None,
        render: Callable[[Conversation], str] | None = None,
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
        self._render = render
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
            EngineStopped: nothing more can be asked; what was in flight is answered and kept.
            Exception: the engine does not start, or is beyond use. What was asked is cancelled.
        """
        engine: Engine | None = None
        ended: EngineStopped | None = None
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
                    if isinstance(error := future.exception(), EngineStopped):
                        ended, self._stopped = ended or error, True
                        del in_flight[future]
                        continue
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
                    if ended is not None:
                        raise ended
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
        return self._asked(*self._engine_request(prepared, prepared.chat))

    def _engine_request(
        self, prepared: CaptionRequest, chat: Conversation
    ) -> tuple[CaptionRequest, Generation, EngineRequest]:
        given = given_of(prepared.media, self._inputs)
        media = tuple(medium for each in given for medium in each)
        prompt, messages = prepared.prompt, chat.messages
        if len(media) > len(given):
            messages = with_sound_beside(messages, given)
        pictures = any(isinstance(medium, FramesInput) for medium in media)
        if messages is not chat.messages or pictures:
            prompt = self._prompt(messages, media, prompt)
        request = EngineRequest(
            prepared.index,
            prompt,
            media,
            prepared.parameters,
            {} if self._inputs is None else self._inputs.options(media),
            messages,
        )
        # What was read is let go here; the engine has what was made of it.
        return replace(prepared, chat=None, media=()), record(prepared.media, given), request

    def _prompt(
        self, messages: Sequence[Mapping[str, Any]], media: Sequence[Medium], prompt: str
    ) -> str:
        """Return the prompt with a mark for each medium; ``prompt`` where there is no template."""
        if self._render is None:
            return prompt
        return self._render(Conversation(with_marks(messages, media)))

    def _asked(
        self, prepared: CaptionRequest, generation: Generation, request: EngineRequest
    ) -> tuple[_Asked, EngineRequest]:
        again = request if self._fewer_frames and request.videos else None
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
            told = {**output.told, "sound_seconds": 0.0}
            return Caption(output.text, replace(generation, **told))
        flags = {
            "token_limit": output.finish_reason == "length",
            "repetition": is_repetitive(output.text),
            "fewer_frames": generation.frames_dropped > 0,
            "sound_cut": "sound_cut" in generation.flags,
        }
        generation = replace(
            generation,
            output_tokens=len(output.output_ids),
            flags=tuple(name for name, raised in flags.items() if raised),
        )
        generation = replace(generation, **output.told)
        if self._store is not None and asked.request.key is not None:
            self._store.put(asked.request.key, asked.request.made_of, output.text, generation)
        return Caption(output.text, generation)

    def _ask_again(self, asked: _Asked, request: EngineRequest) -> bool:
        """Ask with every second frame instead; False where no frame can be left out."""
        fewer = with_fewer_frames(request.media, asked.generation)
        if fewer is None or self._stopped or self._inputs is None:
            return False
        media, generation = fewer
        thinner = replace(request, media=media, processor=self._inputs.options(media))
        if not self._inputs.family.takes_videos:
            prompt = self._prompt(request.messages, media, request.prompt)
            thinner = replace(thinner, prompt=prompt)
        self._again.append(self._asked(asked.request, generation, thinner))
        return True
