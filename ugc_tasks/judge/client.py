"""One request to an OpenAI-compatible chat endpoint: asked until it is answered or time is up.

What may pass (too many requests, server errors, no answer, a cut or unreadable body) is retried
with exponential back-off and full jitter, and the server's Retry-After is honoured. What cannot
pass is one of two errors: ``JudgeRefused`` when every other request would meet the same,
``RequestFailed`` when only this one does. Neither carries the key, nor an exception that does.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.secret import brief_message, without_key

if TYPE_CHECKING:
    import openai
    import tenacity

_MAX_BODY_BYTES = 1 << 20
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_SHARED_PARAMETERS = {"model", "temperature", "response_format"}  # the same in every request

Pause = Callable[[float], Awaitable[None]]


class JudgeRefused(RuntimeError):
    """The endpoint will answer no request as things are; the message says what to do."""


class RequestFailed(RuntimeError):
    """This one request got no answer; others may."""


class RequestTimedOut(RequestFailed):
    """This one request got no answer although it was repeated until its time was up."""


class _Passing(Exception):
    """A failure that may pass: worth another try, not before ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Backoff:
    """Waits between tries, in seconds: from 0 to ``first`` doubled each time, at most ``longest``.

    ``longest_told`` bounds what a server's Retry-After can ask for.
    """

    first: float = 0.5
    longest: float = 30.0
    longest_told: float = 120.0


class ChatClient:
    """A client for the chat completions of ``base_url``; use it within one event loop."""

    def __init__(
        self,
        *,
        base_url: str,
        endpoint: str,
        api_key: str,
        timeout: float,
        backoff: Backoff,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """``endpoint`` is the address as messages show it; ``pause`` waits between tries."""
        import openai

        self._endpoint = endpoint
        self._key = api_key
        self._timeout = timeout
        self._backoff = backoff
        self._pause = pause
        self._openai = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout
        )

    async def ask(self, body: Mapping[str, Any], *, within: float) -> ChatReply:
        """Return the reply to the request ``body``, tried for up to ``within`` seconds.

        Raises ``JudgeRefused`` or ``RequestFailed`` (``RequestTimedOut`` when time was up).
        """
        import tenacity

        reason = "no answer"

        def remember(state: tenacity.RetryCallState) -> None:
            nonlocal reason
            reason = str(state.outcome.exception()) if state.outcome else reason

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=self._wait(),
            stop=tenacity.stop_before_delay(within),
            after=remember,
            sleep=self._pause,
            reraise=True,
        )
        started = time.monotonic()
        try:
            async with asyncio.timeout(within):
                return await retrying(self._once, body)
        except (_Passing, TimeoutError):
            pass  # the reason of the last whole try says more than that time was up
        tries, spent = retrying.statistics["attempt_number"], time.monotonic() - started
        raise RequestTimedOut(
            f"{self._endpoint}: {reason}; given up after {tries} tries in {spent:.0f} s"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._openai.close()

    def _wait(self) -> Callable[[tenacity.RetryCallState], float]:
        import tenacity

        jittered = tenacity.wait_random_exponential(
            multiplier=self._backoff.first, max=self._backoff.longest
        )

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            told = error.wait if isinstance(error, _Passing) else 0.0
            # On top of what was told: all who were told the same must not come back at once.
            return min(told, self._backoff.longest_told) + jittered(state)

        return wait

    async def _once(self, body: Mapping[str, Any]) -> ChatReply:
        import openai

        create: Any = self._openai.chat.completions.with_streaming_response.create
        failure: Exception
        try:
            async with asyncio.timeout(self._timeout), create(**body) as response:
                return self._decode(await self._read(response))
        except _Passing:
            raise
        except (TimeoutError, openai.APITimeoutError):
            failure = _Passing(f"no answer within {self._timeout:g} s")
        except openai.APIStatusError as error:
            failure = self._explain(error)
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            failure = _Passing(f"the connection failed ({cause})")
        except UnicodeEncodeError:
            failure = RequestFailed("the answer or its reference is not valid Unicode text")
        # Raised here, outside the handler: the openai exception holds the request and its key.
        raise failure

    @staticmethod
    async def _read(response: Any) -> bytes:
        body = bytearray()
        try:
            async for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    break
        except Exception as error:  # the HTTP library's own; which one it is differs by version
            raise _Passing(f"the answer was cut off ({type(error).__name__})") from None
        if len(body) > _MAX_BODY_BYTES:
            raise _Passing(f"the answer is larger than {_MAX_BODY_BYTES} bytes")
        return bytes(body)

    def _decode(self, body: bytes) -> ChatReply:
        """Return the reply in a chat completion; any other body may be a proxy's bad moment."""
        try:
            data = json.loads(body)
            choice = data["choices"][0]
            message = choice["message"]
            # A model that declines under a JSON schema says so in "refusal", without content.
            content = message.get("content") or message.get("refusal") or ""
            if not isinstance(content, str):
                raise TypeError
            usage = data.get("usage")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Passing("the answer is not a chat completion") from None
        usage = usage if isinstance(usage, dict) else {}
        return ChatReply(
            text=without_key(content, self._key),
            finish_reason=self._name(choice.get("finish_reason")),
            model=self._name(data.get("model")),
            fingerprint=self._name(data.get("system_fingerprint")),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
        )

    def _name(self, value: object) -> str | None:
        return brief_message(value, self._key, 100) if isinstance(value, str) else None

    def _explain(self, error: openai.APIStatusError) -> Exception:
        """Return the failure that an error status means, worded for the one who has to act."""
        status = error.status_code
        code, parameter, said = _details(error.body)
        where = f"{self._endpoint} answered {status}"
        if code in _QUOTA_CODES or status == 402:
            return JudgeRefused(
                f"{where}: the account has no quota left; add credit and run again, what was "
                "judged is kept"
            )
        if status in {401, 403}:
            return JudgeRefused(
                f"{where}: it does not accept the key for this; check OPENAI_API_KEY and "
                "OPENAI_BASE_URL"
            )
        message = brief_message(said, self._key)
        because = f"{where} ({message})" if message else where
        if status == 404 or (status in {400, 422} and parameter in _SHARED_PARAMETERS):
            return JudgeRefused(
                f"{because}: it does not serve this judge; check OPENAI_BASE_URL and "
                "UGC_JUDGE_MODEL"
            )
        if status in {408, 409, 429} or status >= 500:
            return _Passing(f"answered {status}", _retry_after(error.response.headers))
        return RequestFailed(because)


def _details(body: object) -> tuple[str, str, str]:
    """Return code, parameter and message of an error body, whatever it is."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, str):
        return "", "", inner[:2000]
    if not isinstance(inner, dict):
        return "", "", ""
    code, kind = (str(inner.get(name) or "") for name in ("code", "type"))
    message = str(inner.get("message") or "")[:2000]
    return (kind if kind in _QUOTA_CODES else code), str(inner.get("param") or ""), message


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks to wait, 0 where it asks for nothing intelligible."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return seconds if 0 < seconds < 1e9 else 0.0


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    return None
