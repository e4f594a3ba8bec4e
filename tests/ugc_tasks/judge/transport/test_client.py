"""One request: what may pass is repeated, what cannot is said in one sentence, the key in none."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import gzip
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import Act, JudgeServer
from ugc_tasks.judge.cost import Budget, Meter
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.transport.client import MAX_BODY, Answer, Connection, chat_call
from ugc_tasks.judge.transport.errors import (
    JudgeRefused,
    RequestFailed,
    RequestTimedOut,
    Unreadable,
)
from ugc_tasks.judge.transport.retry import (
    Backoff,
    CircuitBreaker,
    RateLimiter,
    RetryingClient,
    TimeBudget,
)
from ugc_tasks.judge.types import ChatReply, Usage

CANARY = "sk-canary-4cb1d8f0a7e2"
BODY = paper_profile("Grade.").request("PI-1", "A caption.", "A reference.")


def ask(
    server: JudgeServer,
    *script: Act,
    body: dict[str, Any] = BODY,
    timeout: float = 5.0,
    within: float = 20.0,
    backoff: Backoff | None = None,
) -> ChatReply:
    """Ask once with the server acting by ``script``."""
    if script:
        server.script = script

    backoff = backoff or Backoff(first=0.01, longest=0.02, longest_told=1.0)

    async def kept(reply: ChatReply, _: Usage) -> ChatReply:
        return reply

    async def once() -> ChatReply:
        connection = Connection(server.base_url, CANARY, endpoint="the-endpoint", timeout=timeout)
        tries = RetryingClient(
            connection,
            limiter=RateLimiter(4, backoff.longest_told),
            meter=Meter(Budget(None), None),
            backoff=backoff,
            breaker=CircuitBreaker(),
            timeout=timeout,
        )
        try:
            return await tries.ask(body, kept, TimeBudget(within))
        finally:
            await connection.aclose()

    return asyncio.run(once())


def test_a_reply_comes_with_what_the_endpoint_says_about_it(server: JudgeServer) -> None:
    scores = "{'visual': 4, 'audio': 3, 'details': 4}"
    assert ask(server) == ChatReply(scores, "stop", "loopback-judge-1", "fp_loopback", 700, 18)


def test_the_endpoint_gets_the_body_and_nothing_more(server: JudgeServer) -> None:
    ask(server)
    (asked,) = server.requests
    assert asked.body == BODY
    assert asked.path == "/v1/chat/completions"
    assert asked.authorization == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "fault",
    [
        act.status(500),
        act.status(503, CANARY),
        act.status(408),
        act.too_many("0"),
        act.too_many("nonsense"),
        act.status(429),
        act.cut_off(),
        Act(body=b" \n"),
        Act(body=b'{"error": {"message": "upstream", "code": 502}}'),
        Act(500, b"\xff\xfe not json"),
        Act(502, b"<html>bad gateway</html>"),
    ],
    ids=lambda fault: f"{fault.status}-{bytes(fault.body or b'')[:24]!r}",
)
def test_a_fault_that_may_pass_is_outlived(server: JudgeServer, fault: Act) -> None:
    assert ask(server, fault, fault, act.scores(5, 5, 5)).text.count("5") == 3
    assert len(server.requests) == 3


def test_a_request_that_hangs_is_given_up_and_sent_again(server: JudgeServer) -> None:
    started = time.monotonic()
    assert ask(server, act.hang(), act.scores(), timeout=0.3).text
    assert 0.3 <= time.monotonic() - started < 5


def test_a_server_that_asks_for_time_gets_it(server: JudgeServer) -> None:
    started = time.monotonic()
    ask(server, act.too_many("0.6"), act.scores())
    assert time.monotonic() - started >= 0.6


def test_what_a_server_asks_for_is_a_part_of_what_a_request_may_take(server: JudgeServer) -> None:
    """It is not waited for where no time would be left afterwards."""
    started = time.monotonic()
    patient = Backoff(first=0.01, longest=0.02, longest_told=100.0)
    with pytest.raises(
        RequestTimedOut, match=r"answered 429 \(slow down\); given up after 1 tries"
    ):
        ask(server, act.too_many("50"), within=20.0, backoff=patient)
    assert time.monotonic() - started < 20
    assert len(server.requests) == 1


def test_waits_are_a_part_of_what_a_request_may_take(server: JudgeServer) -> None:
    """Two waits of half a second fit into 1.2 s, and a third does not."""
    with pytest.raises(RequestTimedOut, match="given up after"):
        ask(server, *[act.too_many("0.5")] * 3, act.scores(), within=1.2)


def test_a_try_takes_no_longer_than_what_is_left(server: JudgeServer) -> None:
    with pytest.raises(RequestTimedOut, match=r"given up after 1 tries in [1-5] s"):
        ask(server, act.hang(), timeout=9.0, within=1.0)


def test_the_first_reason_to_ask_nothing_more_stays_and_nobody_sleeps_on() -> None:
    async def work() -> None:
        breaker = CircuitBreaker()
        breaker.check()
        await breaker.sleep(0.01)
        assert breaker.trip("no money")
        assert not breaker.trip("closed")
        with pytest.raises(JudgeRefused, match="no money"):
            breaker.check()
        with pytest.raises(JudgeRefused, match="no money"):
            await breaker.sleep(60)

    asyncio.run(work())


def test_a_wait_is_what_was_told_and_then_some_and_both_have_a_most() -> None:
    backoff = Backoff(first=1.0, longest=4.0, longest_told=10.0)
    waits = [[backoff.wait(tries, told) for _ in range(200)] for tries, told in
             ((1, 0.0), (2, 0.0), (3, 0.0), (50, 0.0), (1, 7.0), (1, 99.0))]  # fmt: skip
    least, most = zip(*((min(w), max(w)) for w in waits), strict=True)
    assert all(low >= told for low, told in zip(least, (0, 0, 0, 0, 7, 10), strict=True))
    assert all(h <= m for h, m in zip(most, (1, 2, 4, 4, 8, 11), strict=True))
    spread = [high - low for low, high in zip(least, most, strict=True)]
    # All who failed at one moment must not come back at one moment.
    assert all(s > w / 2 for s, w in zip(spread, (1, 2, 4, 4, 1, 1), strict=True))


def test_a_server_that_asks_for_a_day_does_not_get_it(server: JudgeServer) -> None:
    started = time.monotonic()
    quick = Backoff(first=0.01, longest=0.02, longest_told=0.1)
    ask(server, act.too_many("86400"), act.too_many("Fri, 31 Dec 2100 23:59:59 GMT"),
        act.scores(), backoff=quick)  # fmt: skip
    assert time.monotonic() - started < 5


def test_waits_grow_so_that_a_struggling_server_is_left_alone(server: JudgeServer) -> None:
    """Thirty tries at once would come within a second without back-off."""
    with pytest.raises(RequestTimedOut):
        ask(server, act.status(500), within=1.5, backoff=Backoff(first=0.2, longest=5.0))
    assert 2 <= len(server.requests) <= 12


@pytest.mark.parametrize("fault", [act.status(503), act.hang(), act.cut_off()])
def test_what_never_passes_ends_at_the_deadline(server: JudgeServer, fault: Act) -> None:
    started = time.monotonic()
    with pytest.raises(RequestTimedOut, match=r"the-endpoint: .*given up after \d+ tries"):
        ask(server, fault, timeout=0.4, within=0.8)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (act.status(401, f"Incorrect API key provided: {CANARY}"), "OPENAI_API_KEY"),
        (act.status(401, "Incorrect API key provided: sk-canar*****a7e2."), "OPENAI_API_KEY"),
        (act.status(403, f"this API key may not: {CANARY}"), "OPENAI_API_KEY"),
        (act.status(404, f"no such model for {CANARY}"), "UGC_JUDGE_MODEL"),
        (act.status(400, "bad model sk-canar**a7e2", param="model"), "UGC_JUDGE_MODEL"),
        (
            act.status(400, "no schemas", param="response_format"),
            "not take response_format",
        ),
        (
            act.status(400, "Unsupported value: 'temperature' does not support 0"),
            "not take temperat",
        ),
        (act.status(402), "quota"),
        (act.no_quota(), "quota"),
    ],
)
def test_what_no_request_will_pass_is_refused_at_once(
    server: JudgeServer, fault: Act, said: str
) -> None:
    with pytest.raises(JudgeRefused) as caught:
        ask(server, fault)
    assert len(server.requests) == 1
    assert f"the-endpoint answered {fault.status}" in str(caught.value)
    assert said in str(caught.value)
    assert_no_key_in(caught.value)


def test_a_request_declined_for_its_content_fails_alone(server: JudgeServer) -> None:
    with pytest.raises(RequestFailed, match=r"answered 400 .*content policy") as caught:
        ask(server, act.status(400, f"content policy {CANARY} sk-canar***a7e2\n" + "x" * 5000))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert_no_key_in(caught.value)


def test_text_that_is_no_unicode_fails_alone_and_is_not_sent(server: JudgeServer) -> None:
    body = paper_profile("Grade.").request("PI-1", "half a pair: \ud83d", "A reference.")
    with pytest.raises(RequestFailed, match="not valid Unicode"):
        ask(server, body=body)
    assert not server.requests


def test_a_model_that_declines_is_a_reply(server: JudgeServer) -> None:
    declined = b'{"choices": [{"message": {"content": null, "refusal": "I will not."}}]}'
    assert ask(server, Act(body=declined)) == ChatReply(
        "I will not.", lacks="the judge declined to answer"
    )


def send(server: JudgeServer, act: Act, largest: int) -> tuple[Answer, Exception]:
    """Send one request; return the answer and the failure that it would mean."""
    server.script = [act]

    async def once() -> tuple[Answer, Exception]:
        connection = Connection(server.base_url, CANARY, "the-endpoint", 60.0, largest)
        try:
            answer = await connection.send(chat_call(BODY))
            return answer, connection.failure(answer)
        finally:
            await connection.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.parametrize("largest", [1000, 48 << 20])
def test_the_body_of_an_error_is_read_to_a_limit_of_its_own(
    server: JudgeServer, code: int, largest: int
) -> None:
    """Its beginning is enough to tell what is wrong, and a server may go on for ever."""
    endless = Act(code, b'{"error": {"message": "' + b"x" * (24 << 20))
    with at_most(12 << 20):
        answer, failure = send(server, endless, largest)
    assert len(answer.content) == MAX_BODY
    assert str(code) in str(failure)
    assert len(str(failure)) < 400


def test_an_answer_may_have_so_many_bytes_and_not_one_more(server: JudgeServer) -> None:
    answer, _ = send(server, Act(200, b"x" * 1000), 1000)
    assert answer.content == b"x" * 1000
    with pytest.raises(Unreadable, match="larger than 1000 bytes") as caught:
        send(server, Act(200, b"x" * 1001), 1000)
    assert caught.value.billed == ChatReply("")


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", " GZIP"])
def test_an_answer_that_is_packed_is_not_unpacked(server: JudgeServer, packing: str) -> None:
    """A small body could unpack to any size."""
    bomb = Act(200, gzip.compress(b"0" * (64 << 20)), {"Content-Encoding": packing})
    said = rf"is packed \({packing.strip().lower()}\), although it was not to be"
    with at_most(32 << 20), pytest.raises(Unreadable, match=said) as caught:
        ask(server, bomb)
    assert caught.value.billed == ChatReply("")
    assert len(server.requests) == 1
    bomb = replace(bomb, status=400)
    with at_most(32 << 20), pytest.raises(RequestFailed, match=r"answered 400$"):
        ask(server, bomb)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Fail where more than ``size`` bytes of memory are taken."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_an_answer_is_asked_for_unpacked_and_for_whom_the_environment_says(
    server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1\n")
    monkeypatch.setenv("OPENAI_PROJECT_ID", " ")
    ask(server)
    (asked,) = server.requests
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["openai-organization"] == "org-1"
    assert "openai-project" not in asked.headers


def test_another_address_is_not_followed_with_the_key(server: JudgeServer) -> None:
    with JudgeServer() as other:
        there = {"Location": f"{other.base_url}/chat/completions"}
        with pytest.raises(JudgeRefused, match="OPENAI_BASE_URL"):
            ask(server, Act(307, b"", there))
        assert not other.requests


def test_a_server_that_names_a_moment_gets_until_then(server: JudgeServer) -> None:
    moment = email.utils.format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2), usegmt=True
    )
    started = time.monotonic()
    patient = Backoff(first=0.01, longest=0.02, longest_told=5.0)
    ask(server, act.too_many(moment), act.scores(), backoff=patient)
    assert time.monotonic() - started >= 0.9  # the date has whole seconds


def test_a_reply_that_repeats_the_key_loses_it(server: JudgeServer) -> None:
    assert ask(server, act.text(f"your key is {CANARY}")).text == "your key is [redacted]"


def test_numbers_that_no_database_holds_are_dropped(server: JudgeServer) -> None:
    body = b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1%s}}'
    assert ask(server, Act(body=body % (b"0" * 100))) == ChatReply("x")


def test_an_address_where_nothing_listens_is_said_at_once() -> None:
    with JudgeServer() as server:
        pass
    where = server.base_url.split("/")[2]
    with pytest.raises(JudgeRefused, match=f"nothing listens at {where}; check OPENAI_BASE_URL"):
        ask(server, within=600)


def assert_no_key_in(error: BaseException | None) -> None:
    """Look into the exception and all it drags along."""
    while error is not None:
        for text in (str(error), repr(error), repr(vars(error))):
            assert CANARY not in text
            assert "a7e2" not in text
        assert not hasattr(error, "request")
        error = error.__cause__ or error.__context__
