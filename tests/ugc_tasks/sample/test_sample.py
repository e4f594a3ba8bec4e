"""The bundled clips and their captions, as they are shipped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.drawing.scene import Scene
from tests.drawing.scenes import SCENES
from ugc_tasks.sample import sample_home

BY_NAME = {scene.name: scene for scene in SCENES}
each_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)


@dataclass(frozen=True)
class Clip:
    """A clip as a decoder sees it."""

    path: Path

    @cached_property
    def frames(self) -> list[av.VideoFrame]:
        with av.open(str(self.path)) as container:
            frames = list(container.decode(video=0))
        return frames

    @cached_property
    def sound(self) -> NDArray[np.float32] | None:
        """(channels, samples), or None without a track."""
        with av.open(str(self.path)) as container:
            blocks = [f.to_ndarray() for s in container.streams.audio for f in container.decode(s)]
        return np.concatenate(blocks, axis=1) if blocks else None

    @cached_property
    def seconds(self) -> float:
        with av.open(str(self.path)) as container:
            ticks = container.duration
        assert ticks is not None
        return ticks / av.time_base

    def codecs(self) -> list[str]:
        with av.open(str(self.path)) as container:
            names = [stream.codec_context.name for stream in container.streams]
        return names


#: Kept for the module, so that each clip is decoded once.
_CLIPS = {s.video_id: Clip(sample_home() / "videos" / f"{s.video_id}.mp4") for s in SCENES}


def clip_of(scene: Scene) -> Clip:
    return _CLIPS[scene.video_id]


@pytest.fixture(scope="module")
def annotation() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (sample_home() / "final_caption_qa.json").read_text("utf-8")
    )
    return loaded


class TestTheAnnotation:
    def test_has_the_benchmarks_fields(self, annotation: dict[str, Any]) -> None:
        assert set(annotation) == {"question", "valid_count", "samples"}
        assert annotation["valid_count"] == len(annotation["samples"]) == 8
        assert all(set(sample) == {"video_id", "answer"} for sample in annotation["samples"])

    def test_names_each_clip_once_and_no_other(self, annotation: dict[str, Any]) -> None:
        ids = [sample["video_id"] for sample in annotation["samples"]]
        files = [path.name for path in (sample_home() / "videos").iterdir()]
        assert sorted(f"{video_id}.mp4" for video_id in ids) == sorted(files)

    def test_uses_ids_of_the_benchmarks_form(self, annotation: dict[str, Any]) -> None:
        form = re.compile(r"PI-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
        assert all(form.fullmatch(sample["video_id"]) for sample in annotation["samples"])

    def test_has_a_paragraph_of_80_to_150_words_for_each_clip(
        self, annotation: dict[str, Any]
    ) -> None:
        for sample in annotation["samples"]:
            assert 80 <= len(sample["answer"].split()) <= 150, sample["video_id"]
            assert "\n" not in sample["answer"]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("cooking", ["TOMATO SOUP", "1. Chop 4 tomatoes", "2. Simmer 20 min", "3. Add basil"]),
            ("countdown", ["Wait for it...", "GO!"]),
            ("skyline", ["18:00", "23:00", "the city never sleeps", "no sound"]),
            ("dance", ["Friday mood", "no speech"]),
            ("unboxing", ["MY NEW LAMP", "luma", "$49", "$29", "link in bio"]),
            ("workout", ["SET 2 OF 3", "Jumping jacks", "12 reps", "18 reps"]),
            ("rain", ["when the rain won't stop", "listen...", "thunder"]),
            ("quiz", ["SPACE QUIZ", "Which planet is the largest?", "B Jupiter", "It is Jupiter!"]),
        ],
    )
    def test_quotes_what_stands_on_the_screen(
        self, annotation: dict[str, Any], name: str, words: list[str]
    ) -> None:
        answers = {sample["video_id"]: sample["answer"] for sample in annotation["samples"]}
        answer = answers[BY_NAME[name].video_id]
        assert [quote for quote in words if quote not in answer] == []


class TestTheClips:
    @each_scene
    def test_are_h264_with_aac(self, scene: Scene) -> None:
        assert clip_of(scene).codecs() == (["h264"] if scene.sound is None else ["h264", "aac"])

    @each_scene
    def test_last_as_long_as_their_scene(self, scene: Scene) -> None:
        assert 4 <= scene.seconds <= 8
        assert clip_of(scene).seconds == pytest.approx(scene.seconds, abs=0.1)

    @each_scene
    def test_have_the_frames_of_their_scene_at_their_times(self, scene: Scene) -> None:
        times = [frame.time for frame in clip_of(scene).frames]
        assert times == pytest.approx(scene.times(), abs=1e-3)

    @each_scene
    def test_are_portrait_once_turned(self, scene: Scene) -> None:
        frame = clip_of(scene).frames[0]
        size = (frame.width, frame.height)
        assert (size if frame.rotation % 180 == 0 else size[::-1]) == scene.size
        assert scene.size[1] > scene.size[0]

    @each_scene
    def test_move(self, scene: Scene) -> None:
        frames = clip_of(scene).frames
        first, middle = (
            frame.to_ndarray(format="gray").astype(int)
            for frame in (frames[0], frames[len(frames) // 2])
        )
        assert np.abs(first - middle).mean() > 1.0

    @pytest.mark.parametrize(
        "scene", [s for s in SCENES if s.sound is not None], ids=lambda scene: scene.name
    )
    def test_are_audible_where_they_have_sound(self, scene: Scene) -> None:
        sound = clip_of(scene).sound
        assert sound is not None
        assert sound.shape[0] == (2 if scene.stereo else 1)
        assert 0.5 < np.abs(sound).max() <= 1.05, "neither quiet nor clipped"
        assert np.sqrt(np.mean(sound**2)) > 0.03

    def test_are_silent_in_one_case(self) -> None:
        assert [s.name for s in SCENES if clip_of(s).sound is None] == ["skyline"]

    def test_are_stored_lying_down_in_one_case(self) -> None:
        turned = [s.name for s in SCENES if clip_of(s).frames[0].rotation != 0]
        assert turned == ["workout"]
        frame = clip_of(BY_NAME["workout"]).frames[0]
        assert frame.width > frame.height

    def test_have_an_uneven_frame_rate_in_one_case(self) -> None:
        uneven = []
        for scene in SCENES:
            times = [frame.time for frame in clip_of(scene).frames]
            if np.ptp(np.diff(times)) > 0.05:
                uneven.append(scene.name)
        assert uneven == ["quiz"]

    def test_stand_upright_after_the_turn_that_the_file_asks_for(self) -> None:
        """The floor of the gym is light wood, its wall dark green: the floor must be below."""
        frame = clip_of(BY_NAME["workout"]).frames[0]
        # The decoder gives the turn counter-clockwise in degrees, as numpy's rot90 counts it.
        upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
        height = upright.shape[0]
        wall, floor = upright[height // 3, :8].mean(0), upright[-8:, :8].mean((0, 1))
        assert floor[0] > 150 > wall[0], "red: strong in wood, weak in green"

    def test_take_less_than_1_2_megabytes_together(self) -> None:
        assert sum(clip.path.stat().st_size for clip in _CLIPS.values()) < 1_200_000


def test_asking_where_the_sample_is_loads_no_heavy_library() -> None:
    probe = (
        "import sys; from ugc_tasks.sample import sample_home; sample_home();"
        "print(sorted({'av', 'numpy', 'PIL', 'soxr', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
