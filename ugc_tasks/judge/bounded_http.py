"""The HTTP client of the ``openai`` package, with bounds that it lacks.

It reads an answer to its end, however long a server makes it, and unpacks what it was not to send
packed; an error's body too. Here an answer has a largest size and is never unpacked.
"""

from __future__ import annotations

from typing import Any

import openai

from ugc_tasks.judge.failures import Passing


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """To be handed to ``openai.AsyncOpenAI`` as ``http_client``; follows no redirects.

    An answer that is too large or packed raises ``Passing``. Of an error that is too large the
    beginning is kept, which tells what is wrong.
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
        return type(response)(
            response.status_code, headers=response.headers, content=body, request=request
        )

    async def _whole(self, response: Any) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Passing("the answer is packed, although it was not to be")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._largest:
                break
        if len(body) > self._largest and response.status_code < 300:
            raise Passing(f"the answer is larger than {self._largest} bytes")
        return bytes(body[: self._largest])
