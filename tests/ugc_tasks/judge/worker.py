"""A judging run in a process of its own, for tests that kill it or run two at once.

``worker.py BASE_URL STORE COUNT CONCURRENCY`` judges clips ``clip-0`` … and prints their scores; by
the batch where ``WORKER_MODE`` is ``batch``, each ``WORKER_REPEATS`` times. The key is
``OPENAI_API_KEY`` if there is one. Where ``WORKER_END`` is ``left`` the judge is never closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.retry import Backoff
from ugc_tasks.judge.types import JudgeItem


def clips(count: int) -> list[JudgeItem]:
    return [JudgeItem(f"clip-{n}", f"A caption, number {n}.", "A reference.") for n in range(count)]


def main() -> None:
    base_url, store, count, concurrency = sys.argv[1:]
    settings = JudgeSettings(
        store=Path(store), base_url=base_url, concurrency=int(concurrency),
        timeout=10.0, deadline=30.0,
        api_key=os.environ.get("OPENAI_API_KEY", "sk-worker-0123456789"),
        batch=os.environ.get("WORKER_MODE") == "batch",
        repeats=int(os.environ.get("WORKER_REPEATS", "1")),
    )  # fmt: skip
    profile = paper_profile("Grade the caption.")
    with contextlib.ExitStack() as stack:
        judge = Judge(profile, settings, backoff=Backoff(0.01, 0.05))
        if os.environ.get("WORKER_END") != "left":
            stack.enter_context(judge)
        judgments = judge.judge_many(clips(int(count)), progress=False)
    print(json.dumps({j.video_id: j.scores["visual"] for j in judgments if j.scores}))


if __name__ == "__main__":
    main()
