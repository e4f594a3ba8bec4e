"""One small file from the web: bounded in size and time, asked for again where that may help.

And on disk whole or not at all.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_S = 2.4
"""Seconds to make a connection in; two such waits are less than five."""

_SILENCE_S = 10.0
_TOTAL_TIMEOUT_S = 60.0
_TRIES = 4
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}

_REMEMBERED_S = 30.0
_out_of_reach: dict[str, tuple[float, str]] = {}  # by host and port: since when, and why


class FetchError(RuntimeError):
    """A file could not be downloaded; the message is a clause that says why."""


class NoConnection(FetchError):
    """A server cannot be reached, or does not answer: it need not be asked for another file."""


def fetch(url: str, *, most_bytes: int, backoff: float = 0.5) -> bytes:
    """Return the body at ``url``, redirects followed.

    Args:
        url: an http or https address.
        most_bytes: a larger body is refused as soon as it is known to be larger.
        backoff: first wait in seconds between tries; 429, 5xx and broken connections are tried
            again, four times in all.

    Raises:
        NoConnection: no server is there, or it stays silent.
        FetchError: there is no such file, the server does not give it, or it is too large.
    """
    import httpx
    import tenacity

    def worth_another_try(error: BaseException) -> bool:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code == 429 or error.response.status_code >= 500
        return isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth_another_try),
        stop=tenacity.stop_after_attempt(_TRIES) | tenacity.stop_after_delay(_TOTAL_TIMEOUT_S),
        wait=tenacity.wait_random_exponential(multiplier=backoff, max=10.0),
        reraise=True,
    )
    require_connection(url)
    try:
        return retrying(_get, url, most_bytes)
    except httpx.HTTPStatusError as error:
        raise FetchError(f"the server answered with status {error.response.status_code}") from None
    except (httpx.TimeoutException, httpx.ConnectError) as error:
        raise no_answer(url, error) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Not the client's own text: it may repeat an address with a password in it.
        raise FetchError(f"the connection failed ({type(error).__name__})") from None
    except (ValueError, ImportError, OSError) as error:
        raise FetchError(
            f"no client could be made ({type(error).__name__}): check the environment's proxy and "
            "SSL variables"
        ) from None


def _get(url: str, most_bytes: int) -> bytes:
    import httpx

    give_up = time.monotonic() + _TOTAL_TIMEOUT_S
    body = bytearray()
    with httpx.stream("GET", url, timeout=_SILENCE_S, follow_redirects=True) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes(chunk_size=1 << 16):
            body += chunk
            if len(body) > most_bytes:
                raise FetchError(f"what is there is larger than {most_bytes} bytes")
            if time.monotonic() > give_up:
                raise httpx.ReadTimeout("the download takes too long")
    return bytes(body)


def require_connection(url: str) -> None:
    """Find out whether there is a server at ``url``; raises ``NoConnection`` soon if not.

    What was out of reach is not tried again for half a minute: there are many files to ask for.
    """
    since, why = _out_of_reach.get(_place(url), (0.0, ""))
    if why and time.monotonic() - since < _REMEMBERED_S:
        raise NoConnection(why)
    if (why := unreachable([url]).get(url, "")) != "":
        raise NoConnection(why)


def unreachable(urls: Iterable[str]) -> dict[str, str]:
    """Return those of the addresses to which no connection can be made, each with a clause why.

    They are tried at the same time, through the environment's proxy if it names one. A name server
    that does not answer cannot be hurried, so the threads that ask it are left behind.
    """
    found: dict[str, str | None] = {}

    def look(url: str) -> None:
        found[url] = _refusal(url)

    asked = {url: threading.Thread(target=look, args=[url], daemon=True) for url in urls}
    for thread in asked.values():
        thread.start()
    give_up = time.monotonic() + CONNECT_S
    for thread in asked.values():
        thread.join(max(0.0, give_up - time.monotonic()))
    known = {url: found.get(url, f"no answer within {CONNECT_S:g} s") for url in asked}
    return {url: str(no_answer(url, why)) for url, why in known.items() if why is not None}


def no_answer(url: str, why: str | Exception) -> NoConnection:
    """Remember that the server at ``url`` is out of reach; returns the error that says so."""
    if isinstance(why, Exception):
        # Of a client's own text only what is said of certificates: the rest may hold a password.
        tls = re.search(r"certificate verify failed[\w :-]*", str(why))
        name = type(why).__name__
        why = tls[0].strip() if tls else "it does not answer" if "Timeout" in name else name
    error = NoConnection(f"no connection to {_place(url)} ({why})")
    _out_of_reach[_place(url)] = (time.monotonic(), str(error))
    return error


def _refusal(url: str) -> str | None:
    """Return why no connection can be made, None where one can or where that is not told here."""
    certificates = os.environ.get("SSL_CERT_FILE", "")
    if certificates and not Path(certificates).is_file():
        return f"SSL_CERT_FILE names {certificates}, which is no file"
    try:
        parts, of_proxy = urlsplit(url), ""
        if parts.hostname and not urllib.request.proxy_bypass(parts.hostname):
            proxies = urllib.request.getproxies()
            if proxy := proxies.get(parts.scheme) or proxies.get("all"):
                parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
                of_proxy = f"the proxy of {proxy_variable(urlsplit(url).scheme) or 'the system'}: "
        port = parts.port or _PORTS.get(parts.scheme)
        if not parts.hostname or port is None:
            return None
        socket.create_connection((parts.hostname, port), timeout=CONNECT_S).close()
    except TimeoutError:
        return f"{of_proxy}no answer within {CONNECT_S:g} s"
    except OSError as error:
        return f"{of_proxy}{error.strerror or type(error).__name__}"
    except ValueError:  # no address; the client that is asked next says so
        return None
    return None


def proxy_variable(scheme: str) -> str:
    """Return the environment's variable that names the proxy for a scheme; empty for none."""
    names = (f"{scheme}_proxy", "all_proxy")
    spelled = (each for name in names for each in (name, name.upper()))
    return next((name for name in spelled if os.environ.get(name)), "")


def _place(url: str) -> str:
    """Return the host of an address, and its port if it names one: no password, no path."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"
    except ValueError:
        return "an address without a host"


def keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, its folders too; raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)  # a machine that stops must not leave a name without content
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
