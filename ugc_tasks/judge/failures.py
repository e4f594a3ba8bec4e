"""What can go wrong with a request, by what can be done about it, and what a status means.

A failure that may pass (``Passing``) is worth another try. What cannot pass is ``JudgeRefused``
when every other request would meet the same, ``RequestFailed`` when only this one does. None of
them carries the key, nor an exception that does.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping

from ugc_tasks.judge.secret import brief_message

_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_SHARED_PARAMETERS = {"model", "temperature", "response_format"}  # the same in every request
_MAX_TOLD_S = 1e9


class JudgeRefused(RuntimeError):
    """The endpoint will answer no request as things are; the message says what to do."""


class RequestFailed(RuntimeError):
    """This one request got no answer; others may."""


class RequestTimedOut(RequestFailed):
    """This one request got no answer although it was repeated until its time was up."""


class Passing(Exception):
    """A failure that may pass: worth another try, not before ``told`` seconds.

    Attributes:
        throttled: whether it says that there are too many requests.
        declined: whether the endpoint said no; else it may have worked, and have to be paid for.
        silent: whether it said nothing for as long as it was listened to.
    """

    def __init__(
        self,
        reason: str,
        told: float = 0.0,
        *,
        throttled: bool = False,
        declined: bool = False,
        silent: bool = False,
    ) -> None:
        super().__init__(reason)
        self.silent = silent
        self.told = told
        self.throttled = throttled
        self.declined = declined


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
    code, parameter, said = details(body)
    where = f"{endpoint} answered {status}"
    if code in _QUOTA_CODES or status == 402:
        return JudgeRefused(
            f"{where}: the account has no quota left; add credit and run again, what was "
            "judged is kept"
        )
    if status in {401, 403}:
        return JudgeRefused(
            f"{where}: it does not accept the key for this; check OPENAI_API_KEY and "
            "OPENAI_BASE_URL, and run again: what was judged is kept"
        )
    message = brief_message(said, key)
    because = f"{where} ({message})" if message else where
    if 300 <= status < 400:
        return JudgeRefused(f"{where}: it is somewhere else; correct OPENAI_BASE_URL")
    if status == 404 or (status in {400, 422} and parameter in _SHARED_PARAMETERS):
        return JudgeRefused(
            f"{because}: it does not serve this judge; check OPENAI_BASE_URL and UGC_JUDGE_MODEL"
        )
    if status in {408, 409, 429} or status >= 500:
        told = _retry_after(headers)
        return Passing(
            f"answered {status}", told, throttled=status == 429 or told > 0, declined=True
        )
    return RequestFailed(because)


def details(body: bytes) -> tuple[str, str, str]:
    """Return code, parameter and message of an error body, whatever it is."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = body[:2000].decode("utf-8", "replace")
    inner = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(inner, str):
        return "", "", inner[:2000]
    if not isinstance(inner, dict):
        return "", "", ""
    code, kind = (str(inner.get(name) or "") for name in ("code", "type"))
    message = str(inner.get("message") or "")[:2000]
    return (kind if kind in _QUOTA_CODES else code), str(inner.get("param") or ""), message


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
