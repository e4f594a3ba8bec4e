"""Money: set aside before a request, spent after it, and never more than there is."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.judge.cost import Budget, BudgetReached, Meter, Price, budget_of, estimated_tokens
from ugc_tasks.judge.types import ChatReply

PRICE = Price("m", input=1000.0, output=10_000.0, as_of="2031-01-01", batch_factor=0.5)
"""A tenth of a cent a prompt token, one cent a reply token."""


def body(words: int = 100) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "word " * words}]}


def reply(prompt: int | None = 120, completion: int | None = 20) -> ChatReply:
    return ChatReply("{}", prompt_tokens=prompt, completion_tokens=completion)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def one(meter: Meter, answer: ChatReply | None, seconds: float = 0.001) -> None:
    with await meter.reserve(body()) as bill:
        await asyncio.sleep(seconds)
        if answer is not None:
            bill.paid(meter.usage(body(), answer))


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
        first = await meter.reserve(body())
        second = asyncio.ensure_future(meter.reserve(body()))
        await asyncio.sleep(0.1)
        assert not second.done()
        with first:
            first.paid(meter.usage(body(), reply()))
        with await second as bill:
            bill.free()

    run(work())


def test_one_that_does_not_fit_waits_for_those_under_way() -> None:
    async def work() -> None:
        purse = Budget(4.0)
        meter = Meter(purse, PRICE)
        await one(meter, reply())  # 0.32; from now on 0.95 are set aside for each
        bills = [await meter.reserve(body()) for _ in range(3)]
        late = asyncio.ensure_future(meter.reserve(body()))
        await asyncio.sleep(0.1)
        assert not late.done()
        for bill in bills:
            with bill:
                bill.free()
        with await late as bill:
            bill.free()
        assert purse.spent == pytest.approx(0.32)

    run(work())


def test_the_sentence_says_what_was_spent_and_what_to_do() -> None:
    async def work() -> None:
        with pytest.raises(BudgetReached) as caught:
            await Meter(Budget(0.01), PRICE).reserve(body())
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


def test_a_prompt_may_be_counted_higher_by_the_endpoint_than_by_us() -> None:
    """By three tenths at first, then by a twentieth more than it ever was."""
    meter = Meter(Budget(100.0), PRICE)
    asked = body(200) | {"max_tokens": 0}
    ours = estimated_tokens(asked)
    assert meter.at_most(asked) == pytest.approx(round(ours * 1.3) / 1000)
    meter.usage(asked, reply(2 * ours))
    meter.usage(asked, reply(ours))
    assert meter.at_most(asked) == pytest.approx(round(ours * 2 * 1.05) / 1000), "at most so far"


def test_once_there_was_a_reply_requests_need_not_go_alone_be_it_an_empty_one() -> None:
    async def work() -> None:
        meter = Meter(Budget(100.0), PRICE)
        await one(meter, reply(120, 0))
        bills = [await meter.reserve(body()) for _ in range(3)]
        assert len(bills) == 3

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


def test_what_the_request_itself_allows_is_the_longest_reply() -> None:
    meter = Meter(Budget(100.0), PRICE)
    free = meter.at_most(body())
    stated = meter.at_most(body() | {"max_tokens": 10})
    assert free - stated == pytest.approx((256 - 10) * 0.01)
    assert meter.at_most(body(), batched=True) == pytest.approx(free / 2)


def test_an_endpoint_that_tells_no_usage_is_estimated() -> None:
    meter = Meter(Budget(None), PRICE)
    usage = meter.usage(body(), reply(None, None))
    assert usage.prompt_tokens == pytest.approx(110, abs=20)
    assert usage.completion_tokens > 0


def test_a_batch_takes_as_many_as_there_is_room_for() -> None:
    purse = Budget(5.0)
    meter = Meter(purse, PRICE)
    bodies = {str(number): body() for number in range(10)}
    chosen, aside = meter.afford(bodies)
    assert list(chosen) == [str(number) for number in range(len(chosen))]
    assert 0 < len(chosen) < 10
    assert purse.room == pytest.approx(5.0 - sum(meter.at_most(b, batched=True) for b in
                                                 chosen.values()))  # fmt: skip
    with aside:
        meter.batched(body(), reply())
    assert purse.room == pytest.approx(5.0 - 0.32 / 2)


def test_a_batch_takes_requests_in_their_order() -> None:
    meter = Meter(Budget(3.0), PRICE)
    chosen, _ = meter.afford({"first": body(), "long": body(9_000), "short": body()})
    assert list(chosen) == ["first"]


def test_a_batch_is_not_handed_in_where_another_was_quicker_with_the_room() -> None:
    class Contended(Budget):
        @property
        def room(self) -> float | None:
            found = super().room
            assert found is not None
            self.set_aside(found)
            return found

    purse = Contended(5.0)
    chosen, aside = Meter(purse, PRICE).afford({"a": body()})
    assert chosen == {}
    with aside:
        assert Budget.room.fget(purse) == 0.0  # type: ignore[attr-defined]
    assert Budget.room.fget(purse) == 0.0  # type: ignore[attr-defined]


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
    assert purse.room == 1e9 - 4000.0


@pytest.mark.parametrize("name", ["max_completion_tokens", "max_tokens"])
def test_either_name_of_the_longest_reply_is_heeded(name: str) -> None:
    meter = Meter(Budget(100.0), PRICE)
    for most in (10, 1_000):
        more = meter.at_most(body() | {name: most}) - meter.at_most(body())
        assert more == pytest.approx((most - 256) * 0.01)


def test_short_replies_do_not_make_the_next_ones_short() -> None:
    """64 tokens at least are set aside, and four times the longest reply of all so far."""
    meter = Meter(Budget(100.0), PRICE)
    unknown = meter.at_most(body())
    meter.usage(body(), reply(112, 1))
    assert unknown - meter.at_most(body()) == pytest.approx((256 - 64) * 0.01, abs=0.005)
    meter.usage(body(), reply(112, 30))
    meter.usage(body(), reply(112, 2))
    assert unknown - meter.at_most(body()) == pytest.approx((256 - 120) * 0.01, abs=0.005)


def test_no_reply_is_longer_than_the_model_can_give() -> None:
    price = dataclasses.replace(PRICE, max_output=100)
    capped, free = Meter(Budget(100.0), price), Meter(Budget(100.0), PRICE)
    assert free.at_most(body()) - capped.at_most(body()) == pytest.approx((256 - 100) * 0.01)
    roomy = Meter(Budget(100.0), dataclasses.replace(PRICE, max_output=16_384))
    assert roomy.at_most(body()) == free.at_most(body()), "nobody answers at such length"


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
