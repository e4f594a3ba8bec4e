"""What can go wrong with a request, by what can be done about it; what a status or a cause means.

A ``RetryableError`` may pass and is worth another try. What cannot pass is ``JudgeRefused`` where
every other request would meet the same, ``RequestFailed`` where only this one does. Between the two
decide the endpoint's other answers (``CircuitBreaker``): ``KeyRefused`` and ``Declined``. Each has
the server's own words, and none the key or the address of a proxy, which may have a password in it.
"""

from __future__ import annotations

import email.utils
import functools
import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ugc_tasks.common.display import shown
from ugc_tasks.data.fetch import proxy_variable
from ugc_tasks.judge.types import ChatReply, Usage

CONNECT_S = 5.0
"""Seconds for a connection to be made."""
REDACTED = "[redacted]"

_SHORTEST_SECRET = 8  # a shorter "key" is a placeholder for a local server, and matches by chance
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NO_CREDIT = re.compile(r"credit balance|insufficient (?:credit|balance|funds)", re.IGNORECASE)
_SHARED_PARAMETERS = {
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "seed",
    "response_format",
}  # fmt: skip
_UNTAKEN = re.compile(r"unsupported (?:parameter|value)s?: '(\w{1,40})'", re.IGNORECASE)
# In the words of OpenAI, Azure, OpenRouter, Gemini, Bedrock, Mistral, DashScope.
MODERATED = re.compile(
    r"moderat|flagged|content[ _-]?(?:policy|filter|management|block)|responsible[ _-]?ai"
    r"|guardrail|jailbreak|harmful|inappropriate|sensitive (?:content|words|information)|unsafe"
    r"|prohibited[ _]content|safety|data_inspection|blockreason|usage polic(?:y|ies)",
    re.IGNORECASE,
)
"""Finds that moderation is spoken of."""
_KEY = re.compile(
    r"api[ _-]?key|(?:invalid|incorrect|expired|missing)[ _-](?:access[ _-])?(?:key|token)"
    r"|credential|authenticat|unauthori[sz]ed",
    re.IGNORECASE,
)
# Gemini says it with 400. Stricter than the above: a 400 may quote what it was asked.
_INVALID_KEY = re.compile(
    r"api[ _]key[ _](?:not[ _]valid|invalid|expired)|invalid[ _]api[ _]key", re.IGNORECASE
)
_CHECK_MODEL = "it does not serve this judge; check OPENAI_BASE_URL and UGC_JUDGE_MODEL"
_CHECK_KEY = "check OPENAI_API_KEY and OPENAI_BASE_URL"
_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


class JudgeRefused(RuntimeError):
    """The endpoint will answer no request as things are; the message says what to do."""

    billed: ChatReply | None = None  # as of ``RequestFailed``
    usage: Usage | None = None


class NotServed(JudgeRefused):
    """It has no such model, in the words of ``str``; what that means, others know."""

    def __init__(self, where: str, said: str) -> None:
        super().__init__(f"{where}: {said}")
        self.where = where


class KeyRefused(JudgeRefused):
    """It does not accept the key; where it did before, once may be an accident."""


class RequestFailed(RuntimeError):
    """This one request got no answer; others may.

    ``billed`` is a reply without text that has the tokens which the answer cost, as far as it says;
    None where no model answered. ``usage`` is what that comes to, once it is known.
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
    """The endpoint answered, and not with a chat completion; asked again it would do the same."""


@dataclass(eq=False)
class RetryableError(Exception):
    """A failure that may pass: worth another try, not before ``retry_after`` seconds."""

    reason: str
    retry_after: float = 0.0
    throttled: bool = False  # it says that there are too many requests
    declined: bool = False  # the endpoint said no; else this may have to be paid for
    unreached: bool = False  # nothing tells that there is an endpoint at this address

    def __str__(self) -> str:
        """Return the reason alone."""
        return self.reason


# ---- the key, which servers repeat in what they answer ----


def without_key(text: str, key: str) -> str:
    """Return ``text`` with every whole occurrence of ``key`` removed and all else untouched."""
    return pattern_of(key).sub(REDACTED, text)


def brief_message(text: str, key: str, limit: int = 200) -> str:
    """Return a server's message on one line, at most ``limit`` characters, without the key.

    Words that could be a masked key (its first or last letters, or asterisks) go as well.
    """
    masked = ["***"] if len(key) < _SHORTEST_SECRET else ["***", key[:6], key[-4:]]
    words = without_key(text, key).split()
    kept = [REDACTED if any(part in word for part in masked) else word for word in words]
    return shown(" ".join(kept), limit)


@functools.lru_cache(maxsize=8)
def pattern_of(key: str) -> re.Pattern[str]:
    """Return what finds ``key``; nothing, where it is too short to be a secret.

    Also found are its letters in another case and escaped as in an address (``%2d``), in JSON or
    JavaScript (``\\u002d``, ``\\x2d``, ``\\/``) or in HTML (``&#45;``), some of them or all.
    """
    # A text that was escaped more than once has so many more backslashes, %25 and &amp;. There is a
    # most of each: without one, a text of backslashes alone would take quadratic time.
    letters = [
        rf"(?:\\{{0,7}}{re.escape(letter)}|\\{{1,7}}(?:u00|x){ord(letter):02x}"
        rf"|%(?:25){{0,3}}{ord(letter):02x}"
        rf"|&(?:amp;){{0,3}}#(?:0{{0,3}}{ord(letter)}|x0{{0,3}}{ord(letter):x});)"
        for letter in key
    ]
    return re.compile("".join(letters) if len(key) >= _SHORTEST_SECRET else "(?!)", re.IGNORECASE)


# ---- what an error status means ----


def failure_for(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: str, key: str
) -> Exception:
    """Return the failure that an error status and its body mean, worded for who has to act."""
    code, parameter, words = error_details(body)
    message, all_said = brief_message(words, key), f"{code} {words}"
    where = f"answered {status}" + (f" ({message})" if message else "")
    refused = ""
    if code in _QUOTA_CODES or status == 402 or (status < 429 and _NO_CREDIT.search(words)):
        refused = "the account has no quota left; add credit"
    elif 300 <= status < 400:
        refused = "it is somewhere else; correct OPENAI_BASE_URL"
    elif status in {404, 405, 410} or (status in {400, 422} and parameter == "model"):
        return NotServed(f"{endpoint} {where}", _CHECK_MODEL)
    elif status in {400, 422} and (untaken := _untaken(parameter, words)):
        refused = (
            f"it does not take {untaken} as it is sent; a profile of your own states what is sent, "
            "a table in UGC_JUDGE_PRICES what a model takes (docs/extending.md)"
        )
    if refused:
        return JudgeRefused(f"{endpoint} {where}: {refused}")
    if status in {408, 409, 429} or status >= 500:
        wait = retry_after(headers)
        throttled = status == 429 or wait > 0
        return RetryableError(where, wait, throttled, declined=True)
    if status == 451 or MODERATED.search(all_said):
        return RequestFailed(f"{endpoint} {where}")
    of_key = _INVALID_KEY if status == 400 else _KEY
    if status == 401 or (status in {400, 403} and of_key.search(all_said)):
        return KeyRefused(f"{endpoint} {where}: it does not accept the key for this; {_CHECK_KEY}")
    advice = f": it declines this request; if it declines all, {_CHECK_KEY}"
    return Declined(f"{endpoint} {where}{advice if status == 403 else ''}")


def _untaken(parameter: str, words: str) -> str:
    """Return the parameter, the same in every request, that an endpoint refuses; empty for none."""
    found = _UNTAKEN.search(words)
    name = parameter or (found[1] if found else "")
    return name if name in _SHARED_PARAMETERS else ""


def error_details(body: bytes) -> tuple[str, str, str]:
    """Return code, parameter and message of an error body, whatever it is."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # a page, perhaps: its text without the marks
        return "", "", re.sub(r"<[^<>]{0,1000}>", " ", body.decode("utf-8", "replace"))
    if isinstance(content, list):  # as Gemini has it
        content = next((entry for entry in content if isinstance(entry, dict)), {})
    inner = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(inner, dict):
        return "", "", inner if isinstance(inner, str) else ""
    named = map(inner.get, ("code", "type", "status"))
    codes = [code for code in named if isinstance(code, str) and code]
    code = next((code for code in codes if code in _QUOTA_CODES), codes[0] if codes else "")
    said = next((inner[n] for n in ("message", "msg", "detail", "error") if inner.get(n)), "")
    told = [said, inner.get("metadata")]  # OpenRouter's: what the provider behind it said
    texts = [each if isinstance(each, str) else json.dumps(each) for each in told if each]
    return code, str(inner.get("param") or ""), " ".join(texts)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks to wait (RFC 9110, 10.2.3), 0.0 for nothing intelligible."""
    seconds, asked = 0.0, headers.get("retry-after", "")
    try:
        if milliseconds := headers.get("retry-after-ms"):
            seconds = float(milliseconds) / 1000
        elif asked[:1].isalpha():
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
        elif asked:
            seconds = float(asked)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < 1e9 else 0.0


# ---- why an endpoint is not reached ----


def unreached(error: BaseException, base_url: str, key: str) -> RetryableError:
    """Return what ``error`` of the ``openai`` client, for a request to ``base_url``, means."""
    parts = urlsplit(base_url)
    direct = urllib.request.proxy_bypass(parts.hostname or "")
    proxy = "" if direct else proxy_variable(parts.scheme)
    place = f"the proxy of {proxy}" if proxy else parts.netloc.lower()
    causes = list(chain(error))
    known = next(filter(None, (_known(cause, place, key) for cause in causes)), "")
    if known.endswith(f"listens at {parts.netloc.lower()}") and parts.port is None:
        known += ":443" if parts.scheme == "https" else ":80"
    what = f"the connection to {place} failed ({type(error.__cause__ or error).__name__})"
    if "complete message body" in str(error.__cause__):
        return RetryableError(what)
    never_sent = bool(known) or any(type(cause).__name__ == "ConnectError" for cause in causes)
    reason = f"{known or what}; check {proxy or 'OPENAI_BASE_URL'}"
    return RetryableError(reason, declined=never_sent, unreached=True)


def _known(cause: BaseException, place: str, key: str) -> str:
    """Return what a known cause of not reaching ``place`` means, empty for another."""
    # By name: which library's exceptions some are depends on the version of the client.
    name, said = type(cause).__name__, brief_message(str(cause), key, 80)
    if "WRONG_VERSION" in said:
        return f"{place} does not speak https (is it http?)"
    if isinstance(cause, OSError) and cause.errno == socket.EAI_AGAIN:
        return f"the name of {place} cannot be looked up (is there a network?)"
    return {
        "gaierror": f"there is no host {place}",
        "SSLCertVerificationError": f"the certificate of {place} is not trusted ({said}): name one "
        "that vouches for it in SSL_CERT_FILE",
        "ConnectionRefusedError": f"nothing listens at {place}",
        "ConnectTimeout": f"no connection to {place} within {CONNECT_S:g} s",
        "ProxyError": f"{place} does not let it through ({said})",
    }.get(name, "")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def no_client(error: Exception) -> str:
    """Return a sentence about a client that cannot be made of what the environment says."""
    names: tuple[str, ...] = _PROXIES
    what = "is not the address of a proxy that can be used, as http://host:3128 is"
    why = type(error).__name__
    if isinstance(error, OSError):  # ssl.SSLError is one
        names, what = ("SSL_CERT_FILE", "SSL_CERT_DIR"), "names no certificates that can be read"
        why = error.strerror or why
    elif isinstance(error, ImportError):
        why = "socks5 needs the package socksio"
    if given := " or ".join(name for name in names if os.environ.get(name)):
        return f"{given} {what} ({why}): correct or unset it"
    return f"the HTTP client cannot be made ({why}): check NO_PROXY and Python's certificates"
