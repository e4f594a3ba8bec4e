"""Runs of ``gemini_video`` that are killed again and again, against an API on loopback.

No answer that was stored is lost or asked for again, and in the end nothing of ours is left at the
API, whatever moment a run was killed at. Files of somebody else stay.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.captioning import NUMBER, Captioning, Nursery
from tests.support.clips import write_clip
from tests.support.gemini_server import Call, GeminiServer
from tests.support.judge_server import Act

pytestmark = pytest.mark.timeout(3600)

SHORT = 3
CLIPS = 5
GENERATIONS = [{"temperature": 0.2, "max_new_tokens": 24, "until": []}] * 3
THEIRS = "files/somebody-elses"


def _slowly(call: Call) -> Act | None:
    """Answer after a moment, so that there are moments to be killed at."""
    time.sleep(0.02 + 0.05 * (call.number % 3))
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[GeminiServer]:
    with GeminiServer(_slowly, looks=2) as server:
        server.foreign(THEIRS)
        yield server


def test_kills_lose_no_answer_and_leave_no_file(
    server: GeminiServer, rounds: Callable[[int], int], tmp_path: Path
) -> None:
    clips = [write_clip(tmp_path / f"{i}.mp4", seconds=1, fps=5, seed=i) for i in range(CLIPS)]
    points, kills, campaigns, left_there = random.Random(1), 0, 0, 0

    def campaign() -> Captioning:
        arguments = {"preset": "paper", "concurrency": 2}
        folder = tmp_path / str(campaigns)
        return Captioning(folder, clips, GENERATIONS, lmms_model="gemini_video", **arguments)

    with Nursery("gemini_video", server.environment()) as nursery:
        current = campaign()
        while kills < rounds(SHORT):
            before = current.stored()
            server.calls.clear()
            with current.start(nursery) as run:
                after = points.randint(1, 12)
                if run.wait_until(lambda after=after: len(server.calls) >= after):
                    time.sleep(points.uniform(0, 0.3))
                if run.process.poll() is None:
                    kills += 1
                run.kill()
            left_there += len(server.files) > 1
            asked = {int(NUMBER.search(call.about)[1]) for call in server.of("generate")}  # type: ignore[index]
            now = current.stored()
            assert {number: now.get(number) for number in before} == before
            assert not asked & set(before)
            if len(now) == len(current.docs):
                _finish(current, nursery, server)
                campaigns += 1
                current = campaign()
        _finish(current, nursery, server)
        campaigns += 1
        _interrupt(campaign(), nursery, server)
    assert left_there, "no kill came while there was a file"


def _interrupt(campaign: Captioning, nursery: Nursery, server: GeminiServer) -> None:
    """Press Ctrl-C while it answers: what is in flight is kept, and all is tidied up."""
    server.calls.clear()
    with campaign.start(nursery) as run:
        run.wait_until(lambda: bool(server.of("generate")))
        run.interrupt()
        assert run.end() != 0
    stored = campaign.stored()
    assert 0 < len(stored) < len(campaign.docs)
    assert len(server.of("generate")) == len(stored)
    assert list(server.files) == [THEIRS]
    _finish(campaign, nursery, server)


def _finish(campaign: Captioning, nursery: Nursery, server: GeminiServer) -> None:
    """Run it to its end; what is missing is asked for once, and all is tidied up."""
    before = campaign.stored()
    server.calls.clear()
    with campaign.start(nursery) as run:
        rows = run.captions()
    asked = [int(NUMBER.search(call.about)[1]) for call in server.of("generate")]  # type: ignore[index]
    assert sorted(asked) == sorted(set(range(len(campaign.docs))) - set(before))
    assert [row["error"] for row in rows] == [None] * len(rows)
    assert all(
        row["text"].endswith(doc["question"]) for row, doc in zip(rows, campaign.docs, strict=True)
    )
    assert list(server.files) == [THEIRS]
    assert not list((campaign.folder / "gemini-uploads").iterdir())
