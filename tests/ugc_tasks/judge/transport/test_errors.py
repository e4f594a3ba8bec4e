"""What an error status means: for one request, for all, or for a while."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ugc_tasks.judge.transport.errors import (
    Declined,
    JudgeRefused,
    KeyRefused,
    NotServed,
    RequestFailed,
    RetryableError,
    failure_for,
)


def meant(status: int, error: Any, headers: dict[str, str] | None = None) -> Exception:
    body = json.dumps({"error": error}).encode()
    return failure_for(status, headers or {}, body, endpoint="the-endpoint", key="sk-0123456789")


@pytest.mark.parametrize(
    ("status", "error", "kind", "said"),
    [
        (400, {"code": "content_filter", "message": "no"}, RequestFailed, "400 (no)"),
        (400, {"message": "no", "type": "invalid_request_error"}, Declined, "400 (no)"),
        (451, {"message": "no"}, RequestFailed, "451 (no)"),
        (400, {"message": "Your credit balance is too low"}, JudgeRefused, "add credit"),
        (403, {"message": "Insufficient balance"}, JudgeRefused, "add credit"),
        (402, {"message": "pay"}, JudgeRefused, "402 (pay): the account has no quota left"),
        (429, {"message": "pay", "type": "insufficient_quota"}, JudgeRefused, "add credit"),
        (429, {"message": "your credit balance refills"}, RetryableError, "429 (your credit"),
        (429, {"code": "billing_hard_limit_reached"}, JudgeRefused, "add credit"),
        (429, {"code": "billing_not_active"}, JudgeRefused, "add credit"),
        (429, {"code": "slow", "type": "insufficient_quota"}, JudgeRefused, "add credit"),
        (404, {"message": "what?"}, NotServed, "404 (what?): it does not serve this judge"),
        (405, {"message": "what?"}, NotServed, "405 (what?): it does not serve this judge"),
        (400, {"message": "m", "param": "model"}, NotServed, "it does not serve this judge"),
        (422, {"message": "m", "param": "model"}, NotServed, "it does not serve this judge"),
        (400, {"message": "m", "param": "temperature"}, JudgeRefused, "UGC_JUDGE_PRICES"),
        (422, {"message": "m", "param": "response_format"}, JudgeRefused, "response_format as it"),
        (400, {"message": "m", "param": "messages"}, Declined, "400 (m)"),
        (400, {"message": "too long: 'he forgot his credentials'"}, Declined, "400 (too long"),
        (400, {"message": "no", "metadata": {"reasons": ["gore"]}}, Declined, '["gore"]'),
        (401, {"message": "m"}, KeyRefused, "401 (m): it does not accept the key"),
        (403, {"code": 403, "status": "UNAUTHENTICATED", "msg": "m"}, KeyRefused, "403 (m): it"),
        (422, {"detail": "m"}, Declined, "422 (m)"),
        (422, {"error": "m"}, Declined, "422 (m)"),
        (403, {"message": "m"}, Declined, "if it declines all, check OPENAI_API_KEY"),
        (300, {}, JudgeRefused, "correct OPENAI_BASE_URL"),
        (302, {}, JudgeRefused, "correct OPENAI_BASE_URL"),
        (500, {"message": "m"}, RetryableError, "answered 500 (m)"),
        (408, {"message": "m"}, RetryableError, "answered 408 (m)"),
        (409, {"message": "m"}, RetryableError, "answered 409 (m)"),
        (529, {"message": "m"}, RetryableError, "answered 529 (m)"),
    ],
)
def test_a_status_and_what_is_said_with_it(
    status: int, error: Any, kind: type[Exception], said: str
) -> None:
    failure = meant(status, error)
    assert type(failure) is kind
    assert said in str(failure)


MODERATION = """moderation, flagged, content policy, content_filter, content management,
content-safety, content block, contentfilter, Responsible AI, responsible_ai, guardrails, jailbreak,
harmful, inappropriate, sensitive content, sensitive words, sensitive information, unsafe,
prohibited content, prohibited_content, safety, data_inspection_failed, blockReason, usage policy,
usage policies"""
OF_THE_KEY = """API key, api_key, api-key, apikey, invalid key, incorrect key, expired token,
missing access token, invalid access_key, credentials, not authenticated, unauthorized,
unauthorised"""
INVALID_KEY = (
    "API key not valid, api_key_invalid, api key expired, invalid API key, invalid_api_key"
)


def phrases(table: str) -> list[str]:
    return table.replace(",\n", ", ").split(", ")


@pytest.mark.parametrize("words", phrases(MODERATION))
@pytest.mark.parametrize("status", [400, 403, 422])
def test_what_speaks_of_moderation_is_for_one_requests_content(status: int, words: str) -> None:
    assert type(meant(status, {"message": f"this is {words} of ours"})) is RequestFailed


@pytest.mark.parametrize("words", phrases(OF_THE_KEY))
def test_a_403_that_speaks_of_the_key_is_for_the_key(words: str) -> None:
    assert type(meant(403, {"message": f"it has {words} here"})) is KeyRefused
    assert type(meant(422, {"message": f"it has {words} here"})) is Declined


@pytest.mark.parametrize("words", phrases(INVALID_KEY))
def test_a_400_is_for_the_key_only_where_it_calls_it_invalid(words: str) -> None:
    assert type(meant(400, {"message": f"it has {words} here"})) is KeyRefused
    assert type(meant(400, {"message": "it has missing api key, credentials"})) is Declined


@pytest.mark.parametrize(
    "words",
    ["Credit balance", "insufficient credit", "insufficient balance", "insufficient funds"],
)
def test_an_account_without_credit_is_said_to_be_one(words: str) -> None:
    assert "add credit" in str(meant(400, {"message": f"You have {words} here"}))


@pytest.mark.parametrize(
    ("status", "headers", "told", "throttled"),
    [
        (429, {}, 0.0, True),
        (503, {}, 0.0, False),
        (503, {"retry-after": "2"}, 2.0, True),
        (500, {"retry-after-ms": "500", "retry-after": "9"}, 0.5, True),
        (503, {"retry-after": "-3"}, 0.0, False),
        (503, {"retry-after": "1e9"}, 0.0, False),
        (503, {"retry-after": "nan"}, 0.0, False),
        (429, {"retry-after": "soon"}, 0.0, True),
        (503, {"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"}, 0.0, False),
        (503, {"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, 0.0, False),
        (503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0, False),
    ],
)
def test_what_may_pass_costs_nothing_and_says_how_long_to_wait(
    status: int, headers: dict[str, str], told: float, throttled: bool
) -> None:
    failure = meant(status, {"message": "m"}, headers)
    assert isinstance(failure, RetryableError)
    assert (failure.retry_after, failure.throttled) == (told, throttled)
    assert failure.declined
    assert not failure.unreached
