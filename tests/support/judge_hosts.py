"""Whose endpoint the loopback judge is: what hosts do otherwise than OpenAI, by their protocols.

Azure: REST reference of the data plane, version 2024-10-21. OpenRouter: its API reference, "Errors"
and "Chat completion". vLLM: what 0.32 answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from tests.support.judge_server import Act, Asked, Script, body, completion

_AZURE_PATH = re.compile(r"/openai/deployments/([^/?]+)/chat/completions")
GRADES = "{'visual': 4, 'audio': 3, 'details': 4}"


def azure(
    deployments: Mapping[str, str],
    *,
    key: str = "",
    token: str = "",
    version: str = "2024-10-21",
    unknown: tuple[str, ...] = (),
) -> Script:
    """Answer as a resource of Azure with these deployments, each of a model.

    It asks for ``key`` or ``token``; ``unknown`` are parameters that its version does not know.
    """

    def script(asked: Asked) -> Act:
        parts = urlsplit(asked.path)
        found = _AZURE_PATH.fullmatch(parts.path)
        given = asked.headers.get("api-key", "")
        if (given != key) if key else (asked.authorization != f"Bearer {token}"):
            return _error(401, "401", f"Access denied due to invalid subscription key {given}.")
        if parse_qs(parts.query).get("api-version") != [version] or not found:
            return _error(404, "404", "Resource not found")
        if found[1] not in deployments:
            return _error(
                404, "DeploymentNotFound", "The API deployment for this resource does not exist."
            )
        for name in unknown:
            if name in asked.body:
                return _error(400, None, f"Unrecognized request argument supplied: {name}")
        return body({**completion(GRADES), "model": deployments[found[1]]})

    return script


def moderated() -> Act:
    """Decline as Azure's filter does."""
    said = "The response was filtered due to the prompt triggering Azure's content management."
    return _error(400, "content_filter", said)


def gateway(model: str, *, spaces: int = 0) -> Act:
    """Answer as OpenRouter does, which sends white space while a provider thinks."""
    whole = {**completion(GRADES), "model": model, "provider": "OpenAI", "id": "gen-1"}
    return Act(body=b"\n" * spaces + json.dumps(whole).encode())


def gateway_error(code: int, said: str, *, status: int | None = None, raw: str = "") -> Act:
    """Answer with OpenRouter's error; one of a provider comes with status 200."""
    metadata = {"metadata": {"raw": raw, "provider_name": "OpenAI"}} if raw else {}
    error = {"error": {"code": code, "message": said, **metadata}, "user_id": "user_1"}
    return body(error, code if status is None else status)


def vllm_error(code: int, said: str, kind: str = "NotFoundError", param: str | None = None) -> Act:
    """Answer with an error of ``vllm serve``."""
    error = {"message": said, "type": kind, "param": param, "code": code}
    return body({"error": error}, code)


def _error(status: int, code: str | None, said: str) -> Act:
    return body({"error": {"code": code, "message": said}}, status)
