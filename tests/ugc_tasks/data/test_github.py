"""The files that only GitHub has come by digest, once, and the tasks find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import published
from tests.support.file_server import FileServer
from tests.support.published import GITHUB
from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.data.annotations import annotation
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import FILES, GITHUB_COMMIT, is_published

NAME = "BGM.json"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    published.install(monkeypatch)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with FileServer([(200, GITHUB[NAME])]).running() as running:
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", running.endpoint)
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.from_env({"UGC_VIDEOCAP_CACHE": str(tmp_path)})


def test_a_task_gets_the_file_at_the_pinned_commit_once(
    server: FileServer, home: Home, tmp_path: Path
) -> None:
    for _ in range(2):
        found = annotation(NAME, home)
        assert found.path == tmp_path / NAME
        assert found.source == "WPR001/UGC_VideoCaptioner@5f53538"
        assert found.path.read_bytes() == GITHUB[NAME]
    (asked,) = server.asked
    assert asked.endswith(f"/{GITHUB_COMMIT}/omni_bench_qa/benchmark_qa/{NAME}")


def test_another_file_is_not_kept(server: FileServer, home: Home, tmp_path: Path) -> None:
    server.answers = [(200, b"something else")]
    with pytest.raises(DataError, match=f"{NAME}: what was downloaded is not the file of WPR001"):
        annotation(NAME, home)
    assert not (tmp_path / NAME).exists()


def test_a_damaged_file_of_ours_is_fetched_again(
    server: FileServer, home: Home, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(GITHUB[NAME][:-1])
    assert annotation(NAME, home).path.read_bytes() == GITHUB[NAME]


def test_a_server_without_it_and_no_network_are_told_apart(
    server: FileServer, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [(404, b"")]
    with pytest.raises(DataError, match=r"could not be downloaded.*status 404; try again, or set"):
        annotation(NAME, home)
    server.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids downloading it"):
        annotation(NAME, home)
    assert not server.asked


def test_the_pinned_digests_are_those_of_the_published_files() -> None:
    folder = reference_dir() / "questions"
    pinned = [name for name, file in FILES.items() if file.sha256 is not None]
    assert len(pinned) == 9
    assert [name for name in pinned if not is_published(folder / name)] == []
