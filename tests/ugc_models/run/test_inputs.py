"""Several media in one request: where their sound goes, what is recorded, what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugc_models.captions import Caption, Generation
from ugc_models.engine.base import (
    AudioInput,
    EngineOutput,
    EngineRequest,
    FramesInput,
    ImageInput,
    Medium,
    VideoInput,
)
from ugc_models.engine.family import GEMMA3N, ProcessorInputs
from ugc_models.media.clip import Clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import Audio, AudioSource, Image, ImageSource, VideoFile
from ugc_models.request.prompt import Conversation
from ugc_models.run.inputs import given_of
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.store import CaptionStore

INPUTS = ProcessorInputs()
WITHOUT_VIDEOS = ProcessorInputs(GEMMA3N)


def clip(sound: float | None = None, *, frames: int = 4, fps: float = 2.0) -> Clip:
    return Clip(
        frames=np.zeros((frames, 56, 84, 3), np.uint8),
        times=np.arange(frames) / fps,
        fps=fps,
        sound=None if sound is None else np.zeros(round(sound * 16_000), np.float32),
        sound_missing=None if sound else "no audio track",
        duration=frames / fps,
        decode_errors=0,
        lost_seconds=0.0,
    )


IMAGE = Image(np.zeros((30, 40, 3), np.uint8))


def audio(seconds: float = 1.0, whole: float | None = None) -> Audio:
    return Audio(np.zeros(round(seconds * 16_000), np.float32), whole or seconds)


class Pool:
    """Reads sources as it is told to; a path is looked up by its name."""

    def __init__(self, **files: Any) -> None:
        self._files = files
        self.read_ones: list[str] = []

    def read(self, source: Any, _: Sampling, **__: bool) -> Any:
        name = (source.path if isinstance(source, VideoFile) else source.content).stem
        self.read_ones.append(name)
        found = self._files[name]
        if isinstance(found, Exception):
            raise found
        return found


SOURCES = {Clip: VideoFile, Image: ImageSource, Audio: AudioSource}
KINDS = {Clip: "video", Image: "image", Audio: "audio"}


def request_of(*media: Any, folder: Path | None = None) -> tuple[CaptionRequest, Pool]:
    """Return a request about media in files of its own, and the pool that reads them."""
    files = {f"m{number}": medium for number, medium in enumerate(media)}
    kinds = [Clip if isinstance(medium, Exception) else type(medium) for medium in media]
    for name in files if folder is not None else ():
        (folder / f"{name}.x").write_bytes(name.encode())  # type: ignore[operator]
    sources = tuple(
        SOURCES[kind]((folder or Path()) / f"{name}.x")
        for name, kind in zip(files, kinds, strict=True)
    )
    content = [{"type": KINDS[kind]} for kind in kinds] + [{"type": "text", "text": "What?"}]
    chat = Conversation([{"role": "user", "content": content}], sources)
    return CaptionRequest(0, chat, render(chat)), Pool(**files)


def render(chat: Conversation) -> str:
    return " ".join(part["type"] for message in chat.messages for part in message["content"])


def run(
    request: CaptionRequest,
    pool: Any,
    most: int = 99,
    store: CaptionStore | None = None,
    inputs: ProcessorInputs = INPUTS,
) -> tuple[Generation, list[EngineRequest]]:
    """Return the record and what the engine was asked, which takes so many frames."""
    asked: list[EngineRequest] = []

    class Engine:
        def submit(self, request: EngineRequest) -> Any:
            from concurrent.futures import Future

            asked.append(request)
            future: Future[EngineOutput] = Future()
            frames = sum(len(video.frames) for video in request.videos)
            output = EngineOutput(0, "A caption.")
            future.set_result(
                output if frames <= most else EngineOutput(0, error="long", overflow=True)
            )
            return future

        def decoding(self) -> str:
            return "by hand"

        def close(self) -> None:
            pass

    reader = Reader(pool, Sampling(), sound=True, store=store, made_of={})
    flow = Pipeline(
        [request], reader, Engine, inputs=inputs, render=render, store=store, fewer_frames=True
    )
    [(_, caption)] = flow.run()
    assert isinstance(caption, Caption)
    return Generation.from_dict(caption.generation), asked


def kinds(media: tuple[Medium, ...]) -> list[str]:
    names = {VideoInput: "video", ImageInput: "image", AudioInput: "audio"}
    sounds = [isinstance(m, VideoInput) and m.sound is not None for m in media]
    return [
        names[type(m)] + ("+sound" if sound else "") for m, sound in zip(media, sounds, strict=True)
    ]


class TestSound:
    @pytest.mark.parametrize(
        ("read", "given"),
        [
            ([clip(1.0)], ["video+sound"]),
            ([clip(1.0), clip(2.0)], ["video+sound", "video+sound"]),
            ([clip(1.0), IMAGE, audio()], ["video+sound", "image", "audio"]),
            ([clip(1.0), clip()], ["video", "audio", "video"]),
            ([clip(), audio(), clip(1.0)], ["video", "audio", "video", "audio"]),
            ([clip(), clip(0.0)], ["video", "video"]),
        ],
    )
    def test_is_interleaved_where_each_video_has_some_and_beside_it_otherwise(
        self, read: list[Any], given: list[str]
    ) -> None:
        media = tuple(medium for each in given_of(read, INPUTS) for medium in each)
        assert kinds(media) == given

    def test_that_is_beside_its_video_has_a_mark_of_its_own(self) -> None:
        record, [asked] = run(*request_of(clip(1.0), clip()))
        assert asked.prompt == "video audio video text"
        assert [part["type"] for part in asked.messages[0]["content"]] == asked.prompt.split()
        assert "use_audio_in_video" not in asked.processor
        assert record.media is not None
        assert [entry.get("sound") for entry in record.media] == ["beside", None]
        assert (record.sound_seconds, record.frames) == (1.0, None)

    def test_that_is_interleaved_leaves_the_prompt_as_it_was(self) -> None:
        _, [asked] = run(*request_of(clip(1.0), clip(2.0)))
        assert asked.prompt == "video video text"
        assert asked.processor["use_audio_in_video"]
        assert asked.cache_salt is not None


class TestAModelThatTakesNoVideos:
    def test_gets_the_frames_as_images_and_the_sound_behind_them(self) -> None:
        record, [asked] = run(*request_of(clip(1.0), IMAGE, clip()), inputs=WITHOUT_VIDEOS)
        assert asked.prompt == " ".join(
            ["image"] * 4 + ["audio", "image"] + ["image"] * 4 + ["text"]
        )
        assert [medium.shape for medium in asked.images] == [(56, 84, 3)] * 4 + [
            (30, 40, 3),
            *[(56, 84, 3)] * 4,
        ]
        assert list(map(type, asked.media)) == [FramesInput, AudioInput, ImageInput, FramesInput]
        assert (asked.processor, asked.cache_salt) == ({}, None)
        assert record.media is not None
        assert [entry.get("sound") for entry in record.media] == ["beside", None, None]

    def test_hears_thirty_seconds_and_the_rest_is_flagged_as_cut(self) -> None:
        record, [asked] = run(*request_of(clip(45.5)), inputs=WITHOUT_VIDEOS)
        [_, sound] = asked.media
        assert isinstance(sound, AudioInput) and len(sound.samples) == 30 * 16_000
        assert (record.flags, record.sound_seconds) == (("sound_cut",), 30.0)
        assert (record.frames, record.size, record.media) == (4, (84, 56), None)

    def test_has_a_mark_less_for_each_frame_that_is_left_out(self) -> None:
        record, asked = run(*request_of(clip(1.0, frames=5)), most=3, inputs=WITHOUT_VIDEOS)
        prompts = [each.prompt.replace("image ", "i") for each in asked]
        assert prompts == ["iiiiiaudio text", "iiiaudio text"]
        assert (record.frames, record.fps, record.frames_dropped) == (3, 1.0, 2)


class TestTheRecord:
    def test_of_one_video_is_in_the_fields_of_a_clip(self) -> None:
        record, _ = run(*request_of(clip(1.0)))
        assert record.media is None
        assert (record.frames, record.fps, record.size) == (4, 2.0, (84, 56))

    def test_of_several_media_has_an_entry_for_each(self) -> None:
        record, _ = run(*request_of(clip(1.0), IMAGE, audio(2.0)))
        assert record.media == (
            {
                **{"kind": "video", "frames": 4, "fps": 2.0, "size": [84, 56], "seconds": 2.0},
                **{"sound": "interleaved", "sound_seconds": 1.0},
            },
            {"kind": "image", "size": [40, 30]},
            {"kind": "audio", "seconds": 2.0},
        )
        assert (record.frames, record.sound_seconds) == (4, 1.0)

    @pytest.mark.parametrize("read", [clip(301.0), audio(301.0), audio(300.0, whole=3_600.0)])
    def test_says_what_was_cut_of_sound(self, read: Any) -> None:
        record, [asked] = run(*request_of(read, IMAGE))
        assert record.flags == ("sound_cut",)
        assert record.media is not None
        assert record.media[0]["cut_seconds"] in {1.0, 3_300.0}
        [heard] = [m.sound if isinstance(m, VideoInput) else m.samples for m in asked.media[:1]]  # type: ignore[union-attr]
        assert len(heard) == 300 * 16_000

    def test_comes_back_from_the_store(self, tmp_path: Path) -> None:
        store = CaptionStore(tmp_path / "captions.sqlite3")
        request, pool = request_of(clip(1.0), IMAGE, folder=tmp_path)
        first, _ = run(request, pool, store=store)
        again, asked = run(request, pool, store=store)
        assert asked == []
        assert again.stored
        assert again.media == first.media


class TestAPromptThatIsTooLong:
    def test_has_every_second_frame_of_all_videos_left_out(self) -> None:
        request = request_of(clip(frames=8), IMAGE, clip(frames=4, fps=1.0))
        record, asked = run(*request, most=6)
        videos = [[len(video.frames) for video in each.videos] for each in asked]
        assert videos == [[8, 4], [4, 2]]
        assert [video.fps for video in asked[-1].videos] == [1.0, 0.5]
        assert asked[-1].processor["second_per_grid_ts"] == [2.0, 4.0]
        assert (record.frames_dropped, record.flags) == (6, ("fewer_frames",))
        assert record.media is not None
        assert [entry.get("frames") for entry in record.media] == [4, None, 2]


class TestFailures:
    def test_name_the_medium(self) -> None:
        record, asked = run(*request_of(IMAGE, MediaError("damaged"), IMAGE))
        assert record.error == "the video, medium 2 of 3, cannot be read: damaged"
        assert asked == []

    def test_too_much_at_once_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ugc_models.run.pipeline.MOST_BYTES", 5_000)
        request, pool = request_of(IMAGE, IMAGE, IMAGE)
        record, _ = run(request, pool)
        assert record.error is not None and "its media take more than" in record.error
        assert len(pool.read_ones) == 2
