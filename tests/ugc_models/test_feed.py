"""Jobs become requests, answers become captions that are on disk, and nothing gets lost between."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import write_clip
from ugc_models import reading
from ugc_models.captions import Caption, Generation
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import QWEN3, ProcessorInputs
from ugc_models.feed import Feed
from ugc_models.job import Job
from ugc_models.media.clip import Clip
from ugc_models.media.frame_sampling import FrameSampling
from ugc_models.media.limits import MediaError
from ugc_models.prompt import conversation
from ugc_models.reading import Reader
from ugc_models.store import CaptionStore, CaptionStoreError

EIGHT = FrameSampling(frames=8, max_pixels=12 * 28 * 28)
MADE_OF = {"model": "sha256:1", "engine": {"dtype": "float32"}}

Read = Callable[..., Callable[[Job], Job]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaptionStore]:
    store = CaptionStore(tmp_path / "captions.sqlite3")
    yield store
    store.close()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1) as pool:
        yield pool


@pytest.fixture
def reader(store: CaptionStore, pool: DecodePool) -> Read:
    def reader(**made_of: Any) -> Callable[[Job], Job]:
        merged = {**MADE_OF, **made_of}
        return Reader(pool, EIGHT, sound=True, store=store, made_of=merged)

    return reader


def job(index: int, clip: Path | None, *, prompt: str = "Describe it.", **sampling: Any) -> Job:
    video = [] if clip is None else [{"type": "video", "url": str(clip)}]
    content = [*video, {"type": "text", "text": prompt}]
    chat = conversation([{"role": "user", "content": content}], None)
    return Job(index, chat, prompt, {"temperature": 0.2, "seed": 1, **sampling})


def answered(request: EngineRequest, text: str = "A caption.") -> EngineOutput:
    return EngineOutput(
        request.index, text, finish_reason="stop", prompt_tokens=9, output_ids=(1, 2)
    )


def run(
    jobs: Sequence[Job],
    read: Callable[[Job], Job],
    answer: Callable[[EngineRequest], EngineOutput] = answered,
    **more: Any,
) -> tuple[dict[int, Caption], list[EngineRequest]]:
    """Feed an engine that answers with ``answer``; return the captions, and what it was asked."""
    captions: dict[int, Caption] = {}
    asked: list[EngineRequest] = []
    with Feed(jobs, read, inputs=ProcessorInputs(), window=2, **more) as feed:
        while not feed.exhausted():
            if (request := feed.next_request()) is not None:
                asked.append(request)
                if (finished := feed.caption(answer(request), "by hand")) is not None:
                    captions |= _only_once(captions, finished)
            else:
                time.sleep(0.001)
            for finished in feed.without_engine():
                captions |= _only_once(captions, finished)
    return captions, asked


def first_of(feed: Feed) -> EngineRequest:
    """Return the first request that is ready, when it is."""
    while (request := feed.next_request()) is None:
        time.sleep(0.001)
    return request


def _only_once(captions: dict[int, Caption], finished: tuple[int, Caption]) -> dict[int, Caption]:
    assert finished[0] not in captions
    return dict([finished])


class TestTheRecord:
    def test_says_how_the_caption_came_about(self, reader: Read, clip: Path) -> None:
        captions, [request] = run([job(0, clip)], reader())
        generation = captions[0].generation
        assert request.frames is not None
        assert request.sound is not None
        size = (request.frames.shape[2], request.frames.shape[1])
        assert {**generation, "sound_seconds": 0.0} == {
            **asdict(Generation()),
            "heard": True,
            "finish_reason": "stop",
            "prompt_tokens": 9,
            "output_tokens": 2,
            "frames": 8,
            "fps": round(request.fps or 0.0, 6),
            "size": size,
            "seconds": generation["seconds"],
            "decoding": "by hand",
            "sound_offset": 0.0,
        }
        assert generation["seconds"] == pytest.approx(5.0, abs=0.05)
        assert generation["sound_seconds"] == round(len(request.sound) / 16_000, 3)

    def test_says_why_nothing_was_heard(self, reader: Read, tmp_path: Path) -> None:
        silent = write_clip(tmp_path / "silent.mp4", seconds=2, audio=None)
        captions, [request] = run([job(0, silent)], reader())
        assert request.sound is None
        assert captions[0].generation["sound_seconds"] == 0.0
        assert captions[0].generation["sound_missing"] == "no audio track"

    def test_says_how_the_sound_lay_beside_the_picture(self, tmp_path: Path) -> None:
        told = replace(
            made_up_clip(duration=2.0, fps=4.0, sound=32_000),
            sound_offset=-0.123456,
            sound_gaps=1.23456,
            sound_track=2,
            picture_track=0,
        )
        captions, _ = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, clip=told))
        generation = captions[0].generation
        assert (generation["sound_offset"], generation["sound_gaps"]) == (-0.1235, 1.2346)
        assert (generation["sound_track"], generation["picture_track"]) == (2, 0)

    def test_of_seconds_goes_to_the_thousandth(self, tmp_path: Path) -> None:
        told = made_up_clip(duration=1.23456, fps=3.333333333, sound=1_234)
        captions, _ = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, clip=told))
        generation = captions[0].generation
        assert (generation["seconds"], generation["fps"]) == (1.235, 3.333333)
        assert generation["sound_seconds"] == 0.077


def made_up_clip(*, duration: float = 1.0, fps: float = 2.0, sound: int = 16_000) -> Clip:
    """Return a clip of four frames, as if it had been read."""
    known: dict[str, Any] = {
        "frames": np.zeros((4, 56, 84, 3), np.uint8),
        "times": np.arange(4) / fps,
        "fps": fps,
        "duration": duration,
        "sound": np.zeros(sound, np.float32),
        "lost_seconds": 0.0,
    }
    wanted = [field for field in fields(Clip) if field.default is MISSING]
    return Clip(**{field.name: known.get(field.name) for field in wanted})


class TestBeforeTheEngine:
    @pytest.mark.parametrize("clip", [None, Path("any.mp4")])
    def test_a_request_carries_what_was_asked(self, clip: Path | None) -> None:
        asked = job(5, clip, prompt="What is heard?", top_p=0.5)
        read = made_up_clip(sound=1_759) if clip else None
        _, [request] = run([asked], lambda job: replace(job, clip=read))
        assert asked.chat is not None
        assert (request.index, request.prompt) == (5, "What is heard?")
        assert request.messages == asked.chat.messages
        assert request.parameters == {"temperature": 0.2, "seed": 1, "top_p": 0.5}
        assert (request.fps, request.frames is None) == ((2.0, False) if clip else (None, True))

    def test_a_clip_is_handed_over_as_its_checkpoint_wants_it(self, tmp_path: Path) -> None:
        """Blue before red, and whole mel frames of sound."""
        clip = made_up_clip(sound=1_759)
        clip.frames[..., 0] = 200
        jobs = [job(0, tmp_path / "any.mp4")]
        with Feed(
            jobs, lambda job: replace(job, clip=clip), inputs=ProcessorInputs(QWEN3, channels="bgr")
        ) as feed:
            request = first_of(feed)
        assert request.frames is not None and request.sound is not None
        assert request.frames[0, 0, 0].tolist() == [0, 0, 200]
        assert len(request.sound) == 1_600

    def test_so_many_clips_are_read_at_once_and_that_is_told(self, tmp_path: Path) -> None:
        both, told = threading.Barrier(2), threading.Event()

        def read(job: Job) -> Job:
            both.wait(60)
            return replace(job, clip=made_up_clip())

        jobs = [job(n, tmp_path / "any.mp4") for n in range(2)]
        with Feed(
            jobs, read, inputs=ProcessorInputs(), workers=2, window=2, notify=told.set
        ) as feed:
            feed.look()
            assert told.wait(120)
            assert {first_of(feed).index, first_of(feed).index} == {0, 1}

    def test_so_many_are_read_ahead_of_the_engine(self, tmp_path: Path) -> None:
        read: list[int] = []
        third = threading.Event()

        def note(job: Job) -> Job:
            read.append(job.index)
            if len(read) == 3:
                third.set()
            return replace(job, clip=made_up_clip())

        jobs = [job(n, tmp_path / "any.mp4") for n in range(9)]
        with Feed(jobs, note, inputs=ProcessorInputs(), workers=1, window=3) as feed:
            feed.exhausted()  # looks for the first ones, and asks nothing
            assert third.wait(120)
        assert read == [0, 1, 2]

    def test_what_was_answered_is_let_go(self, tmp_path: Path) -> None:
        """Frames of a thousand clips would not fit into memory."""
        jobs = [job(0, tmp_path / "any.mp4")]
        with Feed(
            jobs, lambda job: replace(job, clip=made_up_clip()), inputs=ProcessorInputs(), thin=True
        ) as feed:
            request = first_of(feed)
            answer, kept = answered(request), weakref.ref(request)
            feed.caption(answer, "by hand")
            del request
            gc.collect()
            assert kept() is None

    def test_the_processor_is_told_how_long_the_sound_is(self, tmp_path: Path) -> None:
        told = made_up_clip(sound=16_000)
        _, [request] = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, clip=told))
        assert request.processor == ProcessorInputs().options(
            2.0, (4, 56, 84, 3), sound=request.sound
        )
        assert request.sound is not None and len(request.sound) == 16_000
        assert request.processor["audio_kwargs"]["max_length"] == 16_480

    def test_a_clip_is_not_kept_beside_what_was_made_of_it(self, tmp_path: Path) -> None:
        """At any time as many clips as requests may be in the engine: one copy of each."""
        clips: list[weakref.ref[Clip]] = []

        def read(job: Job) -> Job:
            clip = made_up_clip()
            clips.append(weakref.ref(clip))
            return replace(job, clip=clip)

        inputs = ProcessorInputs(channels="bgr")
        with Feed([job(0, tmp_path / "any.mp4")], read, inputs=inputs) as feed:
            request = first_of(feed)
            gc.collect()
            assert clips[0]() is None
            assert request.frames is not None

    def test_it_tells_whether_a_request_is_ready(self, tmp_path: Path) -> None:
        gate = threading.Event()

        def read(job: Job) -> Job:
            gate.wait(120)
            return replace(job, clip=made_up_clip())

        jobs = [job(0, tmp_path / "any.mp4")]
        with Feed(jobs, read, inputs=ProcessorInputs()) as feed:
            assert not feed.look()
            gate.set()
            while not feed.look():
                time.sleep(0.001)
            assert feed.next_request() is not None
            assert not feed.look()


class TestFindingAgain:
    def test_a_caption_is_made_once_whatever_the_temperature(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        first, asked = run([job(0, clip)], reader(), store=store)
        again, asked_again = run([job(7, clip)], reader(), store=store)
        assert (len(asked), len(asked_again)) == (1, 0)
        assert again[7] == first[0] == "A caption."
        assert (first[0].generation["stored"], again[7].generation["stored"]) == (False, True)
        told = {**again[7].generation, "stored": False}
        assert told == first[0].generation

    def test_the_same_clip_under_another_name_is_the_same_clip(
        self, reader: Read, store: CaptionStore, clip: Path, tmp_path: Path
    ) -> None:
        run([job(0, clip)], reader(), store=store)
        (tmp_path / "other.mp4").write_bytes(clip.read_bytes())
        assert run([job(0, tmp_path / "other.mp4")], reader(), store=store)[1] == []

    def test_another_clip_under_the_same_name_is_another_clip(
        self, reader: Read, store: CaptionStore, tmp_path: Path
    ) -> None:
        path = write_clip(tmp_path / "clip.mp4", seconds=2, seed=1)
        run([job(0, path)], reader(), store=store)
        write_clip(path, seconds=2, seed=2)
        assert len(run([job(0, path)], reader(), store=store)[1]) == 1

    @pytest.mark.parametrize(
        ("what", "made_of"),
        [
            ({"prompt": "Describe the sound."}, {}),
            ({"temperature": 0.7}, {}),
            ({"seed": 2}, {}),
            ({}, {"model": "sha256:2"}),
            ({}, {"engine": {"dtype": "bfloat16"}}),
        ],
    )
    def test_another_prompt_setting_or_model_is_another_caption(
        self,
        what: dict[str, Any],
        made_of: dict[str, Any],
        reader: Read,
        store: CaptionStore,
        clip: Path,
    ) -> None:
        run([job(0, clip)], reader(), store=store)
        assert len(run([job(0, clip, **what)], reader(**made_of), store=store)[1]) == 1

    def test_another_way_of_reading_clips_is_another_caption(
        self, reader: Read, store: CaptionStore, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run([job(0, clip), job(1, None)], reader(), store=store)
        monkeypatch.setattr(reading, "READING", reading.READING + 1)
        captions, asked = run([job(0, clip), job(1, None)], reader(), store=store)
        assert [request.index for request in asked] == [0]
        assert captions[1].generation["stored"]

    @pytest.mark.parametrize(("sound", "asked"), [(True, 1), (False, 0)])
    def test_sound_that_is_not_aligned_is_another_caption_where_there_is_sound(
        self, sound: bool, asked: int, store: CaptionStore, clip: Path, pool: DecodePool
    ) -> None:
        for align, expected in ((True, 1), (False, asked)):
            read = Reader(pool, EIGHT, sound=sound, align_sound=align, store=store, made_of=MADE_OF)
            assert len(run([job(0, clip)], read, store=store)[1]) == expected

    def test_an_answer_of_no_words_is_an_answer(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        run([job(0, clip)], reader(), lambda request: answered(request, ""), store=store)
        captions, asked = run([job(0, clip)], reader(), store=store)
        assert (captions[0], captions[0].generation["error"], asked) == ("", None, [])

    def test_a_question_without_a_clip_is_kept_too(self, reader: Read, store: CaptionStore) -> None:
        run([job(0, None)], reader(), store=store)
        assert run([job(0, None)], reader(), store=store)[1] == []

    def test_a_failure_is_not_kept(self, reader: Read, store: CaptionStore, clip: Path) -> None:
        def fail(request: EngineRequest) -> EngineOutput:
            return EngineOutput(request.index, error="the engine refused it: no")

        captions, _ = run([job(0, clip)], reader(), fail, store=store)
        assert captions[0].generation["error"] == "the engine refused it: no"
        assert not captions[0].generation["heard"]
        assert len(run([job(0, clip)], reader(), store=store)[1]) == 1

    def test_a_caption_is_on_disk_before_it_is_given_out(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        with Feed([job(0, clip)], reader(), inputs=ProcessorInputs(), store=store) as feed:
            request = first_of(feed)
            feed.caption(answered(request), "by hand")
            assert run([job(0, clip)], reader(), store=store)[1] == []


class TestFailures:
    def test_a_clip_that_cannot_be_read_is_a_caption_with_a_reason(
        self, reader: Read, store: CaptionStore, clip: Path, tmp_path: Path
    ) -> None:
        jobs = [job(0, tmp_path / "missing.mp4"), job(1, clip)]
        captions, asked = run(jobs, reader(), store=store)
        assert (captions[0], captions[1]) == ("", "A caption.")
        assert "the file does not exist" in captions[0].generation["error"]
        assert [request.index for request in asked] == [1]

    def test_a_job_that_was_lost_before_is_passed_on(self, reader: Read) -> None:
        captions, asked = run([Job(3, None, error="two videos")], reader())
        assert captions[3].generation["error"] == "two videos"
        assert asked == []

    def test_so_is_one_that_asks_nothing(self, reader: Read) -> None:
        captions, asked = run([Job(3, None)], reader())
        assert captions[3].generation["error"] == "nothing was asked"
        assert asked == []


class TestReading:
    """What one clip does is that clip's; what the store does is the run's."""

    @pytest.mark.parametrize(("lost", "refused"), [(0.5, False), (0.6, True)])
    def test_a_clip_may_lack_half_a_second_of_what_it_announces(
        self, store: CaptionStore, clip: Path, lost: float, refused: bool
    ) -> None:
        read = by_hand(lambda **_: replace(made_up_clip(duration=5.4), lost_seconds=lost), store)
        error = "the clip is cut off: 0.6 of 6.0 s are missing" if refused else None
        assert read(job(0, clip)).error == error

    @pytest.mark.parametrize(
        ("failure", "said"),
        [
            (MediaError("not a video"), "the clip cannot be read: not a video"),
            (RuntimeError("what?"), "the clip cannot be read: RuntimeError: what?"),
        ],
    )
    def test_whatever_a_clip_does_takes_no_run_along(
        self, store: CaptionStore, clip: Path, failure: Exception, said: str
    ) -> None:
        def fail(**_: bool) -> Clip:
            raise failure

        assert by_hand(fail, store)(job(0, clip)).error == said

    def test_a_store_that_cannot_be_used_is_no_matter_of_one_clip(
        self, store: CaptionStore, clip: Path
    ) -> None:
        with sqlite3.connect(store.path) as other:
            other.execute("DROP TABLE captions")
        with pytest.raises(CaptionStoreError, match="no such table"):
            by_hand(lambda **_: made_up_clip(), store)(job(0, clip))

    @pytest.mark.parametrize("sound", [True, False])
    @pytest.mark.parametrize("align_sound", [True, False])
    def test_sound_is_read_as_it_was_asked_for(
        self, clip: Path, sound: bool, align_sound: bool
    ) -> None:
        told: list[dict[str, bool]] = []

        def note(**asked: bool) -> Clip:
            told.append(asked)
            return made_up_clip()

        by_hand(note, None, sound=sound, align_sound=align_sound)(job(0, clip))
        assert told == [{"sound": sound, "align_sound": align_sound}]

    def test_a_pipe_is_not_waited_for(self, reader: Read, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.mp4")
        done = reader()(job(0, tmp_path / "pipe.mp4"))
        assert done.error == "the clip cannot be read: it is not a regular file"


def by_hand(
    read: Callable[..., Clip], store: CaptionStore | None, *, sound: bool = True, **more: Any
) -> Reader:
    """Return a reader whose clips come from ``read``, which is told what is asked of the sound."""

    class Pool(DecodePool):
        def read(self, path: Path, sampling: FrameSampling, **asked: bool) -> Clip:
            return read(**asked)

    return Reader(Pool(0), EIGHT, sound=sound, store=store, made_of=MADE_OF, **more)


class TestFlags:
    def test_a_caption_that_the_limit_cut_is_flagged(self, reader: Read, clip: Path) -> None:
        def cut(request: EngineRequest) -> EngineOutput:
            return replace(answered(request), finish_reason="length")

        captions, _ = run([job(0, clip)], reader(), cut)
        assert captions[0].generation["flags"] == ("token_limit",)

    def test_so_is_one_that_repeats_itself(self, reader: Read, clip: Path) -> None:
        captions, _ = run([job(0, clip)], reader(), lambda r: answered(r, "He waves. " * 30))
        assert captions[0].generation["flags"] == ("repetition",)

    def test_and_an_ordinary_one_is_not(self, reader: Read, clip: Path) -> None:
        captions, _ = run([job(0, clip)], reader())
        assert captions[0].generation["flags"] == ()


class TestAPromptThatIsTooLong:
    @staticmethod
    def takes(most: int) -> Callable[[EngineRequest], EngineOutput]:
        def answer(request: EngineRequest) -> EngineOutput:
            if request.frames is not None and len(request.frames) > most:
                return EngineOutput(
                    request.index, error="the engine refused it: long", overflow=True
                )
            return answered(request)

        return answer

    def test_is_refused_unless_told_otherwise(self, reader: Read, clip: Path) -> None:
        captions, asked = run([job(0, clip)], reader(), self.takes(3))
        assert captions[0].generation["error"] == "the engine refused it: long"
        assert len(asked) == 1

    def test_is_asked_with_fewer_frames_until_it_fits_and_says_so(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        captions, asked = run([job(0, clip)], reader(), self.takes(3), thin=True, store=store)
        assert [len(request.frames) for request in asked if request.frames is not None] == [8, 4, 2]
        whole, _, thin = asked
        assert thin.fps == pytest.approx((whole.fps or 0) / 4)
        assert thin.processor["fps"] == thin.fps
        assert (thin.frames == whole.frames[::4]).all()  # type: ignore[index]
        generation = captions[0].generation
        assert (generation["frames"], generation["frames_dropped"]) == (2, 6)
        assert generation["flags"] == ("fewer_frames",)
        assert generation["fps"] == pytest.approx(thin.fps, abs=1e-6)
        assert run([job(0, clip)], reader(), store=store)[0][0].generation["frames"] == 2

    def test_is_told_apart_from_other_refusals(self, reader: Read, clip: Path) -> None:
        def refuse(request: EngineRequest) -> EngineOutput:
            return EngineOutput(request.index, error="the engine refused it: no such mark")

        captions, asked = run([job(0, clip)], reader(), refuse, thin=True)
        assert captions[0].generation["error"] == "the engine refused it: no such mark"
        assert len(asked) == 1

    def test_is_refused_when_no_frame_is_left_to_be_left_out(
        self, reader: Read, clip: Path
    ) -> None:
        captions, asked = run([job(0, clip)], reader(), self.takes(0), thin=True)
        assert captions[0].generation["error"] == "the engine refused it: long"
        assert len(asked) == 4


class TestStopping:
    def test_nothing_more_is_given_out_and_what_is_asked_may_be_finished(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        jobs = [job(n, clip, seed=n) for n in range(4)]
        with Feed(jobs, reader(), inputs=ProcessorInputs(), store=store, window=4) as feed:
            request = first_of(feed)
            feed.stop()
            assert feed.next_request() is None
            assert feed.exhausted()
            assert feed.caption(answered(request), "by hand") is not None
        assert len(run(jobs, reader(), store=store)[1]) == 3

    def test_a_prompt_that_is_too_long_is_not_asked_again(self, tmp_path: Path) -> None:
        jobs = [job(0, tmp_path / "any.mp4")]
        with Feed(
            jobs, lambda job: replace(job, clip=made_up_clip()), inputs=ProcessorInputs(), thin=True
        ) as feed:
            first_of(feed)
            feed.stop()
            finished = feed.caption(EngineOutput(0, error="long", overflow=True), "by hand")
        assert finished is not None
        assert finished[1].generation["error"] == "long"
