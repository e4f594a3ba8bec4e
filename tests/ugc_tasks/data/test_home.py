"""Where a run finds its things, from the environment."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home


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
