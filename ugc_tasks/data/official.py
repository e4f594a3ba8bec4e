"""The benchmark's own long prompts, obtained as data and known by their digests.

The texts are the published protocol and belong to the benchmark's authors, so the package does not
hold them. They are constants in four scripts of the authors' repository: a script is fetched at a
pinned commit, compared with its digest, parsed (never run), and the constant is compared with a
digest of its own. What comes back is therefore the text the published numbers were made with, or an
error.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from ugc_tasks.common.display import UserError, logger
from ugc_tasks.data.fetch import FetchError, fetch, keep

REPOSITORY = "WPR001/UGC_VideoCaptioner"
COMMIT = "a783e7ca37c5280cf7dc8520e6eb9ebe4021c473"
DEFAULT_ENDPOINT = "https://raw.githubusercontent.com"
ENDPOINT_VARIABLE = "UGC_VIDEOCAP_RAW_ENDPOINT"

_MAX_SCRIPT_BYTES = 1 << 20

_log = logger(__name__)


class OfficialPromptError(UserError, RuntimeError):
    """An official prompt cannot be had, or what was found is not that prompt."""


@dataclass(frozen=True)
class OfficialText:
    """One prompt of the authors: which constant of which script, and the digests of both."""

    name: str
    script: str
    constant: str
    text_sha256: str
    script_sha256: str


OFFICIAL_TEXTS: Mapping[str, OfficialText] = MappingProxyType(
    {
        text.name: text
        for text in (
            OfficialText(
                name="caption_judge_system",
                script="eval_caption.py",
                constant="system_msg",
                text_sha256="9e727b406f9d87272b3d630a38d3cc92e4ac7d294d249ad46ebb500d7e765b66",
                script_sha256="aa61f41566aa26a109a8ede06b689c69f8737fa9576ed20d07a66190eb13117d",
            ),
            OfficialText(
                name="background_judge_system",
                script="results/background/background.py",
                constant="system_prompt",
                text_sha256="4e81874ddf3d90c69a3088f45dc2aad6a21c1313bd735a54af4a33d7d3495a18",
                script_sha256="ecc5734f5772bb1585e433f10bc79b12cd55539cfd8b2c44a3fce7499eb1e15e",
            ),
            OfficialText(
                name="objects_judge_system",
                script="results/object/object.py",
                constant="system_prompt",
                text_sha256="7ee70eba19b0aaadcc295b852e4fcec5d95c97fed7eb12d8fefa2964d4716c72",
                script_sha256="53066032176911956bdb71333413caeb24c0a437122e6ccb91d9db819a500c7c",
            ),
            OfficialText(
                name="inference_prompt",
                script="omni_bench_inference/vllm_infer.py",
                constant="PROMPT_TEMPLATE",
                text_sha256="08fc366fbd369e2a6a34873831cd741bfd6e948184ea2cde33c1b70432c70544",
                script_sha256="0447064b3555b7de4c2dcfaaf24de1835eaa908c155c52180d66742369458888",
            ),
        )
    }
)


def official_text(name: str, *, home: Path | None, cache: Path, endpoint: str | None = None) -> str:
    """Return the official prompt ``name``, one of ``OFFICIAL_TEXTS``.

    Looked for at ``home/prompts/<name>.txt``, then ``cache/prompts/<name>.txt``, then downloaded
    and kept in ``cache``. ``endpoint`` (or the environment's ``UGC_VIDEOCAP_RAW_ENDPOINT``) is a
    server laid out like raw.githubusercontent.com. Raises ``OfficialPromptError``.
    """
    try:
        text = OFFICIAL_TEXTS[name]
    except KeyError:
        known = ", ".join(sorted(OFFICIAL_TEXTS))
        raise OfficialPromptError(
            f"there is no official prompt named {name!r}; the names are {known}"
        ) from None
    return obtain(text, home=home, cache=cache, endpoint=endpoint or raw_endpoint())


def raw_endpoint() -> str:
    """Return the address of the server that has the authors' repository as plain files."""
    return os.environ.get(ENDPOINT_VARIABLE, "").strip() or DEFAULT_ENDPOINT


def obtain(
    text: OfficialText, *, home: Path | None, cache: Path, endpoint: str, backoff: float = 0.5
) -> str:
    """Return ``text`` from ``home``, ``cache`` or ``endpoint``, in that order.

    A file under ``home`` is the user's own, so a wrong one is an error. One in ``cache`` is ours: a
    wrong one is fetched again. ``backoff`` is the first wait in seconds between tries of the
    download. Raises ``OfficialPromptError``.
    """
    file_name = f"{text.name}.txt"
    if home is not None:
        own = home / "prompts" / file_name
        content = _read_matching(own, text.text_sha256)
        if content is not None:
            return content
        if own.exists():
            raise OfficialPromptError(
                f"{own} is not the official prompt {text.name!r} (its SHA-256 is not "
                f"{text.text_sha256}); restore it byte for byte, or remove it to have it downloaded"
            )
    kept = cache / "prompts" / file_name
    content = _read_matching(kept, text.text_sha256)
    if content is not None:
        return content
    if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}:
        raise OfficialPromptError(
            f"the official prompt {text.name!r} is not on this machine and HF_HUB_OFFLINE forbids "
            f"downloading it; put the text of {text.constant} in {text.script} of {REPOSITORY} at "
            f"commit {COMMIT} into {kept}"
        )
    script = _download(text, endpoint, backoff)
    if hashlib.sha256(script).hexdigest() != text.script_sha256:
        raise OfficialPromptError(
            f"{text.script} from {_host(endpoint)} is not the script of commit {COMMIT} (its "
            f"SHA-256 differs from {text.script_sha256}); check {ENDPOINT_VARIABLE}"
        )
    content = read_constant(script, text)
    _keep(kept, content)
    return content


def read_constant(script: bytes, text: OfficialText) -> str:
    """Return the string that ``script`` assigns to ``text.constant``, by its syntax tree alone.

    Adjacent and added string literals count as one; anything that would have to be evaluated does
    not. Raises ``OfficialPromptError`` when no assignment has the digest of ``text``.
    """
    try:
        tree = ast.parse(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise OfficialPromptError(f"{text.script} does not parse as Python") from None
    values: list[str] = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if not any(isinstance(t, ast.Name) and t.id == text.constant for t in targets):
            continue
        value = _fold(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is not None:
            values.append(value)
    if not values:
        raise OfficialPromptError(
            f"{text.script} assigns no plain string to {text.constant}, so the official prompt "
            f"{text.name!r} cannot be read from it"
        )
    for value in values:
        if _sha256(value) == text.text_sha256:
            return value
    raise OfficialPromptError(
        f"{text.constant} in {text.script} is not the official prompt {text.name!r} (its SHA-256 "
        f"is not {text.text_sha256})"
    )


def _fold(node: ast.expr | None) -> str | None:
    """Return the string that literals joined by ``+`` spell, or None where a value is needed."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):  # an f-string; harmless where it has no placeholder
        parts = [_fold(part) for part in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_fold(node.left), _fold(node.right)]
    else:
        return None
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read_matching(path: Path, digest: str) -> str | None:
    """Return the text of ``path`` when it has the digest, None when it is absent or another."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SCRIPT_BYTES)
    except OSError:
        return None
    return content.decode() if hashlib.sha256(content).hexdigest() == digest else None


def _host(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or "an endpoint without a host"
    except ValueError:
        return "an endpoint without a host"


def _download(text: OfficialText, endpoint: str, backoff: float) -> bytes:
    url = f"{endpoint.rstrip('/')}/{REPOSITORY}/{COMMIT}/{quote(text.script)}"
    try:
        return fetch(url, most_bytes=_MAX_SCRIPT_BYTES, backoff=backoff)
    except FetchError as error:
        raise OfficialPromptError(
            f"the official prompt {text.name!r} could not be downloaded from {_host(endpoint)}: "
            f"{error}; try again, or set {ENDPOINT_VARIABLE} to an http or https address that has "
            f"the files of {DEFAULT_ENDPOINT}"
        ) from None


def _keep(path: Path, content: str) -> None:
    """Write the cache file; without a cache the text is still good."""
    try:
        keep(path, content.encode())
    except OSError as error:
        _log.warning("the official prompt could not be kept at %s (%s)", path, error.strerror)
