"""One address, read strictly, and nothing secret in what is said of it."""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from ugc_models.engine.server.client import BadAddress, Client, RemoteError, RetryableError


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("http://a:8000", "http://a:8000"),
        ("http://a:8000/v1/", "http://a:8000"),
        (" http://a:1//v1// ", "http://a:1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://gate:8443/team/sk-secret", "https://gate:8443"),
    ],
)
def test_an_address_is_shown_without_its_path(value: str, name: str) -> None:
    client = Client(value, 1.0)
    assert client.name == name
    assert "secret" not in repr(client)


@pytest.mark.parametrize(
    "value",
    ["", "a:8000", "ftp://a", "http://", "http://a:99999", "http://a:0", "http://a b", "http://[::1",
     "file:///etc/passwd", "http://a\x00b", "http://a/\u202eb", "http://a/b c", "http://ä..b",
     "http://a:1; http://b:2/v1",
     '["http://a:1"]', ["http://a"], [], 8000],
)  # fmt: skip
def test_what_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadAddress, match=r"^base_url: an address such as http://host:8000/v1"):
        Client(value, 1.0)


@pytest.mark.parametrize(
    "value", ["http://me:sk-secret@a:8000", "http://a/?key=sk-secret", "http://a/#sk-secret"]
)
def test_one_with_a_key_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(BadAddress, match=r"belongs into VLLM_API_KEY") as raised:
        Client(value, 1.0)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("proxy", ["ftp://me:sk-secret@a:1", "socks5://me:sk-secret@a:1"])
def test_a_proxy_that_cannot_be_used_is_said_in_words(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(RemoteError, match="the proxy in the environment cannot be used") as raised:
        Client("http://a:8000", 1.0)
    assert "secret" not in str(raised.value)


async def silence(_: StreamWriter) -> None:
    await asyncio.sleep(60)


async def drops(writer: StreamWriter) -> None:
    """Send something all the time, and all of it only when it is too late."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000000\r\n\r\n")
    for _ in range(17):
        writer.write(b" " * (1 << 20))
        await writer.drain()


async def half(writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")


@pytest.mark.parametrize(
    ("how", "seconds", "said"),
    [
        (silence, 0.3, "no answer within 0.3 s"),
        (drops, 1.0, "no answer within 1 s"),
        (flood, 60.0, "the answer is over 16 MiB"),
        (half, 60.0, "the connection broke"),
        (None, 60.0, "does not answer"),
    ],
)
def test_an_answer_that_does_not_come_is_given_up_and_leaves_no_key_behind(
    how: Callable[[StreamWriter], Awaitable[None]] | None, seconds: float, said: str
) -> None:
    """httpx's own errors hold the request, and with it the key."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            if how is not None:
                await how(writer)
        writer.close()

    async def ask() -> RetryableError:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        if how is None:
            server.close()
        client = Client(f"http://{host}:{port}", seconds)
        with pytest.raises(RetryableError, match=said) as raised:
            await client.chat(0, b"{}")
        await client.aclose()
        server.close()
        return raised.value

    error = asyncio.run(ask())
    assert error.__context__ is error.__cause__ is None
