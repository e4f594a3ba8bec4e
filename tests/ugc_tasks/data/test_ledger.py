"""What was tried is remembered, in one file that several runs may share."""

from __future__ import annotations

import errno
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.no_locks import SUPPORTED, said_without_locks
from ugc_tasks.common.files import DataError
from ugc_tasks.data.ledger import Dead, Ledger

GONE = Dead("https://a.example/1", "gone", "the server answered with status 404")


def test_a_dead_link_is_remembered_until_it_lives(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.dead("PI-1") is None
        ledger.note_dead("PI-1", GONE)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.dead("PI-1") == GONE
        ledger.forget_dead("PI-1")
        assert ledger.dead("PI-1") is None


def test_a_check_holds_for_the_file_as_it_was(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"first")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.checked(clip) == (False, None)
        ledger.note_checked(clip, "it has no picture")
        assert ledger.checked(clip) == (True, "it has no picture")
        os.utime(clip, ns=(0, clip.stat().st_mtime_ns + 1))
        assert ledger.checked(clip) == (False, None)
        ledger.note_checked(clip, None)
        assert ledger.checked(clip) == (True, None)
        clip.write_bytes(b"longer than the first")
        assert ledger.checked(clip) == (False, None)
        ledger.note_checked(clip, None)
        as_it_was = clip.stat().st_mtime_ns
        clip.write_bytes(b"of another length, though no younger")
        os.utime(clip, ns=(as_it_was, as_it_was))
        assert ledger.checked(clip) == (False, None)
        clip.unlink()
        with pytest.raises(FileNotFoundError):
            ledger.checked(clip)


def test_many_write_at_once(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "ledger") as one,
        Ledger(tmp_path / "ledger") as other,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda n: (one, other)[n % 2].note_dead(f"PI-{n}", GONE), range(40)))
        assert all(one.dead(f"PI-{n}") for n in range(40))


def test_without_a_file_it_lasts_as_long_as_the_run() -> None:
    with Ledger(None) as ledger:
        ledger.note_dead("PI-1", GONE)
        assert ledger.dead("PI-1") == GONE


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("my notes, longer than a header of a database file is")
    with pytest.raises(DataError, match=r"cannot be used.*it only remembers what was tried"):
        Ledger(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as database:
        database.execute("PRAGMA application_id = 7")
        database.execute("CREATE TABLE mine (a)")
    with pytest.raises(DataError, match="another program's database"):
        Ledger(tmp_path / "other")
    with pytest.raises(DataError, match="cannot be used"):
        Ledger(tmp_path / "text" / "in a file")
    assert sqlite3.connect(tmp_path / "other").execute("SELECT name FROM sqlite_master").fetchall()


def test_a_ledger_of_an_earlier_version_is_known_by_its_id(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()
    with sqlite3.connect(tmp_path / "ledger") as database:
        (found,) = database.execute("PRAGMA application_id").fetchone()
    assert found == int.from_bytes(b"UGLD"), "of another id, it would be another program's"


def test_a_database_without_an_id_that_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "other")
    database.execute("CREATE TABLE downloads (url)")
    database.close()
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(DataError, match="another program's database"):
        Ledger(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == before


def test_what_is_no_text_is_remembered_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"clips \xff")
    folder.mkdir()
    clip = folder / "PI-1.mp4"
    clip.write_bytes(b"clip")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.note_checked(clip, "it says \ud800")
        assert ledger.checked(clip) == (True, "it says \\ud800")
        assert ledger.checked(tmp_path / "ledger") == (False, None)


def test_of_a_clip_the_last_word_counts(tmp_path: Path) -> None:
    broken = Dead("https://a.example/2", "broken", "it has no picture")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.note_dead("PI-1", GONE)
        ledger.note_dead("PI-1", broken)
        ledger.note_dead("PI-2", GONE)
        ledger.forget_dead("PI-2")
        assert (ledger.dead("PI-1"), ledger.dead("PI-2")) == (broken, None)


def test_rows_that_somebody_has_changed_are_not_known(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"first")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.note_checked(clip, None)
        ledger.note_dead("PI-1", GONE)
        with sqlite3.connect(tmp_path / "ledger") as other:
            other.execute("UPDATE checked SET fault = x'ff'")
            other.execute("UPDATE dead SET reason = x'ff'")
        assert ledger.checked(clip) == (False, None)
        assert ledger.dead("PI-1") is None


@pytest.mark.skipif(not SUPPORTED, reason="locks cannot be taken away on this machine")
def test_where_there_are_no_locks_it_lasts_as_long_as_the_run(tmp_path: Path) -> None:
    program = f"""
import logging, sys
from pathlib import Path
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from ugc_tasks.data.ledger import Dead, Ledger
with Ledger(Path({str(tmp_path / "ledger")!r})) as ledger:
    ledger.note_dead("PI-1", Dead("l", "gone", "r"))
    print(ledger.dead("PI-1"))
"""
    warning, dead = said_without_locks(program, errno.ENOLCK).splitlines()
    assert "ledger is not kept, because its file system has no locks (No locks" in warning
    assert dead == "Dead(link='l', kind='gone', reason='r')"
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_name_looks_like_an_address_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("file:x?mode=memory&y=")
    folder.mkdir()
    with Ledger(folder / "ledger") as ledger:
        ledger.note_dead("PI-1", GONE)
    assert (folder / "ledger").is_file()
