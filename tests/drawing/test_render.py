"""Rendering: a scene becomes a clip again, the same one each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from tests.drawing import speech
from tests.drawing.canvas import Canvas, blend
from tests.drawing.display_matrix import set_quarter_turns
from tests.drawing.render import main, render
from tests.drawing.scene import Scene, progress
from tests.drawing.scenes import SCENES
from tests.drawing.synth import RATE, Track, hertz, tone

BY_NAME = {scene.name: scene for scene in SCENES}


def first_seconds(name: str, seconds: float = 0.8) -> Scene:
    """The beginning of a scene's picture under its whole sound: quick to encode."""
    scene = BY_NAME[name]
    return replace(scene, frame_times=tuple(t for t in scene.times() if t < seconds))


def test_a_scene_renders_to_a_clip_that_decodes(tmp_path: Path) -> None:
    scene = first_seconds("rain")
    path = render(scene, tmp_path)
    assert path == tmp_path / f"{scene.video_id}.mp4"
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(scene.times(), abs=1e-3)
    drawn = Canvas(scene.size)
    scene.draw(drawn, 0.0)
    shown = frames[0].to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - drawn.pixels()).mean() < 12, "another picture than drawn"


@pytest.mark.skipif(not speech.can_speak(), reason="espeak-ng is not installed")
def test_a_scene_with_speech_renders_too(tmp_path: Path) -> None:
    path = render(first_seconds("quiz"), tmp_path)
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    assert sound.shape[1] / RATE == pytest.approx(8.0, abs=0.1)


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path) -> None:
    scene = first_seconds("dance")
    one, two = render(scene, tmp_path / "one"), render(scene, tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


def test_a_failure_keeps_the_clip_that_was_there(tmp_path: Path) -> None:
    scene = first_seconds("skyline")
    before = render(scene, tmp_path).read_bytes()

    def breaks_off(canvas: Canvas, time: float) -> None:
        raise ArithmeticError("the brush broke")

    with pytest.raises(ArithmeticError, match="the brush broke"):
        render(replace(scene, draw=breaks_off), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_without_espeak_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--out", str(tmp_path / "clips"), "--only", "workout"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("render: workout: espeak-ng is not installed")
    assert "Debian's package espeak-ng" in complaint
    assert not list((tmp_path / "clips").iterdir())


@pytest.mark.parametrize(("turns", "decoded"), [(0, 0), (1, -90), (2, 180), (3, 90)])
def test_a_turn_is_what_decoders_read(tmp_path: Path, turns: int, decoded: int) -> None:
    path = render(first_seconds("skyline", 0.2), tmp_path)
    set_quarter_turns(path, turns)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.rotation - decoded) % 360 == 0


def test_a_file_without_a_video_track_cannot_be_turned(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.write_bytes(b"\x00\x00\x00\x08moov")
    with pytest.raises(ValueError, match="no video track"):
        set_quarter_turns(path, 1)


def test_a_broken_box_is_reported_and_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\x00\x00\x00\x00moov" + bytes(16))
    with pytest.raises(ValueError, match="impossible size of 0"):
        set_quarter_turns(path, 1)


class TestSounds:
    @pytest.mark.parametrize(
        ("note", "pitch"), [("A4", 440.0), ("C4", 261.63), ("C#5", 554.37), ("Bb3", 233.08)]
    )
    def test_notes_have_their_concert_pitch(self, note: str, pitch: float) -> None:
        assert hertz(note) == pytest.approx(pitch, abs=0.01)

    def test_a_tone_is_at_its_frequency(self) -> None:
        spectrum = np.abs(np.fft.rfft(tone(1000.0, 1.0)))
        assert np.argmax(spectrum) == 1000  # a second long: one bin per hertz

    def test_a_track_cuts_what_reaches_beyond_its_end(self) -> None:
        track = Track(1.0)
        track.add(0.9, tone(440.0, 0.5))
        assert track.samples(stereo=False).shape == (1, RATE)

    def test_panning_moves_a_wave_to_one_side(self) -> None:
        track = Track(1.0)
        track.add(0.0, tone(440.0, 1.0), pan=-1.0)
        left, right = track.samples(stereo=True)
        assert np.abs(left).max() == pytest.approx(0.8)
        assert not right.any()

    def test_an_empty_track_is_refused(self) -> None:
        with pytest.raises(ValueError, match="silent"):
            Track(1.0).samples(stereo=True)


class TestPictures:
    def test_progress_eases_from_0_to_1_and_stays_there(self) -> None:
        assert [progress(t, 1.0, 3.0) for t in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0, 0, 0.5, 1, 1]

    def test_colours_mix_channel_by_channel(self) -> None:
        assert blend("#000000", "#ff8040", 0.5) == "#804020"

    def test_a_canvas_scales_its_units_to_the_clips_size(self) -> None:
        canvas = Canvas((180, 320))
        canvas.rectangle(0, 0, 360, 320, "#ff0000")
        pixels = canvas.pixels()
        assert pixels.shape == (320, 180, 3)
        assert (pixels[:158] == (255, 0, 0)).all()
        assert not pixels[162:].any()
