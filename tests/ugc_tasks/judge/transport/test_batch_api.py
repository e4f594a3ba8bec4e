"""Files of the Batch API: every request in one of them, every reply under its key, no junk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.batch_server import Batch, BatchServer
from tests.support.judge_server import Act, scores
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport import batch_api
from ugc_tasks.judge.transport.batch_api import (
    MAX_BYTES,
    MAX_REQUESTS,
    TAG,
    URL,
    BatchApi,
    Part,
    is_id,
    next_part,
    replies,
)
from ugc_tasks.judge.transport.retry import Backoff, CircuitBreaker

KEY = "sk-canary-4cb1d8f0a7e2"
T = TypeVar("T")


def bodies(count: int, size: int = 10) -> dict[str, dict[str, Any]]:
    return {f"key{n}": {"model": "m", "messages": [{"content": "é" * size}]} for n in range(count)}


def parts(
    asked: dict[str, dict[str, Any]], max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> list[Part]:
    """Return all files of the requests, one after another."""
    left, files = dict(asked), list[Part]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_api, "MAX_REQUESTS", max_requests)
        patch.setattr(batch_api, "MAX_BYTES", max_bytes)
        while left:
            files.append(next_part(left))
            for key in files[-1].keys:
                del left[key]
    return files


def line(key: str, *, status: int = 200, body: Any = None) -> bytes:
    body = json.loads(scores().body or b"") if body is None else body
    response = {"status_code": status, "body": body}
    return json.dumps({"custom_id": key, "response": response, "error": None}).encode()


def test_the_limits_are_those_of_the_api() -> None:
    assert (MAX_REQUESTS, MAX_BYTES) == (50_000, 200_000_000)


def test_a_line_is_a_request_under_its_key() -> None:
    (part,) = parts(bodies(1))
    assert part.content.endswith(b"\n")
    assert json.loads(part.content) == {
        "custom_id": "key0", "method": "POST", "url": URL, "body": bodies(1)["key0"],
    }  # fmt: skip


@given(st.integers(0, 60), st.integers(1, 20), st.integers(150, 2000), st.integers(0, 200))
def test_every_request_is_in_one_file_and_no_file_passes_a_limit(
    count: int, most: int, size: int, text: int
) -> None:
    asked = bodies(count, text)
    files = list(parts(asked, max_requests=most, max_bytes=size))
    listed = [key for part in files for key in part.keys]
    longest = max((len(json.dumps(b).encode()) for b in asked.values()),
                  default=0)  # fmt: skip
    if longest + 200 < size:
        assert listed == list(asked)
    assert len(set(listed)) == len(listed)
    for part in files:
        assert 0 < len(part.content) <= size or len(part.keys) == 1
        assert 0 < len(part.keys) <= most
        assert [json.loads(one)["custom_id"] for one in part.content.splitlines()] == list(
            part.keys
        )


def test_a_file_is_filled_to_the_last_byte_and_the_next_begins_anew() -> None:
    asked = bodies(9)
    (whole,) = parts(asked)
    size = len(whole.content) // 9
    listed = [part.keys for part in parts(asked, max_bytes=2 * size)]
    assert listed == [("key0", "key1"), ("key2", "key3"), ("key4", "key5"), ("key6", "key7"),
                      ("key8",)]  # fmt: skip
    assert len(list(parts(asked, max_bytes=2 * size - 1))) == 9
    assert len(list(parts(asked, max_bytes=size))) == 9
    assert len(list(parts(asked, max_bytes=size - 1))) == 9, "one at least"


def test_no_request_is_left_out_whatever_its_text_and_length() -> None:
    asked = bodies(1) | {"bad": {"messages": [{"content": "\ud800"}]}}
    asked |= {"huge": bodies(1, 5000)["key0"]}
    files = list(parts(asked, max_bytes=1000))
    assert [part.keys for part in files] == [("key0", "bad"), ("huge",)]
    assert json.loads(files[0].content.splitlines()[1])["body"] == asked["bad"]
    assert next_part({}).keys == ()


def test_replies_come_back_by_key_in_any_order_without_the_api_key() -> None:
    echo = {"choices": [{"message": {"content": f"{KEY} 5"}}]}
    content = b"\n".join([line("b", body=echo), line("a")])
    found = replies(content, ["a", "b", "c"], KEY)
    assert set(found) == {"a", "b"}
    assert found["a"].prompt_tokens == 700
    assert found["b"].text == "[redacted] 5"


@pytest.mark.parametrize(
    "junk",
    [
        b"", b"{", b"[]", b"null", b"7", b'"a"', b"\xff\xfe", b"[" * 5000,
        line("a", status=500), line("a", body={"choices": []}), line("stranger"),
        b'{"custom_id": "a", "response": null, "error": {"code": "batch_expired"}}',
        b'{"custom_id": ["a"], "response": {"status_code": 200}}',
        b'{"custom_id": "a", "response": {"status_code": 200}}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_reply_is_passed_over(junk: bytes) -> None:
    assert replies(junk, ["a"], KEY) == {}
    assert set(replies(junk + b"\n" + line("a"), ["a"], KEY)) == {"a"}


def test_a_line_that_was_billed_and_has_no_text_is_a_reply_with_what_it_cost() -> None:
    usage = {"prompt_tokens": 700, "completion_tokens": 18}
    image = {"choices": [{"message": {"content": [{"type": "image"}]}}], "usage": usage}
    found = replies(line("a", body=image), ["a"], KEY)["a"]
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("", 700, 18)
    for code in (400, 404):
        error = {"error": {"code": code}, "usage": usage}
        assert replies(line("a", body=error), ["a"], KEY) == {"a": found}


def test_an_error_of_which_nothing_was_billed_is_no_reply_whatever_it_says() -> None:
    for code in (401, 404, 429, 500):
        assert replies(line("a", body={"error": {"code": code}}), ["a"], KEY) == {}


@pytest.mark.parametrize("count", [-1, 1 << 53, True, 7.5, "7", None])
def test_tokens_that_are_no_count_are_not_counted(count: object) -> None:
    completion = json.loads(scores().body or b"")
    completion["usage"] = {"prompt_tokens": count, "completion_tokens": (1 << 53) - 1}
    found = replies(line("a", body=completion), ["a"], KEY)["a"]
    assert (found.prompt_tokens, found.completion_tokens) == (None, (1 << 53) - 1)


def test_the_first_of_two_replies_counts() -> None:
    second = {"choices": [{"message": {"content": "other"}}]}
    found = replies(line("a") + b"\n" + line("a", body=second), ["a"], KEY)
    assert "visual" in found["a"].text


# ---- endpoints ----


def exchange(server: BatchServer, ask: Callable[[BatchApi], Awaitable[T]]) -> T:
    """Return what ``ask`` gets of the server's API."""
    settings = JudgeSettings(Path("nowhere"), base_url=server.base_url, api_key=KEY)

    async def once() -> T:
        api = BatchApi(settings, CircuitBreaker(), Backoff(first=0.01, longest=0.02))
        try:
            return await ask(api)
        finally:
            await api.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("status", "known", "ended"),
    [
        *((status, True, False) for status in ("validating", "in_progress", "finalizing")),
        *((status, True, False) for status in ("cancelling", "canceling", "queued", "pending")),
        *((status, True, True) for status in ("completed", "failed", "expired")),
        *((status, True, True) for status in ("cancelled", "canceled")),
        ("deleted", False, False),
    ],
)
def test_a_batch_is_out_or_has_ended_or_is_in_a_state_that_is_not_known(
    status: str, known: bool, ended: bool
) -> None:
    """Endpoints write it in either case."""
    with BatchServer() as server:
        for said in (status, status.upper()):
            server.batches["batch_0"] = batch = Batch("batch_0", "file-0", {}, status=said)
            shown = Act(body=json.dumps(batch.as_json()).encode())
            server.rules.fault = lambda _, shown=shown: shown  # type: ignore[misc]
            seen = exchange(server, lambda api: api.look("batch_0", "tag"))
            assert (seen.status, seen.known, seen.ended) == (status, known, ended)


def test_a_batch_is_found_among_the_newest_two_thousand() -> None:
    """One that is not found is made and paid for again."""
    with BatchServer(page=1000) as server:
        for n, metadata in enumerate([{TAG: "ours"}, *({} for _ in range(1999))]):
            server.batches[f"batch_{n}"] = Batch(f"batch_{n}", "file-0", metadata)
        found = exchange(server, lambda api: api.find("ours"))
        assert found is not None
        assert found.id == "batch_0"
        assert exchange(server, lambda api: api.find("other")) is None


@pytest.mark.parametrize("value", ["batch_1", "file-Ab.9", "a" * 200, "..."])
def test_what_can_be_an_id_of_the_endpoints(value: str) -> None:
    assert is_id(value)


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../files", "a/b", "a?b", "a b", "batch_1\n", "é", "a" * 201, 7, None]
)
def test_what_would_lead_elsewhere_in_an_address_is_no_id(value: object) -> None:
    assert not is_id(value)
