"""The Gemini API as an :class:`~ugc_models.engine.base.Engine`.

A request has a thread, which waits most of its time: for a place to upload, for the API to make the
file ready, for a place to be answered. Places are held only while an exchange is under way. What
may pass is tried again, at the pace that the API asks for; what ends the run lets those that are
being answered finish.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tenacity

from ugc_models.engine.base import EngineOutput, EngineRequest, EngineStopped, FileInput, shown
from ugc_models.gemini.client import COUNT, REQUEST, Api, Passing, Refused
from ugc_models.gemini.cost import Meter, Tokens
from ugc_models.gemini.files import INLINE_BYTES, contents
from ugc_models.gemini.settings import GeminiSettings
from ugc_models.gemini.uploads import Upload, Uploads

TRIES = 10
"""Of one exchange."""
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0
_GRACE_S = 10.0  # for what is in flight when the run ends
_LOST = 3  # uploads that a request may find gone
_SOUND_A_SECOND = 32  # tokens; source: ai.google.dev/gemini-api/docs/audio


class GeminiEngine:
    """Answers requests by the API; ``folder`` is where uploads are written down.

    Raises as :class:`~ugc_models.gemini.client.Api` does.
    """

    def __init__(self, api: Api, settings: GeminiSettings, folder: Path, meter: Meter) -> None:
        self._api, self._settings, self._meter = api, settings, meter
        self._places = threading.Semaphore(settings.concurrency)
        self._closing = threading.Event()
        self._stopped: EngineStopped | None = None
        self._rest_until = 0.0
        self._busy: set[threading.Thread] = set()
        self._uploads = Uploads(
            api,
            folder,
            parallel=settings.upload_concurrency,
            persist=self._persist,
            wait=self._sleep,
        )

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; the future raises ``EngineStopped`` where no request is answered."""
        future: Future[EngineOutput] = Future()
        thread = threading.Thread(target=self._run, args=(request, future), daemon=True)
        self._busy.add(thread)
        thread.start()
        return future

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results."""
        version = importlib.metadata.version("google-genai")
        return f"{'Vertex' if self._api.vertex else 'Gemini'} API by google-genai {version}"

    def tidy(self) -> int:
        """Delete our uploads; return how many are left. Requests that still wait are given up."""
        self._closing.set()
        end = time.monotonic() + _GRACE_S
        for thread in list(self._busy):
            thread.join(max(0.0, end - time.monotonic()))
        return self._uploads.tidy(settled=not self._busy)

    def close(self) -> None:
        """Let go of what it holds; :meth:`tidy` comes before."""
        self._closing.set()
        self._uploads.close()
        self._api.close()

    def _run(self, request: EngineRequest, future: Future[EngineOutput]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._answer(request))
        except EngineStopped as stopped:
            self._stopped = self._stopped or stopped
            future.set_exception(stopped)
        except Exception as error:  # one of them must not end the run, whatever it did
            said = f"{type(error).__name__}: {self._api.words(error)}"
            future.set_result(EngineOutput(request.index, error=said))
        finally:
            self._busy.discard(threading.current_thread())

    def _answer(self, request: EngineRequest) -> EngineOutput:
        files = [medium for medium in request.media if isinstance(medium, FileInput)]
        size = sum(file.size for file in files)
        if self._api.vertex and size > INLINE_BYTES:
            said = (
                f"its media have {size / 1e6:.1f} MB: Vertex has no uploads, and takes "
                f"{INLINE_BYTES / 1e6:g} MB"
            )
            return EngineOutput(request.index, error=said)
        inline = self._settings.inline and size <= INLINE_BYTES
        try:
            for _ in range(_LOST):
                with ExitStack() as held:
                    uploads: list[tuple[FileInput, Upload]] = []
                    media = [self._parts(file, inline, held, uploads) for file in files]
                    try:
                        return self._ask(request, media)
                    except Refused as refused:
                        if not (refused.lost and uploads):
                            raise
                        for file, upload in uploads:
                            self._uploads.forget(file, upload)
            raise Refused("its upload was gone each time")
        except Refused as refused:
            return EngineOutput(request.index, error=str(refused))
        except Passing as passing:
            said = f"{passing}; given up after several tries"
            return EngineOutput(request.index, error=said)

    def _parts(
        self,
        file: FileInput,
        inline: bool,
        held: ExitStack,
        uploads: list[tuple[FileInput, Upload]],
    ) -> list[Any]:
        from google.genai import types

        metadata = None
        if file.kind == "video" and not isinstance(file.content, tuple):
            stretch: dict[str, Any] = {
                "start_offset": f"{file.start:g}s" if file.start else None,
                "end_offset": None if file.end is None else f"{file.end:g}s",
                "fps": self._settings.fps,
            }
            if any(value is not None for value in stretch.values()):
                metadata = types.VideoMetadata(**stretch)
        if isinstance(file.content, tuple):  # the pictures of a video: a part each
            blobs = [types.Blob(data=each, mime_type=file.mime_type) for each in file.content]
            return [types.Part(inline_data=blob) for blob in blobs]
        if inline or self._api.vertex:
            whole = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
            blob = types.Blob(data=whole, mime_type=file.mime_type)
            return [types.Part(inline_data=blob, video_metadata=metadata)]
        upload = held.enter_context(self._uploads.hold(file))
        uploads.append((file, upload))
        there = types.FileData(file_uri=upload.uri, mime_type=file.mime_type)
        return [types.Part(file_data=there, video_metadata=metadata)]

    def _ask(self, request: EngineRequest, media: Sequence[list[Any]]) -> EngineOutput:
        from google.genai import types

        settings, models = self._settings, self._api.client.models
        text_first = settings.order == "text_first"
        system, turns = contents(request.messages, iter(media), text_first=text_first)
        fields: Mapping[str, Any] = {**settings.config(), **request.parameters}
        config = types.GenerateContentConfig(
            **fields,
            system_instruction=system,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        counted = None
        if self._meter.budget is not None:
            told = self._persist(
                lambda: self._api.call(
                    COUNT, lambda: models.count_tokens(model=settings.model, contents=turns)
                )
            )
            counted = int(told.total_tokens or 0) + len(system or "")

        def ask() -> EngineOutput:
            with self._places:
                if self._stopped is not None:
                    raise self._stopped
                with self._meter.reserve(counted) as held:
                    try:
                        reply = self._api.call(
                            REQUEST,
                            lambda: models.generate_content(
                                model=settings.model, contents=turns, config=config
                            ),
                        )
                    except (Refused, EngineStopped):
                        held.usd = 0.0
                        raise
                    except Passing as passing:
                        held.usd = 0.0 if passing.answered else None
                        raise
                    tokens = Tokens.of(reply.usage_metadata)
                    usd = self._meter.note(held, tokens, reply.model_version)
                    return _output(request.index, reply, tokens, usd)

        output: EngineOutput = self._persist(ask)
        return output

    def _persist(self, ask: Callable[[], Any]) -> Any:
        """Return what ``ask`` brings, asked again while what it raises is ``Passing``."""

        def once() -> Any:
            self._sleep(self._rest_until - time.monotonic())
            return ask()

        def rest(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            told = getattr(failure, "wait", None)
            if told is None:
                backoff = tenacity.wait_exponential_jitter(_FIRST_REST_S, _LONGEST_REST_S)
                return float(backoff(state))
            # The others would be refused, too.
            self._rest_until = max(self._rest_until, time.monotonic() + told)
            return float(told)

        def stop(state: tenacity.RetryCallState) -> bool:
            failure = state.outcome.exception() if state.outcome else None
            # What hangs takes the whole time of an exchange; who refuses says when to come back.
            hangs = not getattr(failure, "answered", False)
            passed = state.seconds_since_start or 0.0
            return state.attempt_number >= TRIES or (hangs and passed >= 3 * self._settings.timeout)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Passing),
            stop=stop,
            wait=rest,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(once)

    def _sleep(self, seconds: float) -> None:
        if self._closing.wait(max(0.0, seconds)):
            raise EngineStopped("the run was stopped")
        if self._stopped is not None:
            raise self._stopped


def _output(index: int, reply: Any, tokens: Tokens, usd: float | None) -> EngineOutput:
    """Return the answer in a reply, or why there is none, with what the reply tells."""
    told: dict[str, Any] = {
        "output_tokens": tokens.output,
        "api": {
            "model_version": None if reply.model_version is None else shown(reply.model_version),
            "audio_tokens": tokens.audio,
            "thought_tokens": tokens.thoughts,
            "usd": usd,
        },
    }
    if tokens.audio is not None:
        told["sound_seconds"] = round(tokens.audio / _SOUND_A_SECOND, 3)
        if not tokens.audio:
            told["sound_missing"] = "no tokens of sound counted"
    text, reason = _text(reply)
    error = None
    if reason not in {"STOP", "MAX_TOKENS"}:
        error = f"blocked or cut by the provider: {reason}"
    elif not text.strip():
        error = f"the reply is empty: {reason}"
    if error is not None:
        told.pop("output_tokens")
        return EngineOutput(index, error=error, prompt_tokens=tokens.prompt, told=told)
    reason = "length" if reason == "MAX_TOKENS" else "stop"
    return EngineOutput(index, text.strip(), None, False, reason, tokens.prompt, told=told)


def _text(reply: Any) -> tuple[str, str]:
    """Return the text of the first candidate without its thoughts, and why it ended."""
    if not reply.candidates:
        feedback = reply.prompt_feedback
        reason = getattr(getattr(feedback, "block_reason", None), "value", None)
        words = getattr(feedback, "block_reason_message", None) or ""
        return "", f"prompt {reason or 'unanswered'}" + (f" ({shown(words)})" if words else "")
    candidate = reply.candidates[0]
    parts = (candidate.content and candidate.content.parts) or ()
    text = "".join(part.text or "" for part in parts if not part.thought)
    reason = getattr(candidate.finish_reason, "value", None) or "no finishReason"
    words = candidate.finish_message
    return text, shown(reason) + (f" ({shown(words)})" if words and reason != "STOP" else "")
