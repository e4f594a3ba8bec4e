"""How quick judging is beside what the endpoint allows, and what faults do to it.

An endpoint on loopback answers each request after one second and refuses (429) more than 64 at
once. 999 judgments then cannot take less than 999/64 s; the aim is at most 1.15 times that. Then
the same where we would ask 256 at once if we were let, and with a fifth of all requests failing
(429, 500, resets, silence, empty and junk bodies): none may be lost.

Run ``python -m benchmarks.judging``; it takes about two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import RESULTS, Report, Row, machine
from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.protocol.profiles import ChatProfile, rubric_profile
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.types import JudgeItem

_CAPTION = "A woman dances in a kitchen while a pop song plays; text on the screen says hello. "
_REPLY = json.dumps(
    {
        "model": "loopback",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"content": '{"visual": 4, "audio": 3, "details": 4}'},
            }
        ],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20},
    }
).encode()
ALLOWED = 64
"""Requests at once that the endpoint answers."""

_FAULTS = ("429", "500", "reset", "hang", "empty", "junk")


class Endpoint:
    """An asyncio server in a thread of its own: one second an answer, ``allowed`` at once."""

    def __init__(self, *, latency: float, allowed: int, faulty: float) -> None:
        self.latency, self.allowed, self.faulty = latency, allowed, faulty
        self.at_once = self.most = 0
        self.acts: Counter[str] = Counter()
        self._random = random.Random(7)  # noqa: S311
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512), self._loop
        ).result()
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                if not await self._answer(writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.at_once > self.allowed:
                act = "429"
            else:
                fails = self._random.random() < self.faulty
                act = self._random.choice(_FAULTS) if fails else "reply"
            self.acts[act] += 1
            if act == "hang":
                await asyncio.sleep(60)
                return False
            if act != "429":
                await asyncio.sleep(self.latency)
        finally:
            self.at_once -= 1
        if act == "reset":
            writer.transport.abort()
            return False
        status = {"429": "429 Too Many Requests", "500": "500 Oops"}.get(act, "200 OK")
        body = {"reply": _REPLY, "junk": b"\x00\xff<html>"}.get(act, b"")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


@dataclass(frozen=True)
class Case:
    """What is asked of judge and endpoint."""

    what: str
    faulty: float = 0.0
    concurrency: int = JudgeSettings.concurrency


CASES = (
    Case("as it comes: at most 64 at once"),
    Case("told to ask up to 256 at once", concurrency=256),
    Case("a fifth of all requests fails", faulty=0.2),
)


def measure(profile: ChatProfile, case: Case, *, count: int, latency: float) -> Iterator[Row]:
    """Judge ``count`` clips; yield what that took. Raises ``RuntimeError`` if one was lost."""
    endpoint = Endpoint(latency=latency, allowed=ALLOWED, faulty=case.faulty)
    items = [JudgeItem(f"PI-{n}", _CAPTION * 15 + str(n), _CAPTION * 15) for n in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        settings = JudgeSettings(
            Path(folder) / "judgments.sqlite3", base_url=endpoint.url, api_key="none-needed",
            timeout=5 * latency, concurrency=case.concurrency,
        )  # fmt: skip
        with Judge(profile, settings) as judge:
            judge.announce(items)
            started, cpu = time.perf_counter(), time.process_time()
            futures = [judge.submit(item) for item in items]
            judgments = [future.result() for future in futures]
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
    scored = sum(judgment.scores is not None for judgment in judgments)
    if scored < count:
        raise RuntimeError(f"{case.what}: {count - scored} of {count} judgments were lost")
    ideal = count / ALLOWED * latency
    yield Row(case.what, "clock", took, "s", took / ideal)
    yield Row(case.what, "CPU, the endpoint's included", cpu, "s")
    yield Row(case.what, "judgments with scores", scored)
    faults = Counter({name: n for name, n in endpoint.acts.items() if name != "reply"})
    each = ", ".join(f"{name}: {n}" for name, n in sorted(faults.items())) or "none"
    yield Row(case.what, "requests that failed", each)


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description=__doc__)
    parser.add_argument("--count", type=int, default=999, help="judgments (%(default)s)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="64 judgments, a tenth of a second")
    options = parser.parse_args(arguments)
    count, latency = (64, 0.1) if options.quick else (options.count, options.latency)
    profile = rubric_profile()
    rows = [row for case in CASES for row in measure(profile, case, count=count, latency=latency)]
    return Report(
        title=f"{count} judgments by an endpoint that takes {latency:g} s and allows {ALLOWED}",
        rows=rows,
        machine=machine(("openai", "httpx")),
        notes=[f"Ratios to {count}/{ALLOWED} x {latency:g} s, the least that it can take."],
    ).publish("judging-quick" if options.quick else "judging", results)


if __name__ == "__main__":
    main()
