"""Turns are taken in order, as many at once as the pace has room for."""

from __future__ import annotations

import asyncio

import pytest

from ugc_tasks.judge.transport.retry import RateLimiter


def run(work: object) -> None:
    asyncio.run(asyncio.wait_for(work, 20))  # type: ignore[arg-type]


def test_no_more_than_the_window_are_in_and_those_who_wait_come_in_order() -> None:
    async def work() -> None:
        limiter = RateLimiter(2, 120.0)
        inside: list[int] = []
        entered: list[int] = []
        most = 0

        async def one(number: int) -> None:
            nonlocal most
            async with limiter.permit():
                entered.append(number)
                inside.append(number)
                most = max(most, len(inside))
                await asyncio.sleep(0.001)
                inside.remove(number)

        await asyncio.gather(*map(one, range(10)))
        assert entered == list(range(10))
        assert most == 2

    run(work())


def test_answers_let_more_in_at_once() -> None:
    async def work() -> None:
        limiter = RateLimiter(64, 120.0)
        gate = asyncio.Event()
        inside = 0

        async def one() -> None:
            nonlocal inside
            async with limiter.permit():
                inside += 1
                if inside <= 4:
                    limiter.answered()
                    return
                await gate.wait()

        tasks = [asyncio.create_task(one()) for _ in range(64)]
        while inside < 4 + limiter.size:  # four answers made room for twelve more
            await asyncio.sleep(0)
        assert limiter.size == 16 + 4 * 3
        gate.set()
        await asyncio.gather(*tasks)

    run(work())


def test_a_hold_ends_by_itself() -> None:
    async def work() -> None:
        limiter = RateLimiter(4, 120.0)
        loop = asyncio.get_running_loop()
        async with limiter.permit() as sent:
            limiter.throttled(sent, 0.1)
        started = loop.time()
        async with limiter.permit():
            assert loop.time() - started >= 0.09

    run(work())


@pytest.mark.parametrize("when", ["while it waits", "just after it was let in"])
def test_one_who_leaves_the_queue_takes_nobodys_turn_along(when: str) -> None:
    async def work() -> None:
        limiter = RateLimiter(1, 120.0)
        release = asyncio.Event()

        async def hold() -> None:
            async with limiter.permit():
                await release.wait()

        async def pass_through() -> bool:
            async with limiter.permit():
                return True

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        leaver = asyncio.create_task(pass_through())
        last = asyncio.create_task(pass_through())
        await asyncio.sleep(0)
        if when == "while it waits":
            leaver.cancel()
        release.set()
        while not holder.done():
            await asyncio.sleep(0)
            if when != "while it waits":
                leaver.cancel()
        assert await last

    run(work())
