"""From jobs to the engine's requests, and from its answers to captions that are on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ugc_models.ahead import Ahead
from ugc_models.captions import Caption, Generation
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import ProcessorInputs
from ugc_models.job import Job
from ugc_models.media.clip import Clip
from ugc_models.repetition import is_repetitive
from ugc_models.store import CaptionStore


@dataclass(frozen=True)
class _Asked:
    """A job that is with the engine."""

    job: Job
    generation: Generation
    request: EngineRequest | None
    """Kept where it may be asked again with fewer frames."""


class Feed:
    """A source of requests (:class:`ugc_models.pump.Source`), and what becomes of the answers.

    Every job comes out once: as an answer that :meth:`caption` turns into its caption, or among
    those :meth:`without_engine`.

    Args:
        jobs: taken one by one, a bounded number ahead of the engine.
        read: what is done with each ahead of the engine; called from ``workers`` threads at once.
        inputs: how a clip is handed to the checkpoint's processor.
        store: where captions are kept, None for nowhere.
        workers: how many jobs are read at once.
        window: how many are read and not yet asked.
        thin: ask again with half of the frames where a prompt is too long.
        notify: called when there may be something new, from any thread.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        read: Callable[[Job], Job],
        *,
        inputs: ProcessorInputs,
        store: CaptionStore | None = None,
        workers: int = 1,
        window: int = 1,
        thin: bool = False,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._ahead = Ahead(jobs, read, workers=workers, window=window, notify=notify)
        self._inputs = inputs
        self._store = store
        self._thin = thin
        self._ready: deque[EngineRequest] = deque()
        self._asked: dict[int, _Asked] = {}
        self._done: list[tuple[int, Caption]] = []
        self._stopped = False

    def __enter__(self) -> Feed:
        self._ahead.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ahead.__exit__(*error)

    def next_request(self) -> EngineRequest | None:
        """Return the next request whose clip is ready, or None for none yet."""
        self.look()
        return self._ready.popleft() if self._ready and not self._stopped else None

    def exhausted(self) -> bool:
        """Whether no request will come any more."""
        return self._stopped or (not self._ready and self._ahead.exhausted())

    def look(self) -> bool:
        """Take what was read until one of it is a request; tell whether one is ready."""
        while not self._ready and not self._stopped:
            taken = self._ahead.take()
            if taken is None:
                return False
            self._take(taken[1])
        return bool(self._ready)

    def stop(self) -> None:
        """Give out no further request. May be called from a signal's handler."""
        self._stopped = True

    def caption(self, answer: EngineOutput, decoding: str) -> tuple[int, Caption] | None:
        """Return the job's index and its caption, which is on disk by then if it is one.

        Args:
            answer: the engine's.
            decoding: how the engine and its media were set up, for the record.

        Returns:
            None where the job will be asked again with fewer frames.

        Raises:
            CaptionStoreError: it could not be written.
        """
        asked = self._asked.pop(answer.index)
        if answer.overflow and asked.request is not None and self._again(asked, asked.request):
            return None
        generation = replace(
            asked.generation,
            error=answer.error,
            decoding=decoding,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            output_tokens=len(answer.output_ids) if answer.error is None else None,
            flags=_flags(answer, asked.generation),
        )
        if answer.error is not None:  # the model never got to hear anything
            generation = replace(generation, sound_seconds=0.0)
        elif self._store is not None and asked.job.key is not None:
            self._store.put(asked.job.key, asked.job.made_of, answer.text, generation)
        return answer.index, Caption(answer.text, generation)

    def without_engine(self) -> Iterator[tuple[int, Caption]]:
        """Return what needed no engine, each once: stored captions, and failures as empty ones."""
        done, self._done = self._done, []
        yield from done

    def _take(self, job: Job) -> None:
        if job.found is not None:
            self._done.append((job.index, job.found))
        elif job.error is not None or job.chat is None:
            error = job.error or "nothing was asked"
            self._done.append((job.index, Caption("", Generation(error=error))))
        else:
            request = _request(job, self._inputs)
            self._ask(replace(job, clip=None), _generation(job.clip), request)

    def _ask(self, job: Job, generation: Generation, request: EngineRequest) -> None:
        kept = request if self._thin and request.frames is not None else None
        self._asked[job.index] = _Asked(job, generation, kept)
        self._ready.append(request)

    def _again(self, asked: _Asked, request: EngineRequest) -> bool:
        """Ask with every second frame instead; False where nothing is left to be left out."""
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
        self._ask(asked.job, generation, replace(request, frames=fewer, fps=fps, processor=options))
        return True


def _request(job: Job, inputs: ProcessorInputs) -> EngineRequest:
    clip = job.clip
    assert job.chat is not None  # noqa: S101  # the caller has looked
    if clip is None:
        return EngineRequest(
            job.index, job.prompt, None, None, None, job.sampling, messages=job.chat.messages
        )
    sound = inputs.sound(clip.sound)
    frames = inputs.frames(clip.frames)
    return EngineRequest(
        job.index,
        job.prompt,
        frames=frames,
        fps=clip.fps,
        sound=sound,
        parameters=job.sampling,
        processor=inputs.options(clip.fps, frames.shape, sound=sound),
        messages=job.chat.messages,
    )


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


def _flags(answer: EngineOutput, asked: Generation) -> tuple[str, ...]:
    if answer.error is not None:
        return ()
    flags = {
        "token_limit": answer.finish_reason == "length",
        "repetition": is_repetitive(answer.text),
        "fewer_frames": asked.frames_dropped > 0,
    }
    return tuple(name for name, raised in flags.items() if raised)
