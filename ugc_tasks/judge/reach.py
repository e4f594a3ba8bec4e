"""Why an endpoint is not reached: its address, a proxy, a certificate, and who names them.

No sentence here repeats a proxy's address, which may have a password in it.
"""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from ugc_tasks.common.display import shown
from ugc_tasks.data.fetch import proxy_variable
from ugc_tasks.judge.failures import Passing
from ugc_tasks.judge.secret import brief_message

CONNECT_S = 10.0
"""Seconds for a connection to be made."""

# So many tries while the endpoint has never answered: its address is more likely wrong than it is
# away. What a name service or a certificate says is certain at once.
_TRIES, _TWICE, _CERTAIN = 3, 2, 1
_UNCLEAR = 6
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")


def unreached(error: BaseException, base_url: str, key: str) -> Passing:
    """Return what ``error``, raised for a request to ``base_url``, means.

    Args:
        error: of the ``openai`` client.
        base_url: the endpoint's address.
        key: to keep out of the message.
    """
    parts, proxy = urlsplit(base_url), _proxy_for(base_url)
    place = f"the proxy of {proxy}" if proxy else parts.netloc.lower()
    host = place if proxy else parts.hostname
    check = f"check {proxy or 'OPENAI_BASE_URL'}"
    causes = list(chain(error))
    for cause in causes:
        found = _by_cause(cause, place, host or "", key)
        if found is not None:
            return Passing(f"{found[0]}; {check}", declined=True, tries=found[1])
    declined = any(type(cause).__name__ == "ConnectError" for cause in causes)
    answered = "complete message body" in str(error.__cause__)
    what = f"the connection to {place} failed ({type(error.__cause__ or error).__name__})"
    return Passing(
        what if answered else f"{what}; {check}",
        declined=declined,
        answered=answered,
        tries=_UNCLEAR,
    )


def _by_cause(cause: BaseException, place: str, host: str, key: str) -> tuple[str, int] | None:
    """Return what a known cause means, and how many tries it is worth at first."""
    found: tuple[str, int] | None = None
    if isinstance(cause, socket.gaierror):
        found = f"there is no host {host}", _CERTAIN
        if cause.errno == socket.EAI_AGAIN:
            found = f"the name of {host} cannot be looked up (is there a network?)", _TWICE
    elif isinstance(cause, ssl.SSLCertVerificationError):
        why = brief_message(cause.verify_message, key, 80)
        found = (
            f"the certificate of {place} is not trusted ({why}): name one that vouches for it in "
            "SSL_CERT_FILE",
            _CERTAIN,
        )
    elif isinstance(cause, ssl.SSLError) and "WRONG_VERSION" in str(cause):
        found = f"{place} does not speak https (is it http?)", _CERTAIN
    elif isinstance(cause, ConnectionRefusedError):
        found = f"nothing listens at {place}", _TRIES
    # By name: which library's exceptions they are depends on the version of the client.
    elif type(cause).__name__ == "ConnectTimeout":
        found = f"no connection to {place} within {CONNECT_S:g} s", _TWICE
    elif type(cause).__name__ == "ProxyError":
        found = f"{place} does not let it through ({brief_message(str(cause), key, 80)})", _TWICE
    return found


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def no_client(error: Exception) -> str:
    """Return a sentence about a client that cannot be made of what the environment says."""
    if isinstance(error, OSError):  # ssl.SSLError is one
        name = next((n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(n)), "")
        reason = error.strerror or type(error).__name__
        if name:
            what = f"{shown(os.environ[name], 200)}: {reason}"
            return f"{name} names no certificates that can be read ({what}): correct or unset it"
        return f"the certificates of this Python installation cannot be read ({reason})"
    for lower in _PROXIES:
        name, address = _variable(lower)
        if address and not _usable(address):
            socks = address.lower().startswith("socks5")
            more = ", or install the package socksio" if socks else ""
            return (
                f"{name} is not the address of a proxy that can be used, such as "
                f"http://host:3128: correct or unset it{more}"
            )
    return (
        f"the HTTP client cannot be made ({type(error).__name__}): correct or unset HTTP_PROXY, "
        "HTTPS_PROXY, ALL_PROXY and NO_PROXY"
    )


def _usable(address: str) -> bool:
    import openai

    try:
        openai.DefaultAsyncHttpxClient(
            trust_env=False,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            proxy=address if "://" in address else f"http://{address}",
        )
    except Exception:  # its own, ValueError and ImportError
        return False
    return True


def _variable(lower: str) -> tuple[str, str]:
    """Return the variable that counts of ``http_proxy`` and ``HTTP_PROXY``, and its value."""
    name = lower if os.environ.get(lower) else lower.upper()
    return name, os.environ.get(name, "")


def _proxy_for(base_url: str) -> str:
    """Return the variable whose proxy requests to ``base_url`` go through; empty for none."""
    parts = urlsplit(base_url)
    if urllib.request.proxy_bypass_environment(parts.hostname or ""):  # type: ignore[attr-defined]
        return ""
    return proxy_variable(parts.scheme)
