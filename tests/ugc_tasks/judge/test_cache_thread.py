"""The store as an event loop uses it: never in the loop's way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from ugc_tasks.judge.cache import JudgeStoreError, JudgmentCache
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.types import ChatReply, Judgment, Scores


def test_work_is_done_beside_the_loop_one_after_another(tmp_path: Path) -> None:
    async def work() -> list[str]:
        disk = JudgmentCache(tmp_path / "judgments.sqlite3")
        gate, order = threading.Event(), []

        def first() -> str:
            gate.wait(20)
            order.append("first")
            return threading.current_thread().name

        def second() -> None:
            order.append("second")

        both = asyncio.gather(disk.do(first), disk.do(second))
        await asyncio.sleep(0)  # the loop is free
        gate.set()
        (thread, _) = await both
        await disk.aclose()
        assert thread.startswith("judge-store")
        return order

    assert asyncio.run(work()) == ["first", "second"]


def test_a_store_that_was_closed_is_open_no_longer(tmp_path: Path) -> None:
    disk = JudgmentCache(tmp_path / "judgments.sqlite3")
    asyncio.run(disk.aclose())
    with pytest.raises(JudgeStoreError, match="it is closed"):
        disk.first_scored("k")


def test_what_is_under_way_when_the_store_is_closed_is_on_disk_afterwards(tmp_path: Path) -> None:
    """It is paid for."""
    path = tmp_path / "judgments.sqlite3"
    keys = [f"k{number}" for number in range(20)]

    async def work() -> None:
        disk = JudgmentCache(path)
        judgment = Judgment("v", Scores(visual=1, audio=1, details=1))
        for key in keys:
            add = partial(disk.add, key, ChatReply("x"), judgment, judge="j")
            task = asyncio.ensure_future(disk.do(add))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        await disk.aclose()

    asyncio.run(work())
    again = JudgmentCache(path)
    assert again.scored(keys) == set(keys)
    again.close()


def test_only_scores_of_the_form_asked_for_are_found(tmp_path: Path) -> None:
    path = tmp_path / "judgments.sqlite3"
    for question, found in (("caption", False), ("background", True)):
        disk = JudgmentCache(path, QUESTIONS[question].schema)
        scores = Scores(consistent=1.0)
        disk.add("k", ChatReply("x"), Judgment("v", scores), judge="j")
        assert (disk.first_scored("k") is not None) == found
        asyncio.run(disk.aclose())


def test_work_that_comes_when_the_interpreter_ends_is_done_all_the_same(tmp_path: Path) -> None:
    """Replies that were on the wire when a run was interrupted arrive so late."""
    program = f"""
import asyncio, threading
from pathlib import Path
from ugc_tasks.judge.cache import JudgmentCache

disk = JudgmentCache(Path({str(tmp_path / "judgments.sqlite3")!r}))

def late():
    threading.main_thread().join()  # other threads take no work from here on
    print(asyncio.run(disk.do(lambda: "done")))

threading.Thread(target=late).start()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
