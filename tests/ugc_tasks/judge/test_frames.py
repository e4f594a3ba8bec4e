"""From lmms-eval's ``process_results`` to the call of the ``openai`` client it is a short way."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ugc_tasks
from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.lmms.hooks import PrefetchFilter

PACKAGE = str(Path(ugc_tasks.__file__).parent)
MOST = 9


def ours(frame: FrameType | None) -> Iterator[str]:
    """Yield the functions of ours on a thread's stack, the innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            yield frame.f_code.co_qualname
        frame = frame.f_back


def test_a_judged_caption_passes_few_frames_of_ours(
    load_task: LoadTask,
    make_home: MakeHome,
    judge_server: JudgeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the calling thread up to the judge's loop, and those of the task in the loop."""
    from openai.resources.chat.completions import AsyncCompletions

    in_caller: list[list[str]] = []
    in_loop: list[list[str]] = []
    handed_over, create = asyncio.run_coroutine_threadsafe, AsyncCompletions.create

    def hand_over(work: Any, loop: Any) -> Any:
        if threading.current_thread() is not judge_thread():
            in_caller.append(list(ours(sys._getframe(1))))
        return handed_over(work, loop)

    def judge_thread() -> threading.Thread | None:
        return next((t for t in threading.enumerate() if t.name == "judge"), None)

    async def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        in_loop.append(list(ours(sys._getframe(1))))
        return await create(self, *args, **kwargs)

    make_home(1)
    task = load_task("ugc_videocap")
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", hand_over)
    monkeypatch.setattr(AsyncCompletions, "create", called)
    (doc,) = task.eval_docs
    results = PrefetchFilter().apply([["A caption."]], task.eval_docs)
    row = task.process_results(doc, list(results))
    assert row["visual"] == 80.0
    (asked,) = in_loop
    submitted = next(way for way in in_caller if way[0].endswith("submit"))
    way = [*reversed(submitted), *reversed(asked)]
    assert way[0].startswith("process_")
    assert len(way) <= MOST, " > ".join(way)
