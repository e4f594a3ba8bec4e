"""An endpoint that is not reached, and an environment that no client can be made of."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support import judge_server as act
from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.cost import budget_of
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.transport.errors import JudgeRefused, RetryableError, unreached
from ugc_tasks.judge.transport.retry import CircuitBreaker

PASSWORD = "pw-canary-77"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Listen, read something, answer each connection with these bytes and close it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def self_signed(folder: Path) -> Path:
    """Return the path of a certificate that nobody vouches for, and of its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "self-signed.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def reason(open_judge: OpenJudge, base_url: str) -> str:
    """Judge some clips with all the time there is, and return the one reason why it failed."""
    judge = open_judge(base_url=base_url, deadline=600.0, timeout=60.0)
    started = time.monotonic()
    judgments = judge.judge_many(clips(40), progress=False)
    assert time.monotonic() - started < 60, "not a tenth of what a judgment may take"
    assert not any(judgment.usage for judgment in judgments)
    (said,) = {judgment.failure for judgment in judgments}
    return str(said)


def test_an_address_where_nothing_listens(open_judge: OpenJudge) -> None:
    where = closed_port()
    said = reason(open_judge, f"http://{where}/v1")
    assert said == f"nothing listens at {where}; check OPENAI_BASE_URL"


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_the_port_is_said_also_where_it_is_the_usual_one(scheme: str, port: int) -> None:
    error = RuntimeError("connection error")
    error.__cause__ = ConnectionRefusedError()
    failure = unreached(error, f"{scheme}://Judge.example/v1", "sk-0123456789")
    assert failure.reason == f"nothing listens at judge.example:{port}; check OPENAI_BASE_URL"


def test_an_address_where_nothing_listens_costs_nothing_of_the_budget(
    open_judge: OpenJudge, tmp_path: Path
) -> None:
    judge = open_judge(base_url=f"http://{closed_port()}/v1", budget=3.0)
    assert judge.judge_many(clips(1), progress=False)[0].failure
    assert budget_of(tmp_path / "judgments.sqlite3", 3.0).spent == 0.0


def test_an_endpoint_that_has_answered_with_an_error_has_the_right_address() -> None:
    nothing = RetryableError("nothing listens", unreached=True)
    breaker = CircuitBreaker()
    breaker.note_retryable(nothing, 2)
    with pytest.raises(JudgeRefused, match="nothing listens"):
        breaker.note_retryable(nothing, 3)
    breaker.note_retryable(RetryableError("answered 503"), 1)
    breaker.note_retryable(nothing, 3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), "there is no host judge.example; check"),
        (socket.gaierror(socket.EAI_AGAIN, "?"), "the name of judge.example cannot be looked up"),
    ],
)
def test_a_host_that_there_is_not_and_a_network_that_there_is_not(
    open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert said in reason(open_judge, "http://judge.example/v1")


def test_https_where_there_is_only_http(server: JudgeServer, open_judge: OpenJudge) -> None:
    place = server.base_url.removeprefix("http://").removesuffix("/v1")
    said = reason(open_judge, f"https://{place}/v1")
    assert said == f"{place} does not speak https (is it http?); check OPENAI_BASE_URL"


def test_a_server_of_another_kind(open_judge: OpenJudge) -> None:
    with listening(b"SSH-2.0-server\r\n") as place:
        said = reason(open_judge, f"http://{place}/v1")
    assert f"the connection to {place} failed (" in said
    assert said.endswith("check OPENAI_BASE_URL")


def test_a_server_that_hangs_up(open_judge: OpenJudge) -> None:
    with listening(b"") as place:
        said = reason(open_judge, f"http://{place}/v1")
    assert f"the connection to {place} failed (" in said


def test_a_judge_that_was_there_may_be_away_for_a_while(open_judge: OpenJudge) -> None:
    """A server that restarts is waited for as long as a judgment may take."""
    once = replace(act.scores(), headers={"Connection": "close"})
    with JudgeServer([once]) as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        judge = open_judge(base_url=server.base_url, concurrency=1)
        assert judge.judge_many(clips(1), progress=False)[0].scores
    future = judge.submit(clips(2)[1])
    with pytest.raises(TimeoutError):
        future.result(timeout=1.0)
    again = JudgeServer(lambda _: act.scores(), port=port)
    with again:
        assert future.result(timeout=20).scores


# ---- what the environment says ----


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        f"socks://user:{PASSWORD}@proxy:1080",
        f"socks5://user:{PASSWORD}@proxy:1080",
        f"http://user:{PASSWORD}@proxy:port",
        f"ftp://user:{PASSWORD}@proxy",
        f"user:{PASSWORD}@proxy:port",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_and_its_password_is_not(
    open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(JudgeConfigError) as caught:
        open_judge()
    assert str(caught.value).startswith(f"{name} is not the address of a proxy that can be used")
    assert ("socksio" in str(caught.value)) == value.startswith("socks5")
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error) + repr(vars(error))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "{}_PROXY", "{}_proxy"])
def test_a_proxy_where_nothing_listens_is_named_instead_of_the_judge(
    open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    name = name.format(scheme.upper() if "PROXY" in name else scheme)
    monkeypatch.setenv(name, f"http://user:{PASSWORD}@{closed_port()}")
    said = reason(open_judge, f"{scheme}://judge.example/v1")
    assert said == f"nothing listens at the proxy of {name}; check {name}"


def test_an_address_that_no_proxy_is_for_is_not_blamed_on_one(
    open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    where = closed_port()
    assert f"nothing listens at {where};" in reason(open_judge, f"http://{where}/v1")


def test_a_proxy_that_declines_is_named_with_its_words(
    open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = b"Not with sk-loopback-0123456789"
    with listening(b"HTTP/1.1 407 " + words + b"\r\n\r\n") as place:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{place}")
        said = reason(open_judge, "https://judge.example/v1")
    assert said == (
        "the proxy of HTTPS_PROXY does not let it through (407 Not with [redacted]); "
        "check HTTPS_PROXY"
    )


@pytest.mark.parametrize(("name", "content"), [("missing.pem", None), ("empty.pem", ""), ("", "")])
def test_certificates_that_cannot_be_read_are_named(
    open_judge: OpenJudge,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    content: str | None,
) -> None:
    path = tmp_path / name
    if content is not None and name:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(JudgeConfigError) as caught:
        open_judge()
    assert str(caught.value).startswith("SSL_CERT_FILE names no certificates that can be read (")
    assert str(caught.value).endswith("correct or unset it")


def test_a_certificate_that_is_not_trusted_is_said(open_judge: OpenJudge, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with JudgeServer(lambda _: act.scores(), tls=context) as server:
        place = server.base_url.removeprefix("https://").removesuffix("/v1")
        said = reason(open_judge, server.base_url)
    assert f"the certificate of {place} is not trusted (" in said
    assert "SSL_CERT_FILE" in said


@pytest.mark.parametrize(
    ("cause", "declined", "unreachable"),
    [
        (httpx.ConnectError("no route to host"), True, True),
        (httpx.ReadError("reset"), False, True),
        (
            httpx.RemoteProtocolError("peer closed without sending complete message body"),
            False,
            False,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_never_arrived_cannot_cost_anything_and_all_else_may(
    cause: Exception, declined: bool, unreachable: bool
) -> None:
    error = RuntimeError("connection error")
    error.__cause__ = cause
    failure = unreached(error, "http://host.example/v1", "sk-0123456789")
    assert (failure.declined, failure.unreached) == (declined, unreachable)
