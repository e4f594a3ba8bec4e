"""The files of the Batch API: requests in, answers out, a JSON object a line.

Source: OpenAI's API reference, "Batch": a request is ``{custom_id, method, url, body}``, an answer
``{custom_id, response: {status_code, body}, error}``; at most 50,000 requests and 200 MB a file. A
``custom_id`` here is the key of the judgment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ugc_tasks.judge.completion import read_completion
from ugc_tasks.judge.failures import JudgeRefused, Passing, RequestFailed
from ugc_tasks.judge.reply import ChatReply

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
URL: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class Part:
    """One file of requests: its bytes, and the keys of its judgments."""

    content: bytes
    keys: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Return the digest of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


def parts(
    bodies: Mapping[str, Mapping[str, Any]],
    *,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Part]:
    """Yield files with all requests, by key of their judgment, each within the API's limits.

    Requests that cannot be written, or are too large for any file, are left out.
    """
    lines: list[bytes] = []
    keys: list[str] = []
    size = 0
    for key, body in bodies.items():
        request = {"custom_id": key, "method": "POST", "url": URL, "body": body}
        try:
            line = _line(request)
        except ValueError:  # a lone surrogate, or a number that JSON does not have
            continue
        if len(line) > max_bytes:
            continue
        if lines and (len(lines) == max_requests or size + len(line) > max_bytes):
            yield Part(b"".join(lines), tuple(keys))
            lines, keys, size = [], [], 0
        lines.append(line)
        keys.append(key)
        size += len(line)
    if lines:
        yield Part(b"".join(lines), tuple(keys))


def replies(content: bytes, keys: Collection[str], api_key: str) -> dict[str, ChatReply]:
    """Return the replies in a file of answers, by key; the first counts where one is there twice.

    Lines that are no reply (an error, junk, a key that was not asked for) are passed over: their
    judgments are still missing, and are asked for by single requests. A line that was billed and
    cannot be read is a reply without text.

    Args:
        content: of the file.
        keys: what was asked for.
        api_key: to keep out of the replies.
    """
    wanted, found = set(keys), dict[str, ChatReply]()
    for line in content.splitlines():
        try:
            answer = json.loads(line)
            key, response = answer["custom_id"], answer["response"]
            if key not in wanted or key in found or response["status_code"] != 200:
                continue
            found[key] = _reply(response["body"], api_key)
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
    return found


def _reply(body: Any, api_key: str) -> ChatReply:
    """Return the reply in a line's body; raises ``ValueError`` where none was billed."""
    try:
        return read_completion(json.dumps(body).encode(), api_key)
    except RequestFailed as error:
        if error.billed is not None:
            return error.billed
    except (Passing, JudgeRefused):
        pass
    raise ValueError("no reply")


def _line(request: Mapping[str, Any]) -> bytes:
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode()
