"""A caption is on disk when it is put, under what made it, and what went wrong is not hidden."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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

    def test_many_threads_and_two_stores_on_one_file_lose_nothing(self, tmp_path: Path) -> None:
        stores = [CaptionStore(tmp_path / "captions.sqlite3") for _ in range(2)]
        with ThreadPoolExecutor(8) as threads:
            for n in range(40):
                threads.submit(stores[n % 2].put, str(n), {}, f"caption {n}", GENERATION)
        found = [stores[0].get(str(n)) for n in range(40)]
        assert found == [(f"caption {n}", GENERATION) for n in range(40)]


class TestTheKey:
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
    def test_none_is_no_store(self) -> None:
        assert open_store("none") is None

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


class TestTrouble:
    def test_another_file_is_not_taken_for_a_store(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("my notes\n" * 200)
        with pytest.raises(CaptionStoreError, match=r"notes\.txt cannot be opened .*is no other"):
            CaptionStore(path)
        assert path.read_text() == "my notes\n" * 200

    def test_a_store_of_another_version_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.sqlite3"
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version=99")
        with pytest.raises(CaptionStoreError, match=r"layout 99, this one knows 1\): name another"):
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

    def test_a_folder_that_may_not_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CaptionStoreError, match="cannot be opened"):
            CaptionStore(tmp_path / "file" / "captions.sqlite3")
