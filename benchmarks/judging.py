"""How quick judging is beside what the endpoint allows: ``python -m benchmarks.judging``.

An endpoint on loopback answers each request after one second and refuses (429) more than 64 at
once. 999 judgments then cannot take less than 999/64 s; the aim is at most 1.15 times that. Then
the same where we would ask 256 at once if we were let, and with a fifth of all requests failing:
none may be lost.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.report import RESULTS, Report, Row, machine
from tests.support import judge_server
from tests.support.judge_server import Act, Asked, JudgeServer
from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.protocol.profiles import rubric_profile
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.types import JudgeItem

ALLOWED = 64  # requests at once that the endpoint answers
_CAPTION = "A woman dances in a kitchen while a pop song plays; text on the screen says hello. "
_REPLY = '{"visual": 4, "audio": 3, "details": 4}'
_FAULTS: dict[str, Callable[[], Act]] = {
    "429": judge_server.too_many,
    "500": partial(judge_server.status, 500),
    "cut off": judge_server.cut_off,
    "silence": judge_server.hang,
    "junk": judge_server.junk,
}


CASES: dict[str, dict[str, float]] = {
    "as it comes: at most 64 at once": {},
    "told to ask up to 256 at once": {"concurrency": 256},
    "a fifth of all requests fails": {"faulty": 0.2},
}


def measure(
    what: str, count: int, latency: float, *, faulty: float = 0.0, concurrency: float = 64
) -> Iterator[Row]:
    """Judge ``count`` clips; yield what that took; raises ``RuntimeError`` if one was lost."""
    chance = random.Random(7)  # noqa: S311
    faults: Counter[str] = Counter()

    def script(asked: Asked) -> Act:
        if server.at_once > ALLOWED:
            fault = "429"
        # Junk before the first judgment would be a sign that the endpoint is no judge.
        elif asked.number and chance.random() < faulty:
            fault = chance.choice([*_FAULTS])
        else:
            return judge_server.text(_REPLY, delay=latency)
        faults[fault] += 1
        return _FAULTS[fault]()

    items = [JudgeItem(f"PI-{n}", _CAPTION * 15 + str(n), _CAPTION * 15) for n in range(count)]
    with JudgeServer(script) as server, tempfile.TemporaryDirectory() as folder:
        settings = JudgeSettings(
            Path(folder) / "judgments.sqlite3",
            base_url=server.base_url,
            api_key="none-needed",
            timeout=5 * latency,
            concurrency=int(concurrency),
        )
        with Judge(rubric_profile(), settings) as judge:
            judge.announce(items)
            judge.submit(items[0]).result()
            started, cpu = time.perf_counter(), time.process_time()
            judgments = [future.result() for future in [judge.submit(item) for item in items]]
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
    scored = sum(judgment.scores is not None for judgment in judgments)
    if scored < count:
        why = {judgment.failure for judgment in judgments if judgment.scores is None}
        raise RuntimeError(f"{what}: {count - scored} of {count} judgments were lost: {why}")
    yield Row(what, "clock", took, "s", took / (count / ALLOWED * latency))
    yield Row(what, "CPU, the endpoint's included", cpu, "s")
    yield Row(what, "judgments with scores", scored)
    failed = ", ".join(f"{name}: {n}" for name, n in sorted(faults.items())) or "none"
    yield Row(what, "requests that failed", failed)


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="64 judgments, a tenth of a second")
    quick = parser.parse_args(arguments).quick
    count, latency = (64, 0.1) if quick else (999, 1.0)
    return Report(
        title=f"{count} judgments by an endpoint that takes {latency:g} s and allows {ALLOWED}",
        rows=[row for what, how in CASES.items() for row in measure(what, count, latency, **how)],
        machine=machine(("openai", "httpx")),
        notes=[f"Ratios to {count}/{ALLOWED} x {latency:g} s, the least that it can take."],
    ).publish("judging-quick" if quick else "judging", results)


if __name__ == "__main__":
    main()
