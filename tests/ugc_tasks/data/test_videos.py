"""Which clips are there is known, and said, before anything costs time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.data.videos import Coverage, clip_file, find_videos, require_videos


def coverage(present: int, missing: int) -> Coverage:
    return Coverage(
        Path("/clips"),
        tuple(f"there-{i}" for i in range(present)),
        tuple(f"gone-{i}" for i in range(missing)),
    )


def test_clips_are_told_apart_in_the_order_asked_for(tmp_path: Path) -> None:
    for name in ("c", "a"):
        (tmp_path / f"{name}.mp4").write_bytes(b"clip")
    found = find_videos(tmp_path, ["c", "b", "a", "d"])
    assert found == Coverage(tmp_path, ("c", "a"), ("b", "d"))


def test_an_interrupted_copy_a_folder_and_a_dangling_link_are_missing(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert find_videos(tmp_path, ["empty", "folder", "link"]).present == ()


def test_a_folder_that_is_not_there_has_no_clips(tmp_path: Path) -> None:
    assert find_videos(tmp_path / "absent", ["a"]).missing == ("a",)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_one_missing_clip_decides_and_none_passes(allow_partial: bool) -> None:
    require_videos(coverage(3, 0), allow_partial=allow_partial)
    with pytest.raises(DataError, match="1 of 1 clips are missing"):
        require_videos(coverage(0, 1), allow_partial=allow_partial)


def test_missing_clips_are_counted_and_named_with_the_folder_and_the_ways_out() -> None:
    with pytest.raises(DataError) as caught:
        require_videos(coverage(5, 2), allow_partial=False)
    said = str(caught.value)
    assert said.startswith("2 of 7 clips are missing in /clips: gone-0, gone-1. ")
    assert "UGC_VIDEOCAP_VIDEOS" in said
    assert "UGC_VIDEOCAP_ALLOW_PARTIAL=1" in said


def test_many_missing_clips_are_not_all_named() -> None:
    with pytest.raises(DataError, match=r"gone-9 and 989 more\.") as caught:
        require_videos(coverage(1, 999), allow_partial=False)
    assert "gone-10" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_partial_set_passes_only_where_that_is_allowed() -> None:
    require_videos(coverage(1, 999), allow_partial=True)
    with pytest.raises(DataError, match="999 of 1000 clips are missing"):
        require_videos(coverage(1, 999), allow_partial=False)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_no_clip_at_all_is_never_a_run(allow_partial: bool) -> None:
    with pytest.raises(DataError, match="3 of 3 clips are missing") as caught:
        require_videos(coverage(0, 3), allow_partial=allow_partial)
    assert "ALLOW_PARTIAL" not in str(caught.value), "it would be no way out"


@pytest.mark.parametrize("name", ["PI-1a.MP4", "PI-1A.mp4", "pi-1a.Mp4"])
def test_a_clip_is_found_in_whatever_case_its_name_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"clip")
    assert find_videos(tmp_path, ["PI-1a", "PI-2"]) == Coverage(tmp_path, ("PI-1a",), ("PI-2",))
    assert clip_file(tmp_path, "PI-1a") == tmp_path / name
    (tmp_path / "PI-1a.mp4").write_bytes(b"clip")
    assert clip_file(tmp_path, "PI-1a") == tmp_path / "PI-1a.mp4", "its own name comes first"


def test_where_no_clip_is_found_a_file_and_an_id_are_shown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b\x1b[2J.mp4").write_bytes(b"clip")
    (tmp_path / "c.mp4").write_bytes(b"clip")
    with pytest.raises(DataError) as caught:
        require_videos(find_videos(tmp_path, ["PI-1"]), allow_partial=True)
    assert f"missing in {tmp_path}: PI-1. It has b\\x1b[2J.mp4, for example, " in str(caught.value)
    (tmp_path / "PI-1.mp4").write_bytes(b"clip")
    with pytest.raises(DataError) as caught:
        require_videos(find_videos(tmp_path, ["PI-1", "PI-2"]), allow_partial=False)
    assert "for example" not in str(caught.value)
