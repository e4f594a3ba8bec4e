"""A chat completion's body, as servers write it: the reply in it, or what is there instead.

What a model said is a reply, also where it has no text (a refusal, reasoning alone, a tool that was
called); what no model said is a failure. Either way the tokens that were billed are with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ugc_tasks.judge.failures import (
    Declined,
    Passing,
    RequestFailed,
    Unreadable,
    details_of,
    meaning_of,
)
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.secret import brief_message, without_key

_TEXT = {"text", "output_text"}
_REASONING = {"thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"}
_SHOWN = 80  # characters of an answer that cannot be read
_TRIES = 3


def read_completion(body: bytes, key: str, endpoint: str = "the judge") -> ChatReply:
    """Return the reply in a chat completion, without ``key``.

    Raises:
        Unreadable: it is not a chat completion, and would not be the next time.
        RequestFailed, JudgeRefused: it is an error, although its status said otherwise.
        Passing: it is an error that may pass, or nothing at all.
    """
    data = _object(body, key)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    billed = _billed(data, key)
    error = data.get("error") or (choice.get("error") if isinstance(choice, dict) else None)
    if error and not content:
        raise _error(error, billed, key, endpoint)
    if not isinstance(message, dict):
        if reason := _blocked(data):
            raise RequestFailed(f"{endpoint} blocked it ({brief_message(reason, key)})", billed)
        if choices == []:
            raise Declined(f"{endpoint} answered with an empty list of choices", billed)
        raise _unreadable("is not a chat completion", body, key, billed)
    text, lacks = _text(message)
    if text is None:
        found = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        raise _unreadable("has no text that can be read", found, key, billed)
    return ChatReply(
        text=without_key(text, key),
        finish_reason=_name(choice.get("finish_reason"), key),
        model=billed.model if billed else None,
        fingerprint=billed.fingerprint if billed else None,
        prompt_tokens=billed.prompt_tokens if billed else None,
        completion_tokens=billed.completion_tokens if billed else None,
        lacks=lacks,
    )


def _object(body: bytes, key: str) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(data, list):  # Gemini's errors
            data = next((e for e in data if isinstance(e, dict) and e.get("error")), None)
        if isinstance(data, dict):
            return data
        raise _unreadable("is not a chat completion", body, key)
    start = body[:200].lstrip().lower()
    if not start and not body.strip():
        raise Passing("the answer is empty", answered=True, most=_TRIES)
    if start.startswith((b"data:", b"event:", b"id:", b": ")):
        what = "is an event stream, which was not asked for"
        raise _unreadable(what, body, key, ChatReply(""))
    if start.startswith(b"<"):
        raise _unreadable("is a web page", body, key)
    # It may be a model's, cut off or with something in it that JSON does not have.
    raise _unreadable("is not JSON", body, key, ChatReply("") if start[:1] == b"{" else None)


def _text(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a message's text, and why it is not one to read scores in.

    There is no text at all (None) where the content is of a kind that is not known.
    """
    content, refusal = message.get("content"), message.get("refusal")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, dict | list):
        parts = content if isinstance(content, list) else [content]
        texts, refusals, others = _parts(parts)
        refusal, reasoning = refusal or "".join(refusals), reasoning or others & _REASONING
        content = None if others - _REASONING and not texts and not refusals else "".join(texts)
        if content is None:
            return None, None
    elif content is None:
        content = ""
    lacks = None
    if not isinstance(content, str):
        content = None
    elif not content.strip():
        # A model that declines under a JSON schema says so in "refusal", without content.
        if isinstance(refusal, str) and refusal.strip():
            content, lacks = refusal, "the judge declined to answer"
        elif message.get("tool_calls") or message.get("function_call"):
            lacks = "the judge called a tool instead of answering"
        elif reasoning:
            lacks = "the reply has reasoning and no text"
    return content, lacks


def _parts(parts: list[Any]) -> tuple[list[str], list[str], set[str]]:
    """Return the texts among a content's parts, the refusals, and which kinds the others are."""
    texts, refusals, others = list[str](), list[str](), set[str]()
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str) and (kind is None or kind in _TEXT):
            texts.append(text)
        elif kind == "refusal" and isinstance(part.get("refusal"), str):
            refusals.append(part["refusal"])
        else:
            others.add(str(kind))
    return texts, refusals, others


def _billed(data: Mapping[str, Any], key: str) -> ChatReply | None:
    """Return what a completion says of itself and its tokens; None where no model answered."""
    usage = data.get("usage") or data.get("usageMetadata")
    if not isinstance(usage, dict):
        if not data.get("choices"):
            return None
        usage = {}
    # Beside OpenAI's names those of Anthropic and of Gemini, of gateways that hand them on.
    prompt = ("prompt_tokens", "input_tokens", "promptTokenCount")
    completion = ("completion_tokens", "output_tokens", "candidatesTokenCount")
    return ChatReply(
        "",
        model=_name(data.get("model"), key),
        fingerprint=_name(data.get("system_fingerprint"), key),
        prompt_tokens=next((_count(usage[name]) for name in prompt if name in usage), None),
        completion_tokens=next((_count(usage[name]) for name in completion if name in usage), None),
    )


def _error(error: object, billed: ChatReply | None, key: str, endpoint: str) -> Exception:
    """Return what an error in a completion's place means, by the status in it if there is one."""
    said = details_of({"error": error})
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code) in _STATUSES else 0
    words = brief_message(said[2] or said[0], key) or "it does not say why"
    failure: Exception = Declined(f"{endpoint} answered with an error ({words})")
    if status:
        failure = meaning_of(status, {}, said, endpoint=endpoint, key=key)
    if isinstance(failure, RequestFailed):
        failure.billed = billed
    elif isinstance(failure, Passing) and not failure.throttled:
        failure.most = _TRIES  # its own status did not say that it will pass
    return failure


_STATUSES = frozenset(map(str, range(400, 600)))


def _blocked(data: Mapping[str, Any]) -> str:
    """Return why Gemini blocked a request; empty where it did not."""
    feedback = data.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return str(reason or "")


def _unreadable(what: str, body: bytes, key: str, billed: ChatReply | None = None) -> Unreadable:
    begins = brief_message(body.decode("utf-8", "replace"), key, _SHOWN)
    return Unreadable(f"the answer {what}: {begins}", billed)


def _name(value: object, key: str) -> str | None:
    return brief_message(value, key, 100) if isinstance(value, str) else None


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    return None
