"""What can go wrong with a request, by what can be done about it, and what a status means.

A failure that may pass (``Passing``) is worth another try. What cannot pass is ``JudgeRefused``
when every other request would meet the same, ``RequestFailed`` when only this one does. Between the
two is what the endpoint's other answers decide (``breaker.py``): ``KeyRefused`` and ``Declined``.
None of them carries the key, nor an exception that does, and each has the server's own words.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.secret import brief_message
from ugc_tasks.judge.usage import Usage

_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NO_CREDIT = re.compile(r"credit balance|insufficient (?:credit|balance|funds)", re.IGNORECASE)
_SHARED_PARAMETERS = {"model", "temperature", "response_format"}  # the same in every request
_MAX_TOLD_S = 1e9

# Of moderation, in the words of OpenAI, Azure, OpenRouter, Gemini, Bedrock, Mistral, DashScope.
_MODERATED = re.compile(
    r"moderat|flagged|content[ _-]?(?:policy|filter|management|safety|block)|responsible[ _-]?ai"
    r"|guardrail|jailbreak|harmful|inappropriate|sensitive (?:content|words|information)|unsafe"
    r"|prohibited[ _]content|safety|data_inspection|blockreason|usage polic(?:y|ies)",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"api[ _-]?key|(?:invalid|incorrect|expired|missing)[ _-](?:access[ _-])?(?:key|token)"
    r"|credential|authenticat|unauthori[sz]ed",
    re.IGNORECASE,
)
# Gemini says it with 400. Stricter than the above: a 400 may quote what it was asked.
_INVALID_KEY = re.compile(r"api[ _]key[ _](?:not[ _]valid|invalid|expired)|invalid[ _]api[ _]key",
                          re.IGNORECASE)  # fmt: skip
_CHECK_KEY = "check OPENAI_API_KEY and OPENAI_BASE_URL"


class JudgeRefused(RuntimeError):
    """The endpoint will answer no request as things are; the message says what to do.

    Attributes:
        usage: what was billed for the request that met it, None for nothing.
    """

    usage: Usage | None = None


class KeyRefused(JudgeRefused):
    """It does not accept the key; where it did before, once may be an accident."""


class RequestFailed(RuntimeError):
    """This one request got no answer; others may.

    Attributes:
        billed: a reply without text that has the tokens which the answer cost, as far as it says;
            None where no model answered.
        usage: what that comes to, once it is known.
    """

    usage: Usage | None = None

    def __init__(self, reason: str, billed: ChatReply | None = None) -> None:
        super().__init__(reason)
        self.billed = billed


class RequestTimedOut(RequestFailed):
    """This one request got no answer although it was repeated until its time was up."""


class Declined(RequestFailed):
    """The endpoint says no to this one request, and does not say that it is for its content."""


class Unreadable(RequestFailed):
    """The endpoint answered, and not with a chat completion; asked again it would do the same.

    Only where a model has answered before, and this cost nothing, it may be a proxy's bad moment.
    """

    told, silent = 0.0, False  # as of ``Passing``


class Passing(Exception):
    """A failure that may pass: worth another try, not before ``told`` seconds.

    Attributes:
        throttled: whether it says that there are too many requests.
        declined: whether the endpoint said no; else it may have worked, and have to be paid for.
        silent: whether it said nothing for as long as it was listened to.
        answered: whether there was an answer with a status, be it an error.
        tries: how many tries it is worth while the endpoint has never answered; 0 for no limit.
        most: how many tries it is worth at all; 0 for no limit.
    """

    def __init__(
        self,
        reason: str,
        told: float = 0.0,
        *,
        throttled: bool = False,
        declined: bool = False,
        silent: bool = False,
        answered: bool = False,
        tries: int = 0,
        most: int = 0,
    ) -> None:
        super().__init__(reason)
        self.silent = silent
        self.told = told
        self.throttled = throttled
        self.declined = declined
        self.answered = answered
        self.tries = tries
        self.most = most


def explain(
    status: int, headers: Mapping[str, str], body: bytes, *, endpoint: str, key: str
) -> Exception:
    """Return the failure that an error status means, worded for the one who has to act.

    Args:
        status: of HTTP.
        headers: by lower-case name.
        body: of the answer, as much of it as was read.
        endpoint: the address as messages show it.
        key: to keep out of the message.
    """
    return meaning_of(status, headers, details(body), endpoint=endpoint, key=key)


def meaning_of(
    status: int,
    headers: Mapping[str, str],
    said: tuple[str, str, str],
    *,
    endpoint: str,
    key: str,
) -> Exception:
    """Return what an error means by its status and what ``details`` found in it."""
    code, parameter, words = said
    message = brief_message(words, key)
    where = f"{endpoint} answered {status}" + (f" ({message})" if message else "")
    if advice := _for_all(status, code, parameter, words):
        return JudgeRefused(f"{where}: {advice}")
    moderated = _MODERATED.search(f"{code} {words}") is not None
    if status in {401, 403} and not moderated:
        return _unauthorised(status, f"{code} {words}", where)
    if status == 400 and _INVALID_KEY.search(f"{code} {words}"):
        return _unauthorised(401, "", where)
    if status in {408, 409, 429} or status >= 500:
        told = _retry_after(headers)
        reason = where.removeprefix(f"{endpoint} ")
        throttled = status == 429 or told > 0
        return Passing(reason, told, throttled=throttled, declined=True, answered=True)
    return RequestFailed(where) if moderated or status == 451 else Declined(where)


def _for_all(status: int, code: str, parameter: str, words: str) -> str:
    """Return what to do about an error that every request would meet; empty for another."""
    if code in _QUOTA_CODES or status == 402 or (status < 429 and _NO_CREDIT.search(words)):
        return "the account has no quota left; add credit"
    if 300 <= status < 400:
        return "it is somewhere else; correct OPENAI_BASE_URL"
    if status in {404, 405} or (status in {400, 422} and parameter in _SHARED_PARAMETERS):
        return "it does not serve this judge; check OPENAI_BASE_URL and UGC_JUDGE_MODEL"
    return ""


def _unauthorised(status: int, said: str, where: str) -> JudgeRefused | Declined:
    if status == 401 or _KEY.search(said):
        return KeyRefused(f"{where}: it does not accept the key for this; {_CHECK_KEY}")
    return Declined(f"{where}: it declines this request; if it declines all, {_CHECK_KEY}")


def details(body: bytes) -> tuple[str, str, str]:
    """Return code, parameter and message of an error body, whatever it is."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "", "", _plain(body.decode("utf-8", "replace"))
    return details_of(content)


def details_of(content: object) -> tuple[str, str, str]:
    """Return code, parameter and message of what stands in an error body."""
    if isinstance(content, list):  # as Gemini has it
        content = next((entry for entry in content if isinstance(entry, dict)), {})
    inner = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(inner, str):
        return "", "", inner
    if not isinstance(inner, dict):
        return "", "", ""
    named = [inner.get(name) for name in ("code", "type", "status")]
    codes = [code for code in named if isinstance(code, str) and code]
    code = next((code for code in codes if code in _QUOTA_CODES), codes[0] if codes else "")
    return code, str(inner.get("param") or ""), _message(inner)


def _message(inner: Mapping[str, Any]) -> str:
    """Return what an error says: its message, and the reasons beside it that some have."""
    named = next((inner[n] for n in ("message", "msg", "detail", "error") if inner.get(n)), "")
    said = [named if isinstance(named, str) else _as_text(named)]
    metadata = inner.get("metadata")  # OpenRouter: what the provider behind it said, or the reasons
    if isinstance(metadata, dict):
        said += [_as_text(metadata[name]) for name in ("raw", "reasons") if metadata.get(name)]
    return " ".join(said)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """Return the text of an HTML page: its title, or all without the marks."""
    if "<" not in text:
        return text
    title = re.search(r"<title[^>]{0,200}>([^<]{1,500})<", text, re.IGNORECASE)
    return title[1] if title else re.sub(r"<[^<>]{0,1000}>", " ", text)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks to wait, 0 where it asks for nothing intelligible.

    Source: RFC 9110, 10.2.3: a number of seconds or a date; OpenAI has milliseconds besides.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        return seconds if 0 < seconds < _MAX_TOLD_S else 0.0
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        seconds = date.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < _MAX_TOLD_S else 0.0
