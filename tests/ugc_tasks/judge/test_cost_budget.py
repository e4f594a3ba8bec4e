"""Money: set aside before a request, spent after it, and never more than there is."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.judge.cost import Budget, BudgetReached, Meter, Price, budget_of, estimated_tokens
from ugc_tasks.judge.types import ChatReply

PRICE = Price(input=1000.0, output=10_000.0, as_of="2031-01-01", batch_factor=0.5)
"""A tenth of a cent a prompt token, one cent a reply token."""


def body(words: int = 100) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "word " * words}]}


def reply(prompt: int | None = 120, completion: int | None = 20) -> ChatReply:
    return ChatReply("{}", prompt_tokens=prompt, completion_tokens=completion)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def one(meter: Meter, answer: ChatReply | None, seconds: float = 0.001) -> None:
    async with meter.reserve(body()) as bill:
        await asyncio.sleep(seconds)
        if answer is not None:
            bill.usd = meter.usage(body(), answer).usd


async def waiting(meter: Meter) -> asyncio.Task[None]:
    """Return a request that is still not sent after a while; it costs nothing."""

    async def free() -> None:
        async with meter.reserve(body()) as bill:
            bill.usd = 0.0

    task = asyncio.create_task(free())
    await asyncio.sleep(0.1)
    assert not task.done()
    return task


def test_without_a_budget_nothing_waits_and_all_is_counted() -> None:
    async def work() -> None:
        purse = Budget(None)
        meter = Meter(purse, PRICE)
        await asyncio.gather(*(one(meter, reply()) for _ in range(50)))
        assert purse.spent == pytest.approx(50 * (0.12 + 0.2))

    run(work())


@pytest.mark.parametrize("seed", range(10))
def test_whatever_replies_cost_within_reason_the_budget_is_not_passed(seed: int) -> None:
    """Replies up to four times the longest before, prompts counted otherwise than by us."""
    chance = random.Random(seed)
    excess = chance.uniform(0.3, 1.0)

    async def work() -> None:
        limit = chance.uniform(3.5, 30.0)
        purse = Budget(limit)
        meter = Meter(purse, PRICE)

        async def judge() -> bool:
            try:
                await one(
                    meter,
                    reply(round(112 * excess), chance.randint(15, 60)),
                    chance.uniform(0, 0.003),
                )
            except BudgetReached:
                return False
            return True

        judged = sum(await asyncio.gather(*(judge() for _ in range(120))))
        assert 0 < judged < 120
        assert limit * 0.5 < purse.spent <= limit

    run(work())


def test_an_endpoint_that_counts_more_than_we_do_is_learned_from_one_request() -> None:
    """Eight times our count: the first goes alone, and the others are reckoned with by it."""

    async def work() -> None:
        purse = Budget(6.0)
        meter = Meter(purse, PRICE)
        results = await asyncio.gather(
            *(one(meter, reply(900, 20)) for _ in range(40)), return_exceptions=True
        )
        assert purse.spent <= 6.0
        assert sum(result is None for result in results) == 4  # of 1.10 each, 1.75 set aside

    run(work())


def test_the_first_request_goes_alone() -> None:
    async def work() -> None:
        meter = Meter(Budget(1000.0), PRICE)
        async with meter.reserve(body()) as first:
            second = await waiting(meter)
            first.usd = meter.usage(body(), reply()).usd
        await second

    run(work())


def test_one_that_does_not_fit_waits_for_those_under_way() -> None:
    async def work() -> None:
        purse = Budget(4.0)
        meter = Meter(purse, PRICE)
        await one(meter, reply())  # 0.32; from now on 0.95 are set aside for each
        async with AsyncExitStack() as under_way:
            for _ in range(3):
                bill = await under_way.enter_async_context(meter.reserve(body()))
                bill.usd = 0.0
            late = await waiting(meter)
        await late
        assert purse.spent == pytest.approx(0.32)

    run(work())


def test_the_sentence_says_what_was_spent_and_what_to_do() -> None:
    async def work() -> None:
        with pytest.raises(BudgetReached) as caught:
            await one(Meter(Budget(0.01), PRICE), reply())
        said = str(caught.value)
        assert "UGC_JUDGE_BUDGET" in said
        assert "$0.01" in said
        assert "$0.0000 are spent" in said
        assert "run again with a larger budget" in said
        assert "\n" not in said

    run(work())


def test_a_budget_is_spent_to_the_last_cent_and_not_beyond() -> None:
    purse = Budget(0.3)
    assert purse.set_aside(0.1)
    assert purse.set_aside(0.2), "0.1 + 0.2 is a little more than 0.3 to a computer"
    with pytest.raises(BudgetReached):
        Budget(1.0).set_aside(1.0001)


def test_a_budget_of_nothing_buys_nothing() -> None:
    with pytest.raises(BudgetReached):
        Budget(0.0).set_aside(0.01)
    with Meter(Budget(0.0), PRICE).afford([("a", body())]) as chosen:
        assert chosen == {}


def test_a_prompt_may_be_counted_higher_by_the_endpoint_than_by_us() -> None:
    """By three tenths at first, then by a twentieth more than it ever was."""
    meter = Meter(Budget(100.0), PRICE)
    asked = body(200)
    ours = estimated_tokens(asked)
    assert meter.at_most(ours) == pytest.approx(round(ours * 1.3) / 1000 + 2.56)
    meter.usage(asked, reply(2 * ours, 10))
    meter.usage(asked, reply(ours, 10))
    assert meter.at_most(ours) == pytest.approx(round(ours * 2 * 1.05) / 1000 + 0.64)


def test_once_there_was_a_reply_requests_need_not_go_alone_be_it_an_empty_one() -> None:
    async def work() -> None:
        meter = Meter(Budget(100.0), PRICE)
        await one(meter, reply(120, 0))
        async with AsyncExitStack() as under_way:
            for _ in range(3):
                await under_way.enter_async_context(meter.reserve(body()))

    run(work())


def test_a_request_whose_reply_never_came_may_have_been_paid_for() -> None:
    async def work() -> None:
        purse = Budget(100.0)
        meter = Meter(purse, PRICE)
        for longest in (20, 60):
            await one(meter, reply(120, longest))
            known = purse.spent
            await one(meter, None)
            assert purse.spent >= known + 0.1 + longest / 100

    run(work())


def test_an_endpoint_that_tells_no_usage_is_estimated() -> None:
    meter = Meter(Budget(None), PRICE)
    usage = meter.usage(body(), reply(None, None))
    assert usage.prompt_tokens == pytest.approx(110, abs=20)
    assert usage.completion_tokens > 0


def test_a_batch_takes_as_many_as_there_is_room_for() -> None:
    purse = Budget(5.0)
    meter = Meter(purse, PRICE)
    bodies = {str(number): body() for number in range(10)}
    one = meter.at_most(estimated_tokens(body()), batched=True)
    assert one == pytest.approx(meter.at_most(estimated_tokens(body())) / 2)
    with meter.afford(bodies.items()) as chosen:
        assert list(chosen) == [str(number) for number in range(len(chosen))]
        assert 5.0 - one < len(chosen) * one <= 5.0
        assert not purse.set_aside(one), "it waits for the batch"
        meter.batched(body(), reply())
    assert purse.spent == pytest.approx(0.32 / 2)
    assert purse.set_aside(5.0 - 0.32 / 2), "what the batch did not cost is there again"


def test_a_batch_takes_requests_in_their_order() -> None:
    meter = Meter(Budget(3.0), PRICE)
    bodies = {"first": body(), "long": body(9_000), "short": body()}
    with meter.afford(bodies.items()) as chosen:
        assert list(chosen) == ["first"]
    with Meter(Budget(0.01), PRICE).afford(bodies.items()) as chosen:
        assert chosen == {}


def test_a_process_has_one_purse_for_a_store_and_a_budget(tmp_path: Path) -> None:
    first = budget_of(tmp_path / "a", 3.0)
    assert budget_of(tmp_path / "a", 3.0) is first
    assert budget_of(tmp_path / "a", 4.0) is not first
    assert budget_of(tmp_path / "b", 3.0) is not first


def test_threads_do_not_lose_a_cent() -> None:
    purse = Budget(1e9)

    def spend() -> None:
        for _ in range(500):
            purse.set_aside(2.0)
            purse.settle(2.0, 1.0)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert purse.spent == 4000.0
    assert purse.set_aside(1e9 - 4000.0)


def test_short_replies_do_not_make_the_next_ones_short() -> None:
    """64 tokens at least are set aside, and four times the longest reply of all so far."""
    meter = Meter(Budget(100.0), PRICE)
    ours = estimated_tokens(body())
    unknown = meter.at_most(ours)
    meter.usage(body(), reply(112, 1))
    assert unknown - meter.at_most(ours) == pytest.approx((256 - 64) * 0.01, abs=0.005)
    meter.usage(body(), reply(112, 30))
    meter.usage(body(), reply(112, 2))
    assert unknown - meter.at_most(ours) == pytest.approx((256 - 120) * 0.01, abs=0.005)


def test_a_fork_has_a_purse_of_its_own(tmp_path: Path) -> None:
    """What a process spends after a fork is not known to the other: they must not share one."""
    purse = budget_of(tmp_path / "a", 3.0)
    purse.spend(1.0)
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        own = budget_of(tmp_path / "a", 3.0)
        os.write(ends[1], b"own" if own is not purse else b"shared")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ends[0], 10) == b"own"


def test_a_store_has_one_purse_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert budget_of(Path("a"), 3.0) is budget_of(tmp_path / "a", 3.0)
