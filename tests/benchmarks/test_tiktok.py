"""The clips of the measurements from end to end."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tiktok import LENGTHS, linked, tiktok_shapes


def test_tiktok_clips_are_portrait_and_of_the_mean_length_asked_for() -> None:
    shapes = tiktok_shapes(24.0)
    assert {(shape.width, shape.height, shape.fps) for shape in shapes} == {(1080, 1920, 30)}
    assert sum(shape.seconds for shape in shapes) / len(shapes) == 24.0


def test_every_clip_has_a_length_and_a_picture_of_its_own() -> None:
    shapes = tiktok_shapes(17.0)
    assert sorted(shape.seconds for shape in shapes) == [10.0 + at for at in range(LENGTHS)]
    assert len({shape.seed for shape in shapes}) == LENGTHS


def test_every_fourth_of_four_rounds_of_clips_is_each_length_once() -> None:
    shapes = tiktok_shapes(17.0) * 4
    assert sorted(shape.seconds for shape in shapes[::4]) == [10.0 + at for at in range(LENGTHS)]


def test_one_clip_gets_many_names(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"a clip")
    folder = tmp_path / "links"
    folder.mkdir()
    names = linked(clip, folder, 12)
    assert len(set(names)) == 12
    assert {name.read_bytes() for name in names} == {b"a clip"}
