"""A download is bounded, tried again where that may help, and kept whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.file_server import FileServer
from ugc_tasks.data.fetch import FetchError, fetch, keep


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer([(200, b"content")]).running() as running:
        yield running


def get(server: FileServer, path: str = "/file") -> bytes:
    return fetch(server.endpoint + path, most_bytes=1 << 16, backoff=0.01)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_recovers_is_asked_again(server: FileServer, status: int) -> None:
    server.answers = [(status, b""), (status, b""), (200, b"content")]
    assert get(server) == b"content"
    assert server.asked == ["/file"] * 3


def test_a_server_that_does_not_recover_is_given_up(server: FileServer) -> None:
    server.answers = [(503, b"")]
    with pytest.raises(FetchError, match="answered with status 503"):
        get(server)
    assert len(server.asked) == 4


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_asked_again(server: FileServer, status: int) -> None:
    server.answers = [(status, b"")]
    with pytest.raises(FetchError, match=str(status)):
        get(server)
    assert len(server.asked) == 1


def test_a_broken_transfer_is_asked_again(server: FileServer) -> None:
    server.headers = {"Content-Length": "1000"}
    with pytest.raises(FetchError, match="the connection failed"):
        get(server)
    assert len(server.asked) == 4


def test_no_connection_is_said_in_a_clause(server: FileServer) -> None:
    with FileServer([]).running() as gone:
        pass
    with pytest.raises(FetchError, match=r"^the connection failed \(ConnectError\)$"):
        get(gone)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "nowhere", "http://"])
def test_only_web_addresses_are_fetched(url: str) -> None:
    # At once: waiting would not make a server of it.
    with pytest.raises(FetchError, match="the connection failed"):
        fetch(url, most_bytes=10, backoff=30)


def test_a_password_in_the_address_is_not_repeated(server: FileServer) -> None:
    server.answers = [(404, b"")]
    address = server.endpoint.replace("http://", "http://user:hunter2@")
    with pytest.raises(FetchError) as caught:
        fetch(f"{address}/file", most_bytes=10)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_endless_answer_is_cut_short(server: FileServer) -> None:
    server.answers = [(200, b"#" * (1 << 16)), (200, b"#" * ((1 << 16) + 1))]
    assert len(get(server)) == 1 << 16
    with pytest.raises(FetchError, match="larger than 65536 bytes"):
        get(server)


def test_a_file_is_kept_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    keep(path, b"first")
    keep(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_kept_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(OSError, match="directory"):
        keep(tmp_path / "file.txt", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
