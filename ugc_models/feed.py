"""From jobs to the engine's requests: clips read ahead, prompts rendered, failures kept aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

from ugc_models.ahead import Ahead
from ugc_models.captions import Caption, Generation
from ugc_models.engine.local import Answer, Request
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.errors import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import Conversation, PromptError
from ugc_models.settings import Settings

LOST_SECONDS = 0.5
"""How much of its announced picture a clip may lack; with more missing it is another clip."""


@dataclass(frozen=True)
class Job:
    """What was asked, and on the way to the engine the clip that was read for it.

    Attributes:
        index: the caller's own number for it.
        chat: the conversation, None where ``error`` says why there is none.
        sampling: arguments of ``vllm.SamplingParams``.
        clip: what was read from the conversation's video.
        error: why the engine will not be asked, in one sentence.
    """

    index: int
    chat: Conversation | None
    sampling: Mapping[str, Any]
    clip: Clip | None = None
    error: str | None = None


class Feed:
    """A source of requests for an engine (:class:`ugc_models.engine.local.Source`).

    Every job comes out once: as an answer that :meth:`caption` turns into its caption, or among the
    :meth:`failures`.

    Args:
        jobs: taken one by one, a bounded number ahead of the engine.
        settings: how clips are read, and how many at once.
        render: the prompt of a conversation; may raise :class:`~ugc_models.prompt.PromptError`.
    """

    def __init__(
        self, jobs: Iterable[Job], settings: Settings, render: Callable[[Conversation], str]
    ) -> None:
        self._ahead = Ahead(
            jobs,
            partial(_read, settings=settings),
            workers=settings.decode_workers,
            window=settings.max_in_flight,
        )
        self._render = render
        self._first: Request | None = None
        self._asked: dict[int, Generation] = {}
        self._failed: list[tuple[int, Caption]] = []

    def __enter__(self) -> Feed:
        self._ahead.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ahead.__exit__(kind, error, trace)

    def wait(self) -> bool:
        """Wait for a first request; False when no job gives one, so that no engine is needed."""
        if self._first is None:
            self._first = self.next_request(block=True)
        return self._first is not None

    def next_request(self, *, block: bool) -> Request | None:
        """Return the next request whose clip is ready; None for none yet, with ``block`` none."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while (taken := self._ahead.take(block=block)) is not None:
            job = taken[1]
            if (request := self._request(job)) is not None:
                return request
        return None

    def caption(self, answer: Answer, decoding: str) -> tuple[int, Caption]:
        """Return the job's index and the caption that the engine's answer makes.

        Args:
            answer: the engine's.
            decoding: how the engine and its media were set up, for the record.
        """
        generation = replace(
            self._asked.pop(answer.index),
            error=answer.error,
            decoding=decoding,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            output_tokens=len(answer.output_ids) if answer.error is None else None,
        )
        if answer.error is not None:  # the model never got to hear anything
            generation = replace(generation, sound_seconds=0.0)
        return answer.index, Caption(answer.text, generation)

    def failures(self) -> Iterator[tuple[int, Caption]]:
        """Return the jobs that never reached the engine, as empty captions; each once."""
        failed, self._failed = self._failed, []
        yield from failed

    def _request(self, job: Job) -> Request | None:
        if job.error is not None or job.chat is None:
            self._fail(job, job.error or "nothing was asked")
            return None
        try:
            prompt = self._render(job.chat)
        except PromptError as error:
            self._fail(job, str(error))
            return None
        clip = job.clip
        self._asked[job.index] = _generation(clip)
        return Request(
            job.index,
            prompt,
            frames=clip.frames if clip else None,
            fps=clip.fps if clip else None,
            sound=clip.sound if clip else None,
            sampling=job.sampling,
        )

    def _fail(self, job: Job, error: str) -> None:
        self._failed.append((job.index, Caption("", Generation(error=error))))


def _read(job: Job, settings: Settings) -> Job:
    """Decode a job's clip; runs in a worker thread and returns its failures."""
    if job.chat is None or job.chat.video is None:
        return job
    sampling = Sampling(
        frames=settings.frames,
        fps=settings.fps,
        max_frames=settings.max_frames,
        min_pixels=settings.min_pixels,
        max_pixels=settings.max_pixels,
    )
    try:
        clip = read_clip(job.chat.video, sampling, sound=settings.use_audio_in_video)
    except MediaError as error:
        return replace(job, error=f"the clip cannot be read: {error}")
    except Exception as error:  # one clip must not take the run along, whatever it did
        return replace(job, error=f"the clip cannot be read: {type(error).__name__}: {error}")
    if clip.lost_seconds > LOST_SECONDS:
        lost, whole = clip.lost_seconds, clip.lost_seconds + clip.duration
        return replace(job, error=f"the clip is cut off: {lost:.1f} of {whole:.1f} s are missing")
    return replace(job, clip=clip)


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
    )
