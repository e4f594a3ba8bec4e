"""One file over HTTP, bounded in size and time, and on disk whole or not at all.

Written here because the downloaders at hand (``pooch``, ``hf_hub_download``) bound neither size nor
total time, follow a redirect from https to http, and can repeat a proxy's password in an error.
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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

CONNECT_S = 2.4  # in which a connection must be made
_SILENCE_S = 10.0
_TOTAL_S = 60.0
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}


class FetchError(RuntimeError):
    """A file could not be downloaded; the message is a clause that says why."""


class NoConnection(FetchError):
    """The server cannot be reached or is too slow: asking it for other files is no use."""


def fetch(url: str, *, most_bytes: int, token: str | None = None, backoff: float = 0.5) -> bytes:
    """Return the body at ``url``. Redirects are followed, but not from https to http.

    ``token`` goes to this host only. 429, 5xx and broken connections are tried again, first after
    ``backoff`` seconds. Raises ``FetchError``, also where the body has more than ``most_bytes``.
    """
    import httpx
    import tenacity

    def worth_another_try(error: BaseException) -> bool:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code == 429 or error.response.status_code >= 500
        return isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError))

    give_up = time.monotonic() + _TOTAL_S
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth_another_try),
        stop=tenacity.stop_after_attempt(4) | tenacity.stop_after_delay(_TOTAL_S),
        wait=tenacity.wait_random_exponential(multiplier=backoff, max=10.0),
        reraise=True,
    )
    if away := unreachable([url]):
        raise NoConnection(away[url])
    try:
        return retrying(_get, url, most_bytes, token, give_up)
    except httpx.HTTPStatusError as error:
        raise FetchError(f"the server answered with status {error.response.status_code}") from None
    except (httpx.TimeoutException, httpx.ConnectError) as error:
        # Of the client's own text, which may repeat a password, what it says of certificates.
        said = re.search(r"certificate verify failed[\w :-]*", str(error))
        why = said[0].strip() if said else "it does not answer"
        raise NoConnection(_no_connection(url, why)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"the connection failed ({type(error).__name__})") from None
    except (ValueError, ImportError, OSError) as error:
        raise FetchError(
            f"no client could be made ({type(error).__name__}): check the environment's proxy and "
            "SSL variables"
        ) from None


def _get(url: str, most_bytes: int, token: str | None, give_up: float) -> bytes:
    import httpx

    def stay_secure(request: httpx.Request) -> None:
        if url.lower().startswith("https:") and request.url.scheme != "https":
            raise FetchError("the server redirects from https to an address without encryption")

    headers = {"Authorization": f"Bearer {token}"} if token else None  # httpx: to this host only
    body = bytearray()
    with (
        httpx.Client(
            timeout=_SILENCE_S, follow_redirects=True, event_hooks={"request": [stay_secure]}
        ) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        response.raise_for_status()
        for chunk in response.iter_bytes(chunk_size=1 << 16):
            body += chunk
            if len(body) > most_bytes:
                raise FetchError(f"what is there is larger than {most_bytes} bytes")
            if time.monotonic() > give_up:
                raise NoConnection(f"the download takes more than {_TOTAL_S:g} s")
    return bytes(body)


def unreachable(urls: Iterable[str]) -> dict[str, str]:
    """Return the addresses that accept no connection, each with a clause that says why.

    They are tried at once, through the environment's proxy if it names one. A name server that does
    not answer cannot be interrupted: the thread that waits for it is left behind.
    """
    found: dict[str, str | None] = {}

    def look(url: str) -> None:
        found[url] = _refusal(url)

    threads = {url: threading.Thread(target=look, args=[url], daemon=True) for url in urls}
    for thread in threads.values():
        thread.start()
    give_up = time.monotonic() + CONNECT_S
    for thread in threads.values():
        thread.join(max(0.0, give_up - time.monotonic()))
    late = f"no answer within {CONNECT_S:g} s"
    return {url: _no_connection(url, why) for url in threads if (why := found.get(url, late))}


def _refusal(url: str) -> str | None:
    """Return why no connection can be made; None where one can, or where the client will say."""
    of_proxy = ""
    try:
        parts = urlsplit(url)
        certificates = os.environ.get("SSL_CERT_FILE", "")
        if certificates and not Path(certificates).is_file():
            return f"SSL_CERT_FILE names {certificates}, which is no file"
        if parts.hostname and not urllib.request.proxy_bypass(parts.hostname):
            proxies = urllib.request.getproxies()
            if proxy := proxies.get(parts.scheme) or proxies.get("all"):
                of_proxy = f"the proxy of {proxy_variable(parts.scheme) or 'the system'}: "
                parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = parts.port or _PORTS.get(parts.scheme)
        if parts.hostname and port is not None:
            socket.create_connection((parts.hostname, port), timeout=CONNECT_S).close()
    except TimeoutError:
        return f"{of_proxy}no answer within {CONNECT_S:g} s"
    except OSError as error:
        return f"{of_proxy}{error.strerror or type(error).__name__}"
    except ValueError:  # not an address
        pass
    return None


def proxy_variable(scheme: str) -> str:
    """Return the environment variable that names the proxy for a scheme, empty if none does."""
    names = (f"{scheme}_proxy", "all_proxy")
    spelled = (each for name in names for each in (name, name.upper()))
    return next((name for name in spelled if os.environ.get(name)), "")


def _no_connection(url: str, why: str) -> str:
    """Name the host and port of an address, and nothing else of it."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    return f"no connection to {place or 'an address without a host'} ({why})"


def keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with its folders; raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)  # or a power failure could leave the name without the content
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
