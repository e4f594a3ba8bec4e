"""What is done with a request ahead of the engine: look for its caption, else read its clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ugc_models.captions import Caption
from ugc_models.decoding.pool import DecodePool
from ugc_models.job import Job
from ugc_models.media.clip import READING
from ugc_models.media.frame_sampling import FrameSampling
from ugc_models.media.limits import MediaError
from ugc_models.store import CaptionStore, CaptionStoreError, caption_key

LOST_SECONDS = 0.5
"""How much of its announced picture a clip may lack; with more missing it is another clip."""


class Reader:
    """Prepares jobs, from several threads at once.

    Args:
        pool: reads clips.
        sampling: which frames, and how large.
        sound: whether sound is read.
        align_sound: whether it is put on the clock of the frames.
        store: of captions, None for none.
        made_of: what a caption depends on besides its clip, prompt and sampling arguments.
    """

    def __init__(
        self,
        pool: DecodePool,
        sampling: FrameSampling,
        *,
        sound: bool,
        align_sound: bool = True,
        store: CaptionStore | None,
        made_of: Mapping[str, Any],
    ) -> None:
        self._pool = pool
        self._sampling = sampling
        self._sound = sound
        self._align_sound = align_sound
        self._store = store
        self._made_of = made_of

    def __call__(self, job: Job) -> Job:
        """Return the job with its stored caption, its clip, or the reason why it has neither.

        Raises:
            CaptionStoreError: the store cannot be used. That is no matter of one clip.
        """
        if job.error is not None or job.chat is None:
            return job
        try:
            job = self._keyed(job, job.chat.video)
            if job.found is not None or job.chat is None or job.chat.video is None:
                return job
            clip = self._pool.read(
                job.chat.video,
                self._sampling,
                sound=self._sound,
                align_sound=self._align_sound,
            )
        except CaptionStoreError:
            raise
        except MediaError as error:
            return replace(job, error=f"the clip cannot be read: {error}")
        except Exception as error:  # one clip must not take the run along, whatever it did
            return replace(job, error=f"the clip cannot be read: {type(error).__name__}: {error}")
        if clip.lost_seconds > LOST_SECONDS:
            lost, whole = clip.lost_seconds, clip.lost_seconds + clip.duration
            return replace(
                job, error=f"the clip is cut off: {lost:.1f} of {whole:.1f} s are missing"
            )
        return replace(job, clip=clip)

    def _keyed(self, job: Job, video: Path | None) -> Job:
        if self._store is None:
            return job
        made_of = {
            **self._made_of,
            "prompt": job.prompt,
            "sampling": dict(job.sampling),
            "clip": None if video is None else _digest(self._store, video),
            "align_sound": self._sound and self._align_sound,
        }
        if video is not None:
            made_of["reading"] = READING
        key = caption_key(made_of)
        stored = self._store.get(key)
        if stored is not None:
            text, generation = stored
            return replace(job, key=key, found=Caption(text, replace(generation, stored=True)))
        return replace(job, key=key, made_of=made_of)


def _digest(store: CaptionStore, video: Path) -> str:
    if not video.is_file():
        # Not opened at all: a pipe would wait for a writer. The reader of clips has the words.
        return "no regular file"
    try:
        return store.digest(video)
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
