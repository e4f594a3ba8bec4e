"""Requests go to the engine, answers become captions that are on disk, and none is lost between."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.support.asking import the_video
from tests.support.clips import write_clip
from ugc_models.captions import Caption, Generation
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import QWEN3, ProcessorInputs
from ugc_models.media.clip import Clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.request.prompt import conversation
from ugc_models.run import pipeline
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.store import CaptionStore, CaptionStoreError

EIGHT = Sampling(frames=8, max_pixels=12 * 28 * 28)
MADE_OF = {"model": "sha256:1", "engine": {"dtype": "float32"}}

Read = Callable[..., Callable[[CaptionRequest], CaptionRequest]]


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
    def reader(**made_of: Any) -> Callable[[CaptionRequest], CaptionRequest]:
        merged = {**MADE_OF, **made_of}
        return Reader(pool, EIGHT, sound=True, store=store, made_of=merged)

    return reader


def job(
    index: int, clip: Path | None, *, prompt: str = "Describe it.", **sampling: Any
) -> CaptionRequest:
    video = [] if clip is None else [{"type": "video", "url": str(clip)}]
    content = [*video, {"type": "text", "text": prompt}]
    chat = conversation([{"role": "user", "content": content}], None)
    return CaptionRequest(index, chat, prompt, {"temperature": 0.2, "seed": 1, **sampling})


def answered(request: EngineRequest, text: str = "A caption.") -> EngineOutput:
    return EngineOutput(
        request.index, text, finish_reason="stop", prompt_tokens=9, output_ids=(1, 2)
    )


class Hand:
    """An engine: it answers at once what ``answer`` does not leave open by returning None."""

    def __init__(self, answer: Callable[[EngineRequest], EngineOutput | None] = answered) -> None:
        self._answer = answer
        self.asked: list[EngineRequest] = []
        self.open: dict[int, Future[EngineOutput]] = {}
        self.came = threading.Condition()

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        future: Future[EngineOutput] = Future()
        with self.came:
            self.asked.append(request)
            if (output := self._answer(request)) is None:
                self.open[request.index] = future
            else:
                future.set_result(output)
            self.came.notify_all()
        return future

    def finish(self, index: int) -> None:
        """Answer one that is open, as soon as it has come."""
        with self.came:
            assert self.came.wait_for(lambda: index in self.open, 120)
            future = self.open.pop(index)
        future.set_result(EngineOutput(index, f"caption {index}"))

    def decoding(self) -> str:
        return "by hand"

    def close(self) -> None:
        pass


def nothing(_: EngineRequest) -> None:
    """Leave every request open."""


def pipe(
    requests: Iterable[CaptionRequest],
    read: Callable[[CaptionRequest], CaptionRequest],
    engine: Hand,
    **more: Any,
) -> Pipeline:
    known: dict[str, Any] = {"inputs": ProcessorInputs(), "window": 2, "setup": "tests", **more}
    return Pipeline(requests, read, lambda: engine, **known)


def run(
    jobs: Sequence[CaptionRequest],
    read: Callable[[CaptionRequest], CaptionRequest],
    answer: Callable[[EngineRequest], EngineOutput] = answered,
    **more: Any,
) -> tuple[dict[int, Caption], list[EngineRequest]]:
    """Return the captions, each of which came once, and what the engine was asked."""
    captions: dict[int, Caption] = {}
    engine = Hand(answer)
    for index, caption in pipe(jobs, read, engine, **more).run():
        assert index not in captions
        captions[index] = caption
    return captions, engine.asked


def in_background(run: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class TestTheRecord:
    def test_says_how_the_caption_came_about(self, reader: Read, clip: Path) -> None:
        captions, [request] = run([job(0, clip)], reader())
        generation = captions[0].generation
        video = the_video(request)
        assert video.sound is not None
        size = (video.frames.shape[2], video.frames.shape[1])
        assert {**generation, "sound_seconds": 0.0} == {
            **asdict(Generation()),
            "heard": True,
            "finish_reason": "stop",
            "prompt_tokens": 9,
            "output_tokens": 2,
            "frames": 8,
            "fps": round(video.fps or 0.0, 6),
            "size": size,
            "seconds": generation["seconds"],
            "decoding": "tests, by hand",
            "sound_offset": 0.0,
        }
        assert generation["seconds"] == pytest.approx(5.0, abs=0.05)
        assert generation["sound_seconds"] == round(len(video.sound) / 16_000, 3)

    def test_says_why_nothing_was_heard(self, reader: Read, tmp_path: Path) -> None:
        silent = write_clip(tmp_path / "silent.mp4", seconds=2, audio=None)
        captions, [request] = run([job(0, silent)], reader())
        assert the_video(request).sound is None
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
        captions, _ = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, media=(told,)))
        generation = captions[0].generation
        assert (generation["sound_offset"], generation["sound_gaps"]) == (-0.1235, 1.2346)
        assert (generation["sound_track"], generation["picture_track"]) == (2, 0)

    def test_of_seconds_goes_to_the_thousandth(self, tmp_path: Path) -> None:
        told = made_up_clip(duration=1.23456, fps=3.333333333, sound=1_234)
        captions, _ = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, media=(told,)))
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
        read = (made_up_clip(sound=1_759),) if clip else ()
        _, [request] = run([asked], lambda job: replace(job, media=read))
        assert asked.chat is not None
        assert (request.index, request.prompt) == (5, "What is heard?")
        assert request.messages == asked.chat.messages
        assert request.parameters == {"temperature": 0.2, "seed": 1, "top_p": 0.5}
        assert [video.fps for video in request.videos] == ([2.0] if clip else [])

    def test_a_clip_is_handed_over_as_its_checkpoint_wants_it(self, tmp_path: Path) -> None:
        """Blue before red, and whole mel frames of sound."""
        clip = made_up_clip(sound=1_759)
        clip.frames[..., 0] = 200
        _, [request] = run(
            [job(0, tmp_path / "any.mp4")],
            lambda job: replace(job, media=(clip,)),
            inputs=ProcessorInputs(QWEN3, channels="bgr"),
        )
        video = the_video(request)
        assert video.frames[0, 0, 0].tolist() == [0, 0, 200]
        assert video.sound is not None and len(video.sound) == 1_600

    def test_so_many_clips_are_read_at_once(self) -> None:
        all_three = threading.Barrier(3)

        def read(job: CaptionRequest) -> CaptionRequest:
            all_three.wait(60)
            return job

        captions, _ = run([job(n, None) for n in range(3)], read, workers=3, window=1)
        assert len(captions) == 3

    def test_so_many_are_drawn_and_read_ahead_of_the_engine(self) -> None:
        drawn, read = list[int](), list[int]()

        def requests() -> Iterator[CaptionRequest]:
            for number in range(99):
                drawn.append(number)
                yield job(number, None)

        def note(job: CaptionRequest) -> CaptionRequest:
            read.append(job.index)
            return job

        engine = Hand(nothing)
        flow = pipe(requests(), note, engine, window=3).run()
        thread = in_background(lambda: next(flow))
        while len(read) < 5:  # three are with the engine; when that takes one more, one is drawn
            time.sleep(0.001)
        time.sleep(0.05)
        assert drawn == read == [0, 1, 2, 3, 4]
        assert [request.index for request in engine.asked] == [0, 1, 2]
        engine.finish(1)
        thread.join(120)

    def test_memory_goes_with_the_answer(self, tmp_path: Path) -> None:
        """Frames of a thousand clips would not fit into memory."""
        clips: list[weakref.ref[Clip]] = []
        kept: list[weakref.ref[EngineRequest]] = []

        def read(job: CaptionRequest) -> CaptionRequest:
            clip = made_up_clip()
            clips.append(weakref.ref(clip))
            return replace(job, media=(clip,))

        def answer(request: EngineRequest) -> EngineOutput:
            gc.collect()
            # One copy of a clip: what was made of it, and not what it was made of.
            assert clips[-1]() is None
            kept.append(weakref.ref(request))
            return answered(request)

        class Forgetful(Hand):
            def submit(self, request: EngineRequest) -> Future[EngineOutput]:
                future = super().submit(request)
                self.asked.clear()
                return future

        jobs = [job(n, tmp_path / "any.mp4") for n in range(3)]
        more = {"inputs": ProcessorInputs(channels="bgr"), "fewer_frames": True, "window": 1}
        for _ in pipe(jobs, read, Forgetful(answer), **more).run():
            gc.collect()
            assert kept[-1]() is None
        assert len(kept) == 3

    def test_no_engine_is_started_where_none_is_needed(self) -> None:
        failed = [CaptionRequest(n, None, error="two videos") for n in range(3)]
        flow = Pipeline(
            failed, lambda job: job, lambda: pytest.fail("started"), inputs=ProcessorInputs()
        )
        assert [caption.generation["error"] for _, caption in flow.run()] == ["two videos"] * 3

    def test_the_processor_is_told_how_long_the_sound_is(self, tmp_path: Path) -> None:
        told = made_up_clip(sound=16_000)
        _, [request] = run([job(0, tmp_path / "any.mp4")], lambda job: replace(job, media=(told,)))
        assert request.processor == ProcessorInputs().options(request.media)
        assert the_video(request).sound is told.sound
        assert request.processor["audio_kwargs"]["max_length"] == 16_480


class TestTheFlow:
    def test_no_more_than_the_window_are_with_the_engine(self) -> None:
        engine = Hand(nothing)
        flow = pipe([job(n, None) for n in range(7)], lambda job: job, engine, window=3).run()
        for number in range(7):
            in_background(lambda n=number: engine.finish(n))  # type: ignore[misc]
            assert next(flow)[0] == number
            assert len(engine.asked) - number <= 3
        assert list(flow) == []

    def test_what_is_finished_first_comes_out_first(self) -> None:
        engine = Hand(nothing)
        flow = pipe([job(n, None) for n in range(3)], lambda job: job, engine, window=3).run()
        order = []
        for index in (2, 0, 1):
            in_background(lambda n=index: engine.finish(n))  # type: ignore[misc]
            order.append(next(flow)[0])
        assert order == [2, 0, 1]
        assert list(flow) == []

    def test_what_becomes_ready_wakes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "_LOOK_S", 3600.0)
        gate = threading.Event()

        def read(job: CaptionRequest) -> CaptionRequest:
            assert gate.wait(120)
            return job

        threading.Timer(0.2, gate.set).start()
        captions, _ = run([job(n, None) for n in range(5)], read)
        assert len(captions) == 5

    def test_what_nobody_waits_for_any_more_is_cancelled(self) -> None:
        engine = Hand(nothing)
        flow = pipe([job(n, None) for n in range(3)], lambda job: job, engine, window=3).run()
        in_background(lambda: engine.finish(1))
        next(flow)
        flow.close()  # type: ignore[attr-defined]  # it is a generator
        assert all(future.cancelled() for future in engine.open.values())

    def test_an_engine_that_is_beyond_use_is_heard_of(self) -> None:
        engine = Hand(nothing)
        flow = pipe([job(0, None)], lambda job: job, engine).run()

        def fail() -> None:
            with engine.came:
                engine.came.wait_for(lambda: 0 in engine.open, 120)
            engine.open[0].set_exception(RuntimeError("gone"))

        in_background(fail)
        with pytest.raises(RuntimeError, match="gone"):
            next(flow)

    def test_so_is_what_reading_raises_and_nothing_more_is_begun(self) -> None:
        read: list[int] = []
        raised = threading.Event()

        def broken(job: CaptionRequest) -> CaptionRequest:
            read.append(job.index)
            assert job.index == 0 or raised.wait(60)
            raise CaptionStoreError("no room")

        with pytest.raises(CaptionStoreError, match="no room"):
            run([job(n, None) for n in range(99)], broken, window=50)
        raised.set()
        time.sleep(0.05)
        assert len(read) <= 4


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
        monkeypatch.setattr(pipeline, "READING", pipeline.READING + 1)
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
        for _ in pipe([job(0, clip)], reader(), Hand(), store=store).run():
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
        captions, asked = run([CaptionRequest(3, None, error="two videos")], reader())
        assert captions[3].generation["error"] == "two videos"
        assert asked == []

    def test_so_is_one_that_asks_nothing(self, reader: Read) -> None:
        captions, asked = run([CaptionRequest(3, None)], reader())
        assert captions[3].generation["error"] == "nothing was asked"
        assert asked == []


class TestReading:
    """What one clip does is that clip's; what the store does is the run's."""

    @pytest.mark.parametrize(("lost", "refused"), [(0.5, False), (0.51, True)])
    def test_a_clip_may_lack_half_a_second_of_what_it_announces(
        self, store: CaptionStore, clip: Path, lost: float, refused: bool
    ) -> None:
        read = by_hand(lambda **_: replace(made_up_clip(duration=5.4), lost_seconds=lost), store)
        error = "the video is cut off: 0.5 of 5.9 s are missing" if refused else None
        assert read(job(0, clip)).error == error

    @pytest.mark.parametrize(
        ("failure", "said"),
        [
            (MediaError("not a video"), "the video cannot be read: not a video"),
            (RuntimeError("what?"), "the video cannot be read: RuntimeError: what?"),
        ],
    )
    def test_whatever_a_clip_does_takes_no_run_along(
        self, store: CaptionStore, clip: Path, failure: Exception, said: str
    ) -> None:
        def fail(**_: bool) -> Clip:
            raise failure

        assert by_hand(fail, store)(job(0, clip)).error == said

    def test_a_clip_that_the_store_cannot_look_at_is_left_to_who_reads_it(
        self, store: CaptionStore, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Path) -> str:
            raise PermissionError

        monkeypatch.setattr(store, "digest", fail)
        done = by_hand(lambda **_: made_up_clip(), store)(job(0, clip))
        assert (done.error, done.key) == (None, None)
        assert len(done.media) == 1

    def test_a_picture_that_cannot_be_looked_at_is_a_failure_of_its_request(
        self, reader: Read, clip: Path, store: CaptionStore
    ) -> None:
        gone = PIL.Image.new("RGB", (8, 8))
        gone.close()
        chat = conversation([{"role": "user", "content": [{"type": "image", "url": gone}]}], None)
        jobs = [CaptionRequest(0, chat, "What?"), job(1, clip)]
        captions, _ = run(jobs, reader(), store=store)
        assert captions[0].generation["error"].startswith("the image cannot be read: ")
        assert captions[1] == "A caption."

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
        assert done.error == "the video cannot be read: it is not a regular file"


def by_hand(
    read: Callable[..., Clip], store: CaptionStore | None, *, sound: bool = True, **more: Any
) -> Reader:
    """Return a reader whose clips come from ``read``, which is told what is asked of the sound."""

    class Pool(DecodePool):
        def read(self, path: Path, sampling: Sampling, **asked: bool) -> Clip:
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
            if len(the_video(request).frames) > most:
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
        captions, asked = run(
            [job(0, clip)], reader(), self.takes(3), fewer_frames=True, store=store
        )
        assert [len(the_video(request).frames) for request in asked] == [8, 4, 2]
        assert asked[2].processor["fps"] == the_video(asked[2]).fps
        whole, _, thin = map(the_video, asked)
        assert thin.fps == pytest.approx((whole.fps or 0) / 4)
        assert (thin.frames == whole.frames[::4]).all()
        generation = captions[0].generation
        assert (generation["frames"], generation["frames_dropped"]) == (2, 6)
        assert generation["flags"] == ("fewer_frames",)
        assert generation["fps"] == pytest.approx(thin.fps, abs=1e-6)
        assert run([job(0, clip)], reader(), store=store)[0][0].generation["frames"] == 2

    def test_is_told_apart_from_other_refusals(self, reader: Read, clip: Path) -> None:
        def refuse(request: EngineRequest) -> EngineOutput:
            return EngineOutput(request.index, error="the engine refused it: no such mark")

        captions, asked = run([job(0, clip)], reader(), refuse, fewer_frames=True)
        assert captions[0].generation["error"] == "the engine refused it: no such mark"
        assert len(asked) == 1

    def test_is_refused_when_no_frame_is_left_to_be_left_out(
        self, reader: Read, clip: Path
    ) -> None:
        captions, asked = run([job(0, clip)], reader(), self.takes(0), fewer_frames=True)
        assert captions[0].generation["error"] == "the engine refused it: long"
        assert len(asked) == 4


class TestStopping:
    def test_nothing_more_is_asked_and_what_is_asked_is_finished(
        self, reader: Read, store: CaptionStore, clip: Path
    ) -> None:
        jobs = [job(n, clip, seed=n) for n in range(4)]
        engine = Hand()
        flow = pipe(jobs, reader(), engine, store=store, window=1)
        out = []
        for index, _ in flow.run():
            out.append(index)
            flow.stop()
        assert out == [0]
        assert len(engine.asked) == 1
        assert len(run(jobs, reader(), store=store)[1]) == 3

    def test_what_is_with_the_engine_comes_out(self) -> None:
        engine = Hand(nothing)
        flow = pipe([job(n, None) for n in range(9)], lambda job: job, engine, window=3)
        out = flow.run()

        def finish_one_of_three() -> None:
            with engine.came:
                engine.came.wait_for(lambda: len(engine.open) == 3, 120)
            engine.finish(0)

        in_background(finish_one_of_three)
        assert next(out)[0] == 0
        flow.stop()
        for number in (1, 2):
            in_background(lambda n=number: engine.finish(n))  # type: ignore[misc]
        assert sorted(index for index, _ in out) == [1, 2]

    def test_a_prompt_that_is_too_long_is_not_asked_again(self, tmp_path: Path) -> None:
        engine = Hand()
        flow = pipe(
            [job(0, tmp_path / "any.mp4")],
            lambda job: replace(job, media=(made_up_clip(),)),
            engine,
            fewer_frames=True,
        )

        def too_long(request: EngineRequest) -> EngineOutput:
            flow.stop()
            return EngineOutput(0, error="long", overflow=True)

        engine._answer = too_long
        [(_, caption)] = flow.run()
        assert caption.generation["error"] == "long"
