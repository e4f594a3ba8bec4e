"""A download is bounded, tried again where that may help, and kept whole or not at all."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.file_server import FileServer
from tests.support.loopback import silent_server
from ugc_tasks.data import fetch as module
from ugc_tasks.data.fetch import (
    CONNECT_S,
    FetchError,
    NoConnection,
    fetch,
    keep,
    unreachable,
)


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


def test_a_redirect_is_followed(server: FileServer) -> None:
    server.answers = [(302, b""), (200, b"content")]
    server.headers = {"Location": "/there"}
    assert get(server) == b"content"
    assert server.asked == ["/file", "/there"]


def test_a_broken_transfer_is_asked_again(server: FileServer) -> None:
    server.headers = {"Content-Length": "1000"}
    with pytest.raises(FetchError, match="the connection failed"):
        get(server)
    assert len(server.asked) == 4


def test_no_connection_is_said_in_a_clause(server: FileServer) -> None:
    with FileServer([]).running() as gone:
        pass
    with pytest.raises(NoConnection) as caught:
        get(gone)
    place = gone.endpoint.removeprefix("http://")
    assert str(caught.value) == f"no connection to {place} (Connection refused)"


def test_a_server_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._SILENCE_S == 10
    monkeypatch.setattr(module, "_SILENCE_S", 0.3)
    with silent_server() as (address, connections):
        with pytest.raises(NoConnection, match=r"no connection to .* \(it does not answer\)"):
            fetch(f"{address}/file", most_bytes=10)
        assert len(connections) <= 2, "to find out whether it is there, and to ask"


def test_a_download_may_take_only_so_long_with_all_its_tries(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOTAL_S", 0.0)
    with pytest.raises(NoConnection, match="the download takes more than 0 s"):
        get(server)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[httpx.Request], Any]], None]:
    """Answer every request by a function, whatever the address."""

    def answer_by(answer: Callable[[httpx.Request], Any]) -> None:
        client = partial(httpx.Client, transport=httpx.MockTransport(answer))
        monkeypatch.setattr(httpx, "Client", client)
        monkeypatch.setattr(module, "unreachable", lambda urls: {})

    return answer_by


@pytest.mark.parametrize(
    ("begin", "end", "follows"),
    [
        ("https://a.example/1", "https://b.example/2", True),
        ("http://a.example/1", "https://b.example/2", True),
        ("http://a.example/1", "http://b.example/2", True),
        ("https://a.example/1", "http://a.example/2", False),
        ("HTTPS://a.example/1", "http://b.example/2", False),
    ],
)
def test_a_redirect_does_not_lead_from_https_to_http(
    web: Callable[[Any], None], begin: str, end: str, follows: bool
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/1":
            return httpx.Response(302, headers={"Location": end})
        assert follows
        return httpx.Response(200, content=b"content")

    web(answer)
    if follows:
        assert fetch(begin, most_bytes=10) == b"content"
        return
    with pytest.raises(FetchError, match="redirects from https to an address without encryption"):
        fetch(begin, most_bytes=10)


def test_a_token_goes_to_the_host_alone_that_is_asked(web: Callable[[Any], None]) -> None:
    sent: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent[request.url.host] = request.headers.get("Authorization")
        if request.url.host == "hub.example":
            return httpx.Response(302, headers={"Location": "https://cdn.example/file"})
        return httpx.Response(200, content=b"content")

    web(answer)
    fetch("https://hub.example/file", most_bytes=10, token="hf_1")
    assert sent == {"hub.example": "Bearer hf_1", "cdn.example": None}


@pytest.mark.parametrize("hangs", ["name server", "network"])
def test_what_does_not_answer_at_all_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    assert 2 * CONNECT_S < 5, "for the files, and for the clips"
    monkeypatch.setattr(module, "CONNECT_S", 0.2)
    over = threading.Event()

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        assert timeout == 0.2
        over.wait(30 if hangs == "name server" else timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    addresses = [f"http://{name}.example/file" for name in "abcdefgh"]
    found = unreachable(addresses)
    over.set()
    assert found == {
        address: f"no connection to {address[7:16]} (no answer within 0.2 s)"
        for address in addresses
    }


def test_only_what_is_out_of_reach_is_named(server: FileServer) -> None:
    with FileServer([]).running() as gone:
        pass
    place = gone.endpoint.removeprefix("http://")
    asked = [server.endpoint, f"{gone.endpoint}/a", "nowhere", "https://[::1", "http://a:b/"]
    assert unreachable(asked) == {
        f"{gone.endpoint}/a": f"no connection to {place} (Connection refused)"
    }


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_what_has_to_be_in_reach(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxy = server.endpoint.replace("http://", "http://user:hunter2@")
    monkeypatch.setenv(variable, proxy)
    assert unreachable(["http://nothing.invalid/"]) == {}
    monkeypatch.setenv(variable, "127.0.0.1:9")
    assert unreachable(["http://nothing.invalid/"]) == {
        "http://nothing.invalid/": "no connection to nothing.invalid "
        f"(the proxy of {variable}: Connection refused)"
    }
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert unreachable([server.endpoint]) == {}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks9://127.0.0.1", "check the environment's proxy and SSL variables"),
        ("SSL_CERT_FILE", "/absent.pem", "SSL_CERT_FILE names /absent.pem, which is no file"),
    ],
)
def test_an_environment_that_no_client_can_be_made_in_is_a_clause(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(FetchError, match=said):
        get(server)


def test_a_certificate_that_is_not_accepted_is_said(web: Callable[[Any], None]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:992)"
        )

    web(answer)
    with pytest.raises(NoConnection) as caught:
        fetch("https://user:hunter2@tls.example:8443/a", most_bytes=10)
    said = "no connection to tls.example:8443 (certificate verify failed: self-signed)"
    assert str(caught.value) == said


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


def test_nor_is_one_in_an_address_that_is_none() -> None:
    with pytest.raises(FetchError, match="the connection failed") as caught:
        fetch("http://user:hunter2/x@a.example/file", most_bytes=10)
    assert "hunter2" not in str(caught.value)


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


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, (tmp_path / "file.txt").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    keep(tmp_path / "file.txt", b"content")
    assert synced == [(7, False)]


def test_what_cannot_be_kept_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(OSError, match="directory"):
        keep(tmp_path / "file.txt", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
