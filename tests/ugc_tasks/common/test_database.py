"""What is said of a place for an SQLite file before SQLite opens it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ugc_tasks.common.database import why_no_place

TakeLocks = Callable[[int], None]


@pytest.fixture
def no_lock(monkeypatch: pytest.MonkeyPatch) -> TakeLocks:
    """Let no lock be taken, for the reason given; to give one back goes well, as everywhere."""
    lockf = fcntl.lockf

    def decline_for(code: int) -> None:
        def decline(file: int, how: int, *rest: int) -> None:
            if how & (fcntl.LOCK_EX | fcntl.LOCK_SH):
                raise OSError(code, os.strerror(code))
            lockf(file, how, *rest)

        monkeypatch.setattr(fcntl, "lockf", decline)

    return decline_for


def test_folders_that_are_not_there_are_made(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "captions.sqlite3"
    assert why_no_place(path) is None
    assert path.parent.is_dir()
    assert not path.exists()


def test_a_file_that_is_empty_can_become_a_database(tmp_path: Path) -> None:
    path = tmp_path / "captions.sqlite3"
    path.touch()
    assert why_no_place(path) is None


def test_a_database_is_one(tmp_path: Path) -> None:
    path = tmp_path / "captions.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    assert why_no_place(path) is None


@pytest.mark.parametrize("there", [False, True])
def test_a_file_system_that_gives_no_locks_is_said_to_have_none(
    tmp_path: Path, no_lock: TakeLocks, there: bool
) -> None:
    path = tmp_path / "captions.sqlite3"
    if there:
        path.touch()
    no_lock(errno.ENOLCK)
    said = why_no_place(path)
    assert said is not None
    assert said.startswith("its file system has no locks (No locks available)")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EAGAIN])
def test_a_lock_that_somebody_has_is_one(tmp_path: Path, no_lock: TakeLocks, code: int) -> None:
    no_lock(code)
    assert why_no_place(tmp_path / "captions.sqlite3") is None


def test_what_cannot_be_found_out_is_left_to_sqlite() -> None:
    assert why_no_place(Path("/proc/captions.sqlite3")) is None


def test_a_folder_that_cannot_be_made_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert why_no_place(tmp_path / "file" / "folder" / "x.sqlite3") == "Not a directory"
    assert why_no_place(Path("/proc/folder/x.sqlite3")) == "No such file or directory"
