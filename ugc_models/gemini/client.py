"""One exchange with the Gemini API through google-genai, and what its failure means.

Addresses, keys, and whether it is Vertex are google-genai's own variables. No message shows a key:
it is cut out of what the API says, and no exception of google-genai or httpx, which hold the
request, is carried on.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ugc_models.engine.base import EngineStopped, shown

if TYPE_CHECKING:
    import httpx

KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
REQUEST, COUNT, UPLOAD, STATE, DELETION = (
    *("the request", "the count of tokens"),
    *("the upload", "the upload's state", "the deletion"),
)
"""What an exchange is, in messages and for what its failure means."""
_MOST_BYTES = 16 << 20  # of an answer: the longest text has a quarter of a megabyte
_PATIENCE_S = 600.0  # that the API may ask for; a longer wait ends the run

T = TypeVar("T")


class GeminiMissing(ImportError):
    """google-genai is not installed; what to do, in one sentence."""


class Passing(Exception):
    """A failure that may pass.

    ``wait``: seconds that the API asks for. ``answered``: it refused, so that nothing was billed.
    """

    def __init__(self, reason: str, *, wait: float | None = None, answered: bool = False) -> None:
        super().__init__(shown(reason, limit=500))
        self.wait, self.answered = wait, answered


class Refused(Exception):
    """A failure of one request that stays; ``lost``: a file that it names is not there any more."""

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(shown(reason, limit=500))
        self.lost = lost


class Api:
    """The client of google-genai, bounded: no redirects, no endless replies, no keys in messages.

    Raises:
        GeminiMissing: google-genai is not installed.
        ValueError: no key, or variables that contradict each other.
    """

    def __init__(self, timeout: float) -> None:
        try:
            from google import genai
            from google.genai import types
        except ImportError as error:
            raise GeminiMissing(
                "gemini_video needs google-genai: pip install 'ugc-videocap[gemini]' "
                f"({shown(error)})"
            ) from None
        self._secrets = [key.strip() for name in KEYS if (key := os.environ.get(name, "")).strip()]
        options = types.HttpOptions(
            timeout=max(1, round(timeout * 1000)), httpx_client=_bounded_client(timeout)
        )
        failure = None
        try:
            self.client = genai.Client(http_options=options)
        except Exception as error:  # google-auth's own among them
            failure = self.words(error)
        if failure is not None:
            raise ValueError(
                f"the Gemini API cannot be used: {failure} Set {KEYS[0]} (or {KEYS[1]}), or for "
                "Vertex GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION"
            )
        self.vertex = bool(self.client.vertexai)
        base = str(self.client._api_client._http_options.base_url)
        self.place = hashlib.sha256(base.encode()).hexdigest()[:16]  # tells addresses apart

    def call(self, what: str, ask: Callable[[], T]) -> T:
        """Return what an exchange brings.

        Raises:
            Passing: it may be tried again.
            Refused: this request has no answer.
            EngineStopped: no request has one.
        """
        import httpx
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.genai import errors

        try:
            return ask()
        except errors.APIError as error:
            failure: Exception = self._meaning(what, error)
        except httpx.TimeoutException:
            failure = Passing(f"{what}: no answer in time")
        except (httpx.HTTPError, TransportError) as error:
            failure = Passing(f"{what}: the connection broke ({type(error).__name__})")
        except GoogleAuthError as error:
            failure = EngineStopped(f"Google's credentials cannot be used: {self.words(error)}")
        except OSError as error:
            failure = Refused(f"{what}: {error.strerror or type(error).__name__}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            words = f"{type(error).__name__}: {self.words(error)}"
            failure = Passing(f"{what}: an answer that is none of the API's ({words:.200})")
        # Raised outside the handlers: their exceptions hold the request and its key.
        raise failure

    def close(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            self.client.close()

    def words(self, said: object) -> str:
        """Return what others said, harmless and without a key."""
        text = str(said)
        for secret in self._secrets:
            text = text.replace(secret, "...")
        return shown(text, limit=400)

    def _meaning(self, what: str, error: Any) -> Exception:
        code, message = error.code, self.words(error.message or error.status or "")
        code = code if isinstance(code, int) else 0
        told = _Details(error)
        said = f"{what}: the API answers {code}" + (f" ({message})" if message else "")
        about_file = what == REQUEST and re.search(r"\bfile\b", message, re.IGNORECASE)
        if code == 429 and told.daily:
            return EngineStopped(f"today's quota is used up: {message or code}")
        if code == 429 and (told.wait or 0.0) > _PATIENCE_S:
            return EngineStopped(f"{said}, and asks for a rest of {told.wait:.0f} s")
        if code in {408, 429} or code >= 500:
            wait = None if told.wait is None else min(told.wait, _PATIENCE_S)
            return Passing(said, wait=wait, answered=code != 504)
        if code in {403, 404} and (about_file or what in {STATE, DELETION}):
            return Refused(said, lost=True)
        if code in {401, 403} or told.bad_key:
            said = f"the API refuses the key ({code}, {message}): check {KEYS[0]}"
        elif 300 <= code < 400:
            said = f"{what}: the API's address redirects ({code}), which is not followed"
        elif code != 404 and "location is not supported" not in message.lower():
            return Refused(said)
        return EngineStopped(said)


class _Details:
    """What the details of a refusal say that decides what is done; none of it is to be trusted."""

    def __init__(self, error: Any) -> None:
        found = error.details if isinstance(error.details, dict) else {}
        inner = found.get("error", found)
        details = inner.get("details") if isinstance(inner, dict) else None
        details = details if isinstance(details, list) else []
        entries = [each for each in details if isinstance(each, dict)]
        headers = getattr(error.response, "headers", None) or {}
        delays = [each.get("retryDelay") for each in entries] + [headers.get("retry-after")]
        self.wait = next((s for s in map(_seconds, delays) if s is not None), None)
        self.daily = any("PerDay" in str(each.get("violations")) for each in entries)
        words = f"{[each.get('reason') for each in entries]} {error.message}"
        self.bad_key = bool(re.search(r"API_KEY_INVALID|API key (not valid|expired)", words))


def _seconds(told: Any) -> float | None:
    words = told if isinstance(told, str) else ""
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)s?\s*", words)
    return float(match[1]) if match else None


def _bounded_client(timeout: float) -> httpx.Client:
    """Return a client whose answers are read here, whole and within bounds."""
    import httpx
    from google.genai import errors

    class Bounded(httpx.Client):
        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            # Redirects are not followed: the key would go wherever they say.
            options |= {"stream": True, "follow_redirects": False}
            end = time.monotonic() + timeout
            body = bytearray()
            response = super().send(request, **options)
            try:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise httpx.DecodingError("an encoding that was not asked for")
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise httpx.DecodingError("too long")
                    if time.monotonic() > end:
                        raise httpx.ReadTimeout("it drips")
            finally:
                response.close()
            whole = httpx.Response(
                response.status_code,
                headers=[(k, v) for k, v in response.headers.items() if k != "transfer-encoding"],
                content=bytes(body),
                request=request,
            )
            # google-genai would try a refused part of an upload again for minutes.
            if "x-goog-upload-offset" in request.headers and whole.status_code >= 300:
                errors.APIError.raise_for_response(whole)
            return whole

    return Bounded(headers={"Accept-Encoding": "identity"}, follow_redirects=False, timeout=timeout)
