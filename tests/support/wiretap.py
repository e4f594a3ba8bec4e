"""A listener on the way to a server: passes everything on, and notes what is asked."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from urllib.parse import urlsplit

_LONGEST = 64
"""Bytes that one match may have, so that none is missed between two pieces."""


class Wiretap:
    """Listens on loopback in front of ``url``; an end of one side is an end of the other.

    Args:
        url: ``http://host:port`` of the server.
        pattern: what to note in the bytes that clients send; its first group is a number.

    Attributes:
        url: where clients go instead.
        noted: the numbers, in the order in which they passed.
        held: while True, no answer passes.
        most: no answer passes when so many questions have; None: as many as there are.
    """

    def __init__(self, url: str, pattern: re.Pattern[bytes]) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port
        self._pattern = pattern
        self._open = 0
        self.noted: list[int] = []
        self.held = False
        self.most: int | None = None
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Wiretap:
        self._thread.start()
        listening = asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self.wait_until_idle()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def wait_until_idle(self, timeout: float = 60.0) -> None:
        """Return when nobody is connected: what a killed client sent has passed by then."""
        give_up = time.monotonic() + timeout
        while self._open:
            assert time.monotonic() < give_up, f"{self._open} connections are still open"
            time.sleep(0.02)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
            ways = [
                asyncio.create_task(self._pass_on(reader, back, listen=True)),
                asyncio.create_task(self._pass_on(there, writer, listen=False)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
        except OSError:
            pass  # nobody is there: the client sees a closed connection, as without us
        finally:
            writer.close()
            self._open -= 1

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, listen: bool
    ) -> None:
        rest = b""
        while piece := await source.read(1 << 16):
            while not listen and (self.held or len(self.noted) >= (self.most or sys.maxsize)):
                await asyncio.sleep(0.02)
            if listen:
                rest += piece
                end = 0
                for match in self._pattern.finditer(rest):
                    self.noted.append(int(match[1]))
                    end = match.end()
                rest = rest[max(end, len(rest) - _LONGEST) :]
            sink.write(piece)
            await sink.drain()
