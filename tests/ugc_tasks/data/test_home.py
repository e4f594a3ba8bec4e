"""Where a run finds its things, and which clips are there, before anything costs time."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Coverage, Home, clip_file, find_videos, require_videos


def test_without_any_setting_all_is_in_the_users_cache_folder() -> None:
    home = Home.from_env({})
    assert home.root is None
    assert home.cache.name == "ugc-videocap"
    assert home.videos == home.cache / "videos"
    assert not home.allow_partial


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for home in ("relative", None):
        if home is None:
            monkeypatch.delenv("HOME", raising=False)
        else:
            monkeypatch.setenv("HOME", home)
        with pytest.raises(DataError, match="no folder for a cache is known: set UGC_VIDEOCAP_C"):
            Home.from_env({})


def test_a_home_has_the_clips_beside_its_annotations(tmp_path: Path) -> None:
    home = Home.from_env({"UGC_VIDEOCAP_HOME": str(tmp_path)})
    assert (home.root, home.videos) == (tmp_path, tmp_path / "videos")
    assert home.cache != tmp_path, "a user's folder is read, not written"


def test_clips_and_cache_may_be_elsewhere(tmp_path: Path) -> None:
    home = Home.from_env(
        {
            "UGC_VIDEOCAP_HOME": str(tmp_path),
            "UGC_VIDEOCAP_VIDEOS": "/clips",
            "UGC_VIDEOCAP_CACHE": "/kept",
        }
    )
    assert (home.videos, home.cache) == (Path("/clips"), Path("/kept"))


def test_paths_are_absolute_and_know_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    home = Home.from_env({"UGC_VIDEOCAP_VIDEOS": "~/clips", "UGC_VIDEOCAP_CACHE": "kept"})
    assert home.videos == Path("/somebody/clips")
    assert home.cache == Path.cwd() / "kept"


def test_an_empty_value_counts_as_none() -> None:
    blank = {"UGC_VIDEOCAP_HOME": "", "UGC_VIDEOCAP_VIDEOS": " ", "UGC_VIDEOCAP_CACHE": ""}
    assert Home.from_env(blank) == Home.from_env({})


def test_a_home_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(DataError, match=f"UGC_VIDEOCAP_HOME={wrong} is not a folder"):
            Home.from_env({"UGC_VIDEOCAP_HOME": str(wrong)})


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("1", True), ("true", True), (" YES ", True), ("0", False), ("", False), ("no", False)],
)
def test_a_partial_run_is_allowed_in_so_many_words(value: str, allowed: bool) -> None:
    assert Home.from_env({"UGC_VIDEOCAP_ALLOW_PARTIAL": value}).allow_partial is allowed


def test_a_cache_that_would_depend_on_where_a_run_is_started_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As older versions of platformdirs have it where HOME is relative."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("relative", "cache"))
    with pytest.raises(DataError, match="no folder for a cache is known"):
        Home.from_env({})


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
