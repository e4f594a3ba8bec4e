"""The HTTP client of the ``openai`` package, with bounds that it lacks.

It reads an answer to its end, however long a server makes it, and unpacks what it was not to send
packed; an error's body too. Here an answer has a largest size, packed and unpacked.
"""

from __future__ import annotations

import zlib
from typing import Any

import openai

from ugc_tasks.judge.failures import Passing, Unreadable
from ugc_tasks.judge.reply import ChatReply

_KNOWN = {"gzip", "x-gzip", "deflate"}
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_ERROR = 1 << 20  # bytes of an error


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """To be handed to ``openai.AsyncOpenAI`` as ``http_client``; follows no redirects.

    An answer that is too large, or packed in a way that is not known, raises ``Unreadable``. Of an
    error that is too large the beginning is kept, which tells what is wrong.
    """

    def __init__(self, *, largest: int, **arguments: Any) -> None:
        """``largest``: bytes of an answer's body; ``arguments`` are ``httpx.AsyncClient``'s."""
        # The key would go wherever a redirect says.
        super().__init__(follow_redirects=False, **arguments)
        self._largest = largest

    async def send(self, request: Any, *, stream: bool = False, **arguments: Any) -> Any:
        """Return the answer to ``request`` with its whole body, also where a stream is wanted."""
        response = await super().send(request, stream=True, **arguments)
        try:
            body = await self._whole(response)
        finally:
            await response.aclose()
        headers = {n: v for n, v in response.headers.items() if n.lower() != "content-encoding"}
        return type(response)(response.status_code, headers=headers, content=body, request=request)

    async def _whole(self, response: Any) -> bytes:
        if response.status_code >= 300:
            return await _beginning(response)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._largest:
                raise _unreadable(f"is larger than {self._largest} bytes")
        packing = _packing(response)
        if packing == "identity":
            return bytes(body)
        if packing not in _KNOWN:
            raise _unreadable(f"is packed ({packing:.40}), although it was not to be")
        try:
            whole, complete = _unpacked(bytes(body), self._largest + 1)
        except zlib.error:
            raise _unreadable(f"is called {packing}, and is not") from None
        if len(whole) > self._largest:
            raise _unreadable(f"is larger than {self._largest} bytes when it is unpacked")
        if not complete:
            raise Passing("the answer is cut off", answered=True)
        return whole


async def _beginning(response: Any) -> bytes:
    """Return so much of an error as it takes to tell what is wrong, empty if it is not readable."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= _ERROR:
            break
    packing = _packing(response)
    if packing == "identity":
        return bytes(body[:_ERROR])
    try:
        return _unpacked(bytes(body), _ERROR)[0] if packing in _KNOWN else b""
    except zlib.error:
        return b""


def _packing(response: Any) -> str:
    return str(response.headers.get("content-encoding", "")).strip().lower() or "identity"


def _unpacked(body: bytes, most: int) -> tuple[bytes, bool]:
    """Return at most ``most`` bytes of what is packed in ``body``, and whether it ends there."""
    unpacking = zlib.decompressobj(_ZLIB_OR_GZIP)
    return unpacking.decompress(body, most), unpacking.eof


def _unreadable(what: str) -> Unreadable:
    # A model may have answered: it counts as paid for.
    return Unreadable(f"the answer {what}", ChatReply(""))
