"""One small file from the web: bounded in size and time, asked for again where that may help.

And on disk whole or not at all.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

_PHASE_TIMEOUT_S = 20.0
_TOTAL_TIMEOUT_S = 60.0
_TRIES = 4


class FetchError(RuntimeError):
    """A file could not be downloaded; the message is a clause that says why."""


def fetch(url: str, *, most_bytes: int, backoff: float = 0.5) -> bytes:
    """Return the body at ``url``, redirects followed.

    Args:
        url: an http or https address.
        most_bytes: a larger body is refused as soon as it is known to be larger.
        backoff: first wait in seconds between tries; 429, 5xx and broken connections are tried
            again, four times in all.

    Raises:
        FetchError: there is no such file, the server does not give it, or it is too large.
    """
    import httpx
    import tenacity

    def worth_another_try(error: BaseException) -> bool:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code == 429 or error.response.status_code >= 500
        return isinstance(error, httpx.TransportError) and not isinstance(
            error, httpx.UnsupportedProtocol
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth_another_try),
        stop=tenacity.stop_after_attempt(_TRIES) | tenacity.stop_after_delay(_TOTAL_TIMEOUT_S),
        wait=tenacity.wait_random_exponential(multiplier=backoff, max=10.0),
        reraise=True,
    )
    try:
        return retrying(_get, url, most_bytes)
    except httpx.HTTPStatusError as error:
        raise FetchError(f"the server answered with status {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Not the client's own text: it may repeat an address with a password in it.
        raise FetchError(f"the connection failed ({type(error).__name__})") from None


def _get(url: str, most_bytes: int) -> bytes:
    import httpx

    give_up = time.monotonic() + _TOTAL_TIMEOUT_S
    body = bytearray()
    with httpx.stream("GET", url, timeout=_PHASE_TIMEOUT_S, follow_redirects=True) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes(chunk_size=1 << 16):
            body += chunk
            if len(body) > most_bytes:
                raise FetchError(f"what is there is larger than {most_bytes} bytes")
            if time.monotonic() > give_up:
                raise httpx.ReadTimeout("the download takes too long")
    return bytes(body)


def keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, its folders too; raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
