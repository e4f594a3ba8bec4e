"""A caption is on disk when it is put, under what made it, and what went wrong is not hidden."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from tests.support.no_locks import SUPPORTED, said_without_locks
from ugc_models.captions import Generation
from ugc_models.store import CaptionStore, CaptionStoreError, caption_key, default_path, open_store

MADE_OF = {"prompt": "Describe it.", "clip": "ab12", "sampling": {"temperature": 0.2}}
GENERATION = Generation(
    finish_reason="stop",
    prompt_tokens=812,
    output_tokens=45,
    frames=32,
    fps=1.25,
    size=(224, 420),
    seconds=24.8,
    sound_seconds=24.8,
    flags=("repetition",),
    decoding="default: 32 frames",
)

# As stores were made when they had no application id: what is on users' disks.
OLD = """
CREATE TABLE captions (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, generation TEXT NOT NULL, made_of TEXT NOT NULL,
    made_at REAL NOT NULL
);
CREATE TABLE files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL
);
PRAGMA user_version=1
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaptionStore]:
    store = CaptionStore(tmp_path / "captions.sqlite3")
    yield store
    store.close()


class TestKeeping:
    def test_a_caption_comes_back_as_it_was(self, store: CaptionStore) -> None:
        key = caption_key(MADE_OF)
        store.put(key, MADE_OF, 'He says "hé!" \N{DOG FACE}\n', GENERATION)
        assert store.get(key) == ('He says "hé!" \N{DOG FACE}\n', GENERATION)

    def test_what_was_never_made_is_not_there(self, store: CaptionStore) -> None:
        assert store.get(caption_key(MADE_OF)) is None

    def test_the_first_of_two_stays(self, store: CaptionStore) -> None:
        store.put("k", MADE_OF, "first", GENERATION)
        store.put("k", MADE_OF, "second", GENERATION)
        assert store.get("k") == ("first", GENERATION)

    def test_a_process_that_is_killed_after_putting_has_put(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.sqlite3"
        program = f"""
import os, signal
from pathlib import Path
from ugc_models.captions import Generation
from ugc_models.store import CaptionStore
CaptionStore(Path({str(path)!r})).put("k", {{}}, "made", Generation())
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
        assert done.returncode < 0
        assert open_store(str(path)).get("k") == ("made", Generation())  # type: ignore[union-attr]

    def test_what_is_being_written_is_read_when_it_is_on_disk(self, store: CaptionStore) -> None:
        begun, go_on = threading.Event(), threading.Event()

        class Slow(str):
            def encode(self, *arguments: str) -> bytes:
                begun.set()
                assert go_on.wait(60)
                return super().encode(*arguments)

        with ThreadPoolExecutor(2) as threads:
            threads.submit(store.put, "k", MADE_OF, Slow("made"), GENERATION)
            assert begun.wait(60)
            read = threads.submit(store.get, "k")
            too_early = wait([read], timeout=0.2).done
            go_on.set()
            assert not too_early
            assert read.result(60) == ("made", GENERATION)

    def test_many_threads_and_two_stores_on_one_file_lose_nothing(self, tmp_path: Path) -> None:
        stores = [CaptionStore(tmp_path / "captions.sqlite3") for _ in range(2)]
        with ThreadPoolExecutor(8) as threads:
            for n in range(40):
                threads.submit(stores[n % 2].put, str(n), {}, f"caption {n}", GENERATION)
        found = [stores[0].get(str(n)) for n in range(40)]
        assert found == [(f"caption {n}", GENERATION) for n in range(40)]


class TestTheKey:
    def test_is_that_of_the_captions_which_are_on_users_disks(self) -> None:
        """Whoever changes this has every stored caption made anew."""
        made_of = {
            **{"prompt": "Describe it.", "clip": "ab12", "model": Path("tiny"), "reading": 2},
            **{"sampling": {"temperature": 0.2, "seed": 42}, "sound": True, "frames": None},
        }
        assert caption_key(made_of) == (
            "de7a981c5650e6f058515c80cb9447b6a70bff764e94fa2cb5d455d742aacba6"
        )

    def test_does_not_depend_on_the_order_of_names(self) -> None:
        assert caption_key(MADE_OF) == caption_key(dict(reversed(MADE_OF.items())))

    @pytest.mark.parametrize(
        "other",
        [
            {**MADE_OF, "prompt": "Describe it!"},
            {**MADE_OF, "clip": "ab13"},
            {**MADE_OF, "sampling": {"temperature": 0.3}},
            {**MADE_OF, "model": "another"},
        ],
    )
    def test_depends_on_all_that_made_it(self, other: dict[str, object]) -> None:
        assert caption_key(other) != caption_key(MADE_OF)


class TestDigests:
    def test_are_of_the_content_and_not_of_the_name(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        for name, content in (("a", b"clip"), ("b", b"clip"), ("c", b"clop")):
            (tmp_path / name).write_bytes(content)
        a, b, c = (store.digest(tmp_path / name) for name in "abc")
        assert a == b != c

    def test_follow_a_file_that_changes_at_once_and_keeps_its_size(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"before")
        before = store.digest(file)
        file.write_bytes(b"behind")
        assert store.digest(file) != before

    def test_follow_a_change_that_leaves_size_and_time_as_they_were_a_moment_ago(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        """Clocks of file systems are coarse: two writes in one tick have the same time."""
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"before")
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        before = store.digest(file)
        file.write_bytes(b"behind")
        os.utime(file, ns=times)
        assert store.digest(file) != before

    @pytest.mark.parametrize(
        ("content", "later"), [(b"behind", 1), (b"longer than before", 0), (b"short", 0)]
    )
    def test_follow_a_change_of_the_size_alone_and_of_the_time_alone(
        self, store: CaptionStore, tmp_path: Path, content: bytes, later: int
    ) -> None:
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"before")
        os.utime(file, (1e9, 1e9))
        before = store.digest(file)
        file.write_bytes(content)
        os.utime(file, (1e9 + later, 1e9 + later))
        assert store.digest(file) == hashlib.sha256(content).hexdigest() != before

    def test_follow_a_link_that_is_laid_to_another_file_of_the_same_size_and_time(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        link = tmp_path / "clip.mp4"
        for content in (b"before", b"behind"):
            file = tmp_path / content.decode()
            file.write_bytes(content)
            os.utime(file, (1e9, 1e9))
            link.unlink(missing_ok=True)
            link.symlink_to(file)
            assert store.digest(link) == hashlib.sha256(content).hexdigest()

    @pytest.mark.parametrize(("seconds", "followed"), [(1.9, True), (2.1, False)])
    def test_are_looked_at_again_for_two_seconds_after_a_change(
        self,
        store: CaptionStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        seconds: float,
        followed: bool,
    ) -> None:
        """A file system may tell times to two seconds only."""
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"before")
        os.utime(file, (1e9, 1e9))
        with monkeypatch.context() as clock:
            clock.setattr(time, "time_ns", lambda: round((1e9 + seconds) * 1e9))
            before = store.digest(file)
            file.write_bytes(b"behind")
            os.utime(file, (1e9, 1e9))
            assert (store.digest(file) != before) == followed

    def test_are_computed_once_for_a_file_that_stays(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"before")
        long_ago = time.time() - 3600
        os.utime(file, (long_ago, long_ago))
        before = store.digest(file)
        file.write_bytes(b"behind")  # the same size, and the same time by force
        os.utime(file, (long_ago, long_ago))
        assert store.digest(file) == before


class TestItsPlace:
    @pytest.mark.parametrize("word", ["none", "None", "NONE"])
    def test_none_is_no_store(self, word: str) -> None:
        assert open_store(word) is None

    def test_a_folder_holds_it_under_its_own_name(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        assert store is not None
        assert store.path == tmp_path / "captions.sqlite3"

    def test_a_file_may_lie_in_folders_that_are_not_there_yet(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path / "runs" / "7" / "c.db"))
        assert store is not None
        assert store.path.is_file()

    def test_without_a_place_it_is_in_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path))
        assert default_path() == tmp_path / "captions.sqlite3"

    @pytest.mark.parametrize("named", [None, ""])
    def test_which_is_the_user_s_where_none_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.delenv("UGC_VIDEOCAP_CACHE")
        if named is not None:
            monkeypatch.setenv("UGC_VIDEOCAP_CACHE", named)
        assert default_path() == tmp_path / "ugc-videocap" / "captions.sqlite3"


class TestTrouble:
    def test_another_file_is_not_taken_for_a_store(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("my notes\n" * 200)
        with pytest.raises(
            CaptionStoreError, match=r"notes\.txt cannot be opened .*is not another program's file"
        ):
            CaptionStore(path)
        assert path.read_text() == "my notes\n" * 200

    @pytest.mark.parametrize("layout", [0, 99])
    def test_a_store_of_another_version_is_left_alone(self, tmp_path: Path, layout: int) -> None:
        path = tmp_path / "captions.sqlite3"
        with sqlite3.connect(path) as file:
            file.execute(f"PRAGMA user_version={layout}")
            file.execute("PRAGMA application_id=1430733648")
        said = rf"layout {layout}, this one knows 1\); name another"
        with pytest.raises(CaptionStoreError, match=said):
            CaptionStore(path)

    def test_a_full_disk_is_named_and_what_was_kept_stays(self, store: CaptionStore) -> None:
        store.put("k", MADE_OF, "kept", GENERATION)
        pages = store._file.execute("PRAGMA page_count").fetchone()[0]
        store._file.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(CaptionStoreError, match=r"full.*make room on its disk and run"):
            store.put("l", MADE_OF, "x" * 100_000, GENERATION)
        assert store.get("k") == ("kept", GENERATION)
        assert store.get("l") is None
        store._file.execute("PRAGMA max_page_count=100000")
        store.put("l", MADE_OF, "x" * 100_000, GENERATION)
        assert store.get("l") == ("x" * 100_000, GENERATION)

    def test_a_put_that_breaks_off_leaves_the_store_as_it_was_and_open_to_all(
        self, store: CaptionStore
    ) -> None:
        """A second Ctrl-C, say: it comes anywhere."""

        class Interrupting:
            def __str__(self) -> str:
                raise KeyboardInterrupt

        store.put("k", MADE_OF, "kept", GENERATION)
        with pytest.raises(KeyboardInterrupt):
            store.put("l", {"model": Interrupting()}, "never made", GENERATION)
        assert store.get("l") is None
        other = sqlite3.connect(store.path, isolation_level=None, timeout=0)
        other.execute("BEGIN IMMEDIATE")  # it holds no lock
        other.close()
        store.put("l", MADE_OF, "made", GENERATION)
        assert [store.get(key) for key in "kl"] == [("kept", GENERATION), ("made", GENERATION)]

    def test_another_process_that_writes_is_waited_for_a_minute(self, store: CaptionStore) -> None:
        assert store._file.execute("PRAGMA busy_timeout").fetchone() == (60_000,)

    def test_a_folder_that_may_not_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CaptionStoreError, match=r"cannot be used: Not a directory.*store="):
            CaptionStore(tmp_path / "file" / "captions.sqlite3")

    def test_a_store_that_another_program_holds_is_said_to_be(self, store: CaptionStore) -> None:
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store._file.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(CaptionStoreError, match="another process holds it"):
            store.put("k", MADE_OF, "caption", GENERATION)
        other.close()

    def test_a_store_whose_end_is_missing_is_one_sentence(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.sqlite3"
        store = CaptionStore(path)
        for n in range(50):
            store.put(str(n), {}, "x" * 1000, GENERATION)
        store.close()
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CaptionStoreError, match="malformed"):
            half = CaptionStore(path)
            for n in range(50):
                half.get(str(n))

    @pytest.mark.skipif(not SUPPORTED, reason="locks cannot be taken away on this machine")
    @pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_file_system_without_locks_is_said_to_be_one(self, tmp_path: Path, code: int) -> None:
        """And not to be locked by another program, after a minute."""
        program = f"""
from ugc_models.store import CaptionStoreError, open_store
try:
    open_store({str(tmp_path / "captions.sqlite3")!r})
except CaptionStoreError as error:
    print(error)
"""
        assert said_without_locks(program, code) == (
            f"the answer store {tmp_path}/captions.sqlite3 cannot be used: its file system has no "
            f"locks ({os.strerror(code)}), without which two programs can spoil it; name another "
            "file with store=\n"
        )


class TestWhatIsNoPlace:
    @pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "FILE:m?cache=shared"])
    def test_memory_keeps_nothing_and_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(CaptionStoreError, match=r"is lost; name another file with store="):
            open_store(name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("pipe", "a device or a pipe"), ("/dev/null", "a device or a pipe"),
            ("x" * 300, "File name too long"), ("a\0b", "null"), ("one", "not a database"),
            ("short", "not a database"), ("longer", "not a database"),
            ("~nobody-of-that-name/c", "home directory"),
        ],
    )  # fmt: skip
    def test_a_place_for_no_database_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "one").write_text("1")
        (tmp_path / "short").write_text("my notes")
        (tmp_path / "longer").write_text("my notes\n" * 11)
        with pytest.raises(CaptionStoreError, match=f"cannot be used: .*{said}") as caught:
            open_store(name)
        assert "\n" not in str(caught.value)
        assert (tmp_path / "one").read_text() == "1"

    def test_a_name_with_escapes_forges_no_line(self, tmp_path: Path) -> None:
        (tmp_path / "a\n\x1b[2Jb").mkdir()
        with pytest.raises(CaptionStoreError) as caught:
            CaptionStore(tmp_path / "a\n\x1b[2Jb")
        assert r"a \x1b[2Jb cannot be used" in str(caught.value)

    def test_a_table_with_escapes_in_its_name_forges_none_either(self, tmp_path: Path) -> None:
        """SQLite repeats what it finds in a file."""
        path = tmp_path / "captions.sqlite3"
        other = sqlite3.connect(path)
        other.execute('CREATE TABLE "a\n\x1b[2Jb" (x)')
        other.execute("PRAGMA writable_schema=ON")
        other.execute("UPDATE sqlite_master SET sql = 'CREATE nothing'")
        other.commit()
        other.close()
        with pytest.raises(CaptionStoreError) as caught:
            CaptionStore(path)
        assert r"a \x1b[2Jb" in str(caught.value)
        assert str(caught.value).isprintable()


class TestOtherPrograms:
    @pytest.mark.parametrize(
        "made",
        [
            "CREATE TABLE theirs (x)",
            "PRAGMA application_id=1430735428; CREATE TABLE reply (x)",
            "PRAGMA application_id=7",
            "PRAGMA user_version=1",
            "PRAGMA user_version=1; PRAGMA application_id=1430733648",
            "PRAGMA user_version=1; PRAGMA application_id=1430733648; CREATE TABLE captions (key)",
            "PRAGMA user_version=1; CREATE TABLE captions (id, body); CREATE TABLE files (id)",
            f"{OLD}; CREATE TABLE theirs (x)",
            f"{OLD}; CREATE TRIGGER t AFTER INSERT ON captions BEGIN SELECT 1; END",
            f"{OLD}; CREATE VIEW v AS SELECT 1; PRAGMA application_id=1430733648",
        ],
    )
    def test_a_database_that_is_not_ours_is_left_as_it_is(self, tmp_path: Path, made: str) -> None:
        path = tmp_path / "other.sqlite3"
        other = sqlite3.connect(path)
        other.executescript(made)
        other.close()
        before = path.read_bytes()
        with pytest.raises(CaptionStoreError, match=r"another program's database; name another"):
            CaptionStore(path)
        assert path.read_bytes() == before

    def test_a_store_that_somebody_has_analyzed_is_still_one(self, store: CaptionStore) -> None:
        """SQLite's own statistics are a further table."""
        store.put("k", MADE_OF, "made", GENERATION)
        with sqlite3.connect(store.path) as other:
            other.execute("ANALYZE")
        again = CaptionStore(store.path)
        assert again.get("k") == ("made", GENERATION)
        again.close()

    def test_several_that_open_a_new_file_at_once_make_one_store(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.sqlite3"
        with ThreadPoolExecutor(6) as threads:
            stores = list(threads.map(lambda _: CaptionStore(path), range(6)))
        stores[0].put("k", MADE_OF, "made", GENERATION)
        assert [store.get("k") for store in stores] == [("made", GENERATION)] * 6


class TestWhatSomebodyHasChanged:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("text", b"\xff\xfe"), ("text", b"caption"), ("generation", ""), ("generation", "5"),
            ("generation", "[]"), ("generation", "null"), ("generation", "{"),
            ("generation", b"\xff"), ("generation", "[" * 100_000),
            ("generation", '{"frames": "many"}'), ("generation", '{"frames": -1}'),
            ("generation", '{"frames": true}'), ("generation", '{"frames": 1' + "0" * 5000 + "}"),
            ("generation", '{"fps": NaN}'), ("generation", '{"fps": Infinity}'),
            ("generation", '{"prompt_tokens": 1e300}'), ("generation", f'{{"frames": {1 << 53}}}'),
            ("generation", '{"output_tokens": [1]}'),
            ("generation", '{"sound_seconds": null}'), ("generation", '{"sound_seconds": -1}'),
            ("generation", '{"frames_dropped": "0"}'), ("generation", '{"seconds": "1"}'),
            ("generation", '{"size": 5}'), ("generation", '{"size": [1]}'),
            ("generation", '{"size": [1, "2"]}'), ("generation", '{"flags": 5}'),
            ("generation", '{"flags": [5]}'), ("generation", '{"finish_reason": 7}'),
            ("generation", '{"decoding": {}}'), ("generation", '{"sound_missing": 1}'),
            ("generation", '{"stored": "yes"}'), ("generation", '{"error": "it failed"}'),
        ],
    )  # fmt: skip
    def test_is_ignored_with_a_line_and_made_anew(
        self,
        store: CaptionStore,
        caplog: pytest.LogCaptureFixture,
        column: str,
        value: str | bytes,
    ) -> None:
        for key in ("k", "l", "m"):
            store.put(key, MADE_OF, "caption", GENERATION)
        with sqlite3.connect(store.path) as file:
            file.execute(f"UPDATE captions SET {column} = ? WHERE key != 'm'", (value,))  # noqa: S608
        assert [store.get(key) for key in "klkm"] == [None, None, None, ("caption", GENERATION)]
        assert caplog.text.count("answers in") == 1
        assert f"answers in {store.path} that are not as this program writes" in caplog.text
        store.put("k", MADE_OF, "made anew", GENERATION)
        assert store.get("k") == ("made anew", GENERATION)

    def test_a_digest_of_another_size_or_time_is_computed_again(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        file = tmp_path / "clip.mp4"
        file.write_bytes(b"clip")
        os.utime(file, (1e9, 1e9))
        before = store.digest(file)
        assert before == hashlib.sha256(b"clip").hexdigest()
        with sqlite3.connect(store.path) as other:
            other.execute("UPDATE files SET size = 'x', modified = 'y', digest = 'z'")
        assert store.digest(file) == before


class TestTextThatIsNone:
    def test_lone_surrogates_are_kept_as_question_marks(self, store: CaptionStore) -> None:
        store.put("k", {"prompt": "\udc80"}, "half \ud800 a pair \N{DOG FACE}", GENERATION)
        assert store.get("k") == ("half ? a pair \N{DOG FACE}", GENERATION)

    def test_a_file_name_that_is_not_unicode_is_digested_like_any_other(
        self, store: CaptionStore, tmp_path: Path
    ) -> None:
        names = [os.fsencode(tmp_path) + name for name in (b"/\xff.mp4", b"/\xfe.mp4")]
        digests = []
        for name in [*names, *names]:
            file = Path(os.fsdecode(name))
            if not file.exists():
                file.write_bytes(name)
                os.utime(file, (1e9, 1e9))
            digests.append(store.digest(file))
        assert digests == [hashlib.sha256(name).hexdigest() for name in names] * 2


class TestDurability:
    def test_a_caption_is_on_the_disk_and_not_only_with_the_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            opened.append(connect(*arguments, **options))
            return opened[-1]

        monkeypatch.setattr(sqlite3, "connect", watched)
        store = CaptionStore(tmp_path / "captions.sqlite3")
        store.put("k", MADE_OF, "caption", GENERATION)
        (connection,) = opened
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,), "EXTRA"
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert not connection.in_transaction
