"""The store as an event loop uses it: never in the loop's way; what was paid for is tried again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from ugc_tasks.judge.disk import Disk
from ugc_tasks.judge.store import JudgeStoreError


def test_work_is_done_beside_the_loop_one_after_another(tmp_path: Path) -> None:
    async def work() -> list[str]:
        disk = Disk(tmp_path / "judgments.sqlite3")
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


@pytest.mark.parametrize("room_in_the_end", [True, False])
def test_what_cannot_be_kept_is_tried_once_more_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, room_in_the_end: bool
) -> None:
    tries = []

    def add() -> int:
        tries.append(1)
        if len(tries) == 1 or not room_in_the_end:
            raise JudgeStoreError("the disk is full")
        return 1

    async def work() -> None:
        disk = Disk(tmp_path / "judgments.sqlite3")
        with pytest.raises(JudgeStoreError):
            await disk.keep(add)
        await disk.aclose()

    asyncio.run(work())
    assert len(tries) == 2
    assert ("1 judgments that were paid for" in caplog.text) is not room_in_the_end
