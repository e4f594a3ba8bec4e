"""What can go wrong with a request, by what can be done about it; what a status or a cause means.

A ``RetryableError`` may pass and is worth another try. What cannot pass is ``JudgeRefused`` where
every other request would meet the same, ``RequestFailed`` where only this one does. Between the two
decide the endpoint's other answers (``CircuitBreaker``): ``KeyRefused`` and ``Declined``. Each has
the server's own words. None carries the key, nor an exception that does, nor the address of a
proxy, which may have a password in it.
"""

from __future__ import annotations

import email.utils
import functools
import json
import os
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ugc_tasks.common.display import shown
from ugc_tasks.data.fetch import proxy_variable
from ugc_tasks.judge.types import ChatReply, Usage

CONNECT_S = 10.0
"""Seconds for a connection to be made."""

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that name certificates."""

_SHORTEST_SECRET = 8  # a shorter "key" is a placeholder for a local server, and matches by chance
_HIDDEN = "[redacted]"
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NO_CREDIT = re.compile(r"credit balance|insufficient (?:credit|balance|funds)", re.IGNORECASE)
_SHARED_PARAMETERS = {"model", "temperature", "response_format"}  # the same in every request
_LONGEST_WAIT_S = 1e9
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
# How many tries it is worth to reach an endpoint that has never answered: its address is more
# likely wrong than it is away. What a name service or a certificate says is certain at once.
_CERTAIN, _TWICE, _REFUSED, _UNCLEAR = 1, 2, 3, 6
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")


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

    retry_after, silent = 0.0, False  # as of ``RetryableError``


class RetryableError(Exception):
    """A failure that may pass: worth another try, not before ``retry_after`` seconds.

    Attributes:
        throttled: whether it says that there are too many requests.
        declined: whether the endpoint said no; else it may have worked, and have to be paid for.
        silent: whether it said nothing for as long as it was listened to.
        answered: whether there was an answer with a status, also an error.
        tries_at_first: how many tries it is worth while the endpoint has never answered; 0 for no
            limit.
        most_tries: how many tries it is worth at all; 0 for no limit.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float = 0.0,
        *,
        throttled: bool = False,
        declined: bool = False,
        silent: bool = False,
        answered: bool = False,
        tries_at_first: int = 0,
        most_tries: int = 0,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.throttled = throttled
        self.declined = declined
        self.silent = silent
        self.answered = answered
        self.tries_at_first = tries_at_first
        self.most_tries = most_tries


# ---- the key, which servers repeat in what they answer ----


def without_key(text: str, key: str) -> str:
    """Return ``text`` with every whole occurrence of ``key`` removed and all else untouched.

    Also found are its letters in another case and escaped as in an address (``%2d``), in JSON or
    JavaScript (``\\u002d``, ``\\x2d``, ``\\/``) or in HTML (``&#45;``), some of them or all.
    """
    return _whole(key).sub(_HIDDEN, text) if len(key) >= _SHORTEST_SECRET else text


def brief_message(text: str, key: str, limit: int = 200) -> str:
    """Return a server's message on one line, at most ``limit`` characters, without the key.

    Words that could be a masked key (its first or last letters, or asterisks) go as well.
    """
    words = []
    for word in without_key(text, key).split():
        masked = "***" in word or (
            len(key) >= _SHORTEST_SECRET and (key[:6] in word or key[-4:] in word)
        )
        words.append(_HIDDEN if masked else word)
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


@functools.lru_cache(maxsize=8)
def _whole(key: str) -> re.Pattern[str]:
    """Return what finds ``key``, each of its characters plain or escaped."""
    return re.compile("".join(_plain_or_escaped(character) for character in key), re.IGNORECASE)


def _plain_or_escaped(character: str) -> str:
    # A text that was escaped more than once has so many more backslashes, %25 and &amp;. There is a
    # most of each: without one, a text of backslashes alone would take quadratic time.
    code = ord(character)
    return (
        rf"(?:\\{{0,7}}{re.escape(character)}|\\{{1,7}}(?:u00|x){code:02x}|%(?:25){{0,3}}{code:02x}"
        rf"|&(?:amp;){{0,3}}#(?:0{{0,3}}{code}|x0{{0,3}}{code:x});)"
    )


# ---- what an error status means ----


def failure_for(
    status: int,
    headers: Mapping[str, str],
    said: tuple[str, str, str],
    *,
    endpoint: str,
    key: str,
) -> Exception:
    """Return the failure that an error status means, worded for the one who has to act.

    Args:
        status: of HTTP.
        headers: by lower-case name.
        said: what ``error_details`` found in the body.
        endpoint: the address as messages show it.
        key: to keep out of the message.
    """
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
        wait = retry_after(headers)
        reason = where.removeprefix(f"{endpoint} ")
        throttled = status == 429 or wait > 0
        return RetryableError(reason, wait, throttled=throttled, declined=True, answered=True)
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


def error_details(body: bytes) -> tuple[str, str, str]:
    """Return code, parameter and message of an error body, whatever it is."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "", "", _plain(body.decode("utf-8", "replace"))
    return error_details_of(content)


def error_details_of(content: object) -> tuple[str, str, str]:
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


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks to wait, 0 where it asks for nothing intelligible.

    Source: RFC 9110, 10.2.3: a number of seconds or a date; OpenAI has milliseconds besides.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        return seconds if 0 < seconds < _LONGEST_WAIT_S else 0.0
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        seconds = date.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < _LONGEST_WAIT_S else 0.0


# ---- why an endpoint is not reached ----


def unreached(error: BaseException, base_url: str, key: str) -> RetryableError:
    """Return what ``error``, raised for a request to ``base_url``, means.

    Args:
        error: of the ``openai`` client.
        base_url: the endpoint's address.
        key: to keep out of the message.
    """
    parts, proxy = urlsplit(base_url), _proxy_for(base_url)
    place = f"the proxy of {proxy}" if proxy else parts.netloc.lower()
    host = place if proxy else parts.hostname
    check = f"check {proxy or 'OPENAI_BASE_URL'}"
    causes = list(chain(error))
    for cause in causes:
        found = _by_cause(cause, place, host or "", key)
        if found is not None:
            return RetryableError(f"{found[0]}; {check}", declined=True, tries_at_first=found[1])
    declined = any(type(cause).__name__ == "ConnectError" for cause in causes)
    answered = "complete message body" in str(error.__cause__)
    what = f"the connection to {place} failed ({type(error.__cause__ or error).__name__})"
    return RetryableError(
        what if answered else f"{what}; {check}",
        declined=declined,
        answered=answered,
        tries_at_first=_UNCLEAR,
    )


def _by_cause(cause: BaseException, place: str, host: str, key: str) -> tuple[str, int] | None:
    """Return what a known cause means, and how many tries it is worth at first."""
    found: tuple[str, int] | None = None
    if isinstance(cause, socket.gaierror):
        found = f"there is no host {host}", _CERTAIN
        if cause.errno == socket.EAI_AGAIN:
            found = f"the name of {host} cannot be looked up (is there a network?)", _TWICE
    elif isinstance(cause, ssl.SSLCertVerificationError):
        why = brief_message(cause.verify_message, key, 80)
        found = (
            f"the certificate of {place} is not trusted ({why}): name one that vouches for it in "
            "SSL_CERT_FILE",
            _CERTAIN,
        )
    elif isinstance(cause, ssl.SSLError) and "WRONG_VERSION" in str(cause):
        found = f"{place} does not speak https (is it http?)", _CERTAIN
    elif isinstance(cause, ConnectionRefusedError):
        found = f"nothing listens at {place}", _REFUSED
    # By name: which library's exceptions they are depends on the version of the client.
    elif type(cause).__name__ == "ConnectTimeout":
        found = f"no connection to {place} within {CONNECT_S:g} s", _TWICE
    elif type(cause).__name__ == "ProxyError":
        found = f"{place} does not let it through ({brief_message(str(cause), key, 80)})", _TWICE
    return found


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def no_client(error: Exception) -> str:
    """Return a sentence about a client that cannot be made of what the environment says."""
    if isinstance(error, OSError):  # ssl.SSLError is one
        name = next((n for n in CERTIFICATES if os.environ.get(n)), "")
        reason = error.strerror or type(error).__name__
        if name:
            what = f"{shown(os.environ[name], 200)}: {reason}"
            return f"{name} names no certificates that can be read ({what}): correct or unset it"
        return f"the certificates of this Python installation cannot be read ({reason})"
    named = [name for lower in _PROXIES if os.environ.get(name := _variable(lower))]
    if not named:
        return f"the HTTP client cannot be made ({type(error).__name__}): check NO_PROXY"
    socks = any(os.environ[name].lower().startswith("socks5") for name in named)
    return (
        f"{' or '.join(named)} is not the address of a proxy that can be used, such as "
        "http://host:3128: correct or unset it"
        f"{', or install the package socksio' if socks else ''}"
    )


def _variable(lower: str) -> str:
    """Return the variable that counts of ``http_proxy`` and ``HTTP_PROXY``."""
    return lower if os.environ.get(lower) else lower.upper()


def _proxy_for(base_url: str) -> str:
    """Return the variable whose proxy requests to ``base_url`` go through; empty for none."""
    parts = urlsplit(base_url)
    if urllib.request.proxy_bypass_environment(parts.hostname or ""):  # type: ignore[attr-defined]
        return ""
    return proxy_variable(parts.scheme)
