"""What stands in a 200: a reply however it is written, or a failure at once, with what was paid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.grades import grades
from tests.support.judge_server import completion
from ugc_tasks.judge.parsing import ReplyError, read_reply
from ugc_tasks.judge.transport.client import read_completion
from ugc_tasks.judge.transport.errors import (
    Declined,
    JudgeRefused,
    KeyRefused,
    NotServed,
    RequestFailed,
    RetryableError,
    Unreadable,
)
from ugc_tasks.judge.types import ChatReply

KEY = "sk-canary-4cb1d8f0a7e2"
MORE_ROOM = "a larger max_completion_tokens or less reasoning_effort in the profile gives it room"
GOOD = "{'visual': 4, 'audio': 3, 'details': 5}"
DRAFT = "{'visual': 1, 'audio': 1, 'details': 1}"


def read(value: Any) -> ChatReply:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_completion(raw, KEY, "the-endpoint")


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        [{"type": "text", "text": GOOD}],
        [{"type": "output_text", "text": GOOD}],
        [{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]},
         {"type": "text", "text": GOOD}],
        [{"type": "reasoning", "text": DRAFT}, {"type": "text", "text": GOOD}],
        [GOOD],
        [{"text": GOOD}],
        [{"type": "image"}, {"type": "text", "text": GOOD}],
        {"type": "text", "text": GOOD},
    ],
    ids=lambda content: str(content)[:40],
)  # fmt: skip
def test_text_is_read_in_one_piece_or_in_parts_and_thinking_is_passed_over(content: Any) -> None:
    reply = read(completion(content))
    assert reply == ChatReply(GOOD, "stop", "loopback-judge-1", "fp_loopback", 700, 18)
    assert read_reply(reply) == grades(4, 3, 5)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (completion(None, refusal="I will not."), "the judge declined to answer: I will not."),
        (completion([{"type": "refusal", "refusal": "Not I."}]),
         "the judge declined to answer: Not I."),
        (completion([{"type": "image"}, {"type": "refusal", "refusal": "Not I."}]),
         "the judge declined to answer: Not I."),
        (completion("", refusal=" "), "the reply is empty"),
        (completion(" \n", refusal="I will not."), "the judge declined to answer: I will not."),
        (completion([{"type": "image"}, {"type": "text", "text": ""}]), "the reply is empty"),
        (completion(None, function_call={"name": "score"}),
         "the judge called a tool instead of answering"),
        (completion("", refusal=GOOD), f"the judge declined to answer: {GOOD}"),
        (completion(None, refusal="n" * 300), f"the judge declined to answer: {'n' * 120}…"),
        (completion(None, tool_calls=[{"id": "1"}]),
         "the judge called a tool instead of answering"),
        (completion(None, reasoning_content=GOOD), "the reply has reasoning and no text"),
        (completion(None, reasoning=GOOD), "the reply has reasoning and no text"),
        (completion([{"type": "thinking", "thinking": GOOD}]),
         "the reply has reasoning and no text"),
        (completion([]), "the reply is empty"),
        (completion(None), "the reply is empty"),
        (completion(GOOD[:20], "length"),
         "the reply was cut by its token limit after 18 tokens (the "
         f"reply has no object with visual, audio and details); {MORE_ROOM}"),
        (completion("", "max_tokens"),
         f"the reply was cut by its token limit after 18 tokens (it has no text); {MORE_ROOM}"),
        (completion(None, "length", reasoning_content="hm"),
         f"the reply was cut by its token limit after 18 tokens (it has no text); {MORE_ROOM}"),
        (completion("", "content_filter"),
         "the reply was stopped by a content filter (the reply is empty)"),
    ],
    ids=lambda value: str(value)[-40:],
)  # fmt: skip
def test_a_reply_without_an_answer_says_why_and_is_paid(
    answer: dict[str, Any], failure: str
) -> None:
    reply = read(answer)
    assert (reply.prompt_tokens, reply.completion_tokens) == (700, 18)
    with pytest.raises(ReplyError) as caught:
        read_reply(reply)
    assert str(caught.value) == failure


@pytest.mark.parametrize(
    "kind", ["thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"]
)
def test_a_part_with_reasoning_of_any_kind_is_no_answer(kind: str) -> None:
    reply = read(completion([{"type": kind, "text": DRAFT}]))
    assert (reply.text, reply.lacks) == ("", "the reply has reasoning and no text")


def test_a_complete_object_counts_although_the_reply_was_cut_after_it() -> None:
    assert read_reply(read(completion(f"{GOOD} because the", "length"))) == grades(4, 3, 5)


USAGE = {"prompt_tokens": 700, "completion_tokens": 18}
PAID = ChatReply("", prompt_tokens=700, completion_tokens=18)


@pytest.mark.parametrize(
    ("answer", "said", "billed"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "not a chat completion: <!DOCTYPE html>", None),
        (b'data: {"id": "1"}\n\ndata: [DONE]', 'not a chat .*: data: {"id"', ChatReply("")),
        (b"event: message\ndata: {}", "completion: event: message", ChatReply("")),
        (b"id: 1\ndata: {}", "not a chat completion: id: 1", ChatReply("")),
        (b": ping\n\ndata: {}", "not a chat completion: : ping", ChatReply("")),
        ({"choices": [{"message": {"content": 7}}]}, "no text", ChatReply("")),
        ({"choices": [{"message": {"content": [{"type": [], "text": "x"}]}}]}, "no text",
         ChatReply("")),
        (b'{"choices": [{"message": {"con', 'not a chat completion: {"choices', ChatReply("")),
        (b'\n {"choices": [{"mess', 'not a chat completion: {"choices', ChatReply("")),
        (b"\x00\xffgarbage", "not a chat completion: ", None),
        (b"[" * 60_000, "not a chat completion", None),
        (b"OK", "not a chat completion: OK", None),
        ([{"error": {"code": 400, "message": "it broke"}}], "not a chat .*it broke", None),
        ([], r"not a chat completion: \[\]", None),
        ("text", "not a chat completion", None),
        ({"status": "ok"}, 'not a chat completion: {"status": "ok"}', None),
        ({"choices": [{"message": None}], "usage": USAGE}, "not a chat completion", PAID),
        ({"choices": ["text"], "usage": USAGE}, "not a chat completion", PAID),
        ({"content": [{"type": "text"}], "usage": {"input_tokens": 700, "output_tokens": 18}},
         "not a chat completion", ChatReply("")),
        ({"candidates": [], "usageMetadata": {"promptTokenCount": 700, "candidatesTokenCount": 18}},
         "not a chat completion", ChatReply("")),
        ({"choices": [{"message": {"content": 7}}], "usage": USAGE}, "no text .*: 7", PAID),
        ({"choices": [{"message": {"content": [{"type": "image"}]}}], "usage": USAGE},
         r'no text that can be read: \[{"type": "image"}\]', PAID),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_is_no_completion_is_said_at_once_with_its_beginning_and_what_was_paid(
    answer: Any, said: str, billed: ChatReply | None
) -> None:
    with pytest.raises(Unreadable, match=said) as caught:
        read(answer)
    assert caught.value.billed == billed
    assert len(str(caught.value)) < 150


def test_the_beginning_that_is_shown_has_no_escape_and_no_key_in_it() -> None:
    with pytest.raises(Unreadable) as caught:
        read(f"<p>\x1b[31m\u202e {KEY} {KEY}".encode())
    assert str(caught.value) == (
        r"the answer is not a chat completion: <p>\x1b[31m\u202e [redacted] [redacted]"
    )


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ({"error": {"message": "no model", "code": 404}}, NotServed, "404 .no model"),
        ({"error": {"message": "who?", "code": 401}}, KeyRefused, "who"),
        ({"error": {"message": "who?", "code": "401"}}, KeyRefused, "who"),
        ({"error": {"message": "input was flagged", "code": 403}}, RequestFailed, "flagged"),
        ({"error": {"message": "the stars", "code": 403}}, Declined, "the stars"),
        ({"error": {"message": "it broke"}}, Declined, "an error .*it broke"),
        ({"error": {"message": "it broke", "code": "oops"}}, Declined, "an error .*it broke"),
        ({"error": "it broke"}, Declined, "an error .*it broke"),
        ({"error": {"type": "overloaded"}}, Declined, "overloaded"),
        ({"error": ["it broke"]}, Declined, "an error .*it broke"),
        ({"error": {"code": 400, "message": "it broke", "status": "INVALID_ARGUMENT"}},
         Declined, "400 .it broke"),
        ({"choices": [], "usage": USAGE}, Declined, "an empty list of choices"),
        ({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}, RequestFailed,
         "an empty list of choices: .*SAFETY"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_error_in_a_200_is_what_it_says_it_is(
    answer: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        read(answer)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": f"\x1b[2J {KEY}"}},
        {"error": {"type": f"\x1b[2J {KEY}"}},
        {"error": {"message": f"\x1b[2J {KEY}", "code": 400}},
        {"choices": [], "promptFeedback": {"blockReason": f"\x1b[2J {KEY}"}},
    ],
)
def test_what_an_error_says_has_no_escape_and_no_key_in_it(answer: Any) -> None:
    with pytest.raises(RequestFailed) as caught:
        read(answer)
    assert "[2J [redacted]" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("code", [500, 502, 408, 429])
def test_an_error_in_a_200_that_may_pass_is_worth_another_try(code: int) -> None:
    with pytest.raises(RetryableError, match=f"answered {code} .Provider returned error"):
        read({"error": {"message": "Provider returned error", "code": code}})


def test_an_error_beside_a_choice_counts_where_the_choice_is_empty() -> None:
    broken = completion("")
    broken["choices"][0]["error"] = {"code": 502, "message": "it broke"}
    with pytest.raises(RetryableError, match="it broke"):
        read(broken)
    whole = completion(GOOD)
    whole["error"] = whole["choices"][0]["error"] = {"code": 502, "message": "it broke"}
    assert read(whole).text == GOOD
    assert read(completion(GOOD) | {"error": None}).text == GOOD


def test_an_error_that_was_billed_says_what_it_cost() -> None:
    for answer in (
        {"error": "it broke", "usage": USAGE},
        {"error": {"message": "it broke", "code": 400}, "usage": USAGE},
        {"error": {"message": "it broke", "code": 404}, "usage": USAGE},
        {"choices": [], "usage": USAGE},
    ):
        with pytest.raises((RequestFailed, JudgeRefused)) as caught:
            read(answer)
        assert caught.value.billed == PAID


def test_an_error_that_may_pass_may_have_to_be_paid_for_if_a_model_has_answered() -> None:
    broken = completion("")
    broken["choices"][0]["error"] = {"code": 502, "message": "it broke"}
    for answer, free in (({"error": {"code": 502}}, True), (broken, False)):
        with pytest.raises(RetryableError) as caught:
            read(answer)
        assert caught.value.declined == free


def test_a_name_of_a_model_is_kept_to_its_hundredth_character() -> None:
    assert read(completion(GOOD) | {"model": "m" * 101}).model == "m" * 100


@pytest.mark.parametrize("count", [-1, 1 << 53, True, "700", 1.5, None, [1]])
def test_a_count_of_tokens_that_is_none_is_not_taken(count: Any) -> None:
    answer = completion(GOOD)
    answer["usage"]["prompt_tokens"] = count
    assert read(answer).prompt_tokens is None
    assert read(answer).completion_tokens == 18
    answer["usage"]["prompt_tokens"] = (1 << 53) - 1
    assert read(answer).prompt_tokens == (1 << 53) - 1


def test_the_key_is_in_nothing_that_is_read() -> None:
    answer = completion(f"{KEY} {GOOD} {KEY}", KEY)
    answer |= {"model": f"m {KEY}", "system_fingerprint": f"f-{KEY}"}
    assert read(answer) == ChatReply(
        f"[redacted] {GOOD} [redacted]", "[redacted]", "m [redacted]", "f-[redacted]", 700, 18
    )
