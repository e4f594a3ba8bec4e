"""Putting the published files and the official prompts into one folder, each checked by digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.common.files import DataError
from ugc_tasks.data.annotations import hub_endpoint, hub_file, reason, source_of
from ugc_tasks.data.fetch import keep, unreachable
from ugc_tasks.data.github import from_github, offline
from ugc_tasks.data.official import OFFICIAL_TEXTS, OfficialPromptError, official_text, raw_endpoint
from ugc_tasks.data.published import FILES, PublishedFile, digest, is_published

_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Collected:
    """How it went with one file: ``fault`` is None where it is there and is the published one."""

    name: str
    source: str
    fault: str | None


def collect(root: Path, *, replace: bool, step: Callable[[str], None]) -> list[Collected]:
    """Bring every published file and official prompt into ``root``; what is there is not asked for.

    One that fails does not stop the others.

    Args:
        root: the folder; prompts go into its ``prompts``.
        replace: whether a file that is not the published one may be written over. It may in the
            cache, which is ours; in a user's own folder it is a fault.
        step: called with each file's name before its turn.
    """
    done: list[Collected] = []
    if not offline():
        unreachable(_wanted_from(root))  # both at once; each is remembered
    for file in FILES.values():
        step(file.name)
        done.append(Collected(file.name, source_of(file.name), _fault(file, root, replace)))
    for name in OFFICIAL_TEXTS:
        step(name)
        fault = None
        try:
            official_text(name, home=None if replace else root, cache=root)
        except OfficialPromptError as error:
            fault = str(error)
        done.append(Collected(f"prompts/{name}.txt", "official", fault))
    return done


def _wanted_from(root: Path) -> set[str]:
    """Return the addresses of the servers that something in ``root`` is missing from."""
    origins = {file.origin for file in FILES.values() if not is_published(root / file.name)}
    if not all((root / "prompts" / f"{name}.txt").is_file() for name in OFFICIAL_TEXTS):
        origins.add("github")
    return {hub_endpoint() if origin == "hub" else raw_endpoint() for origin in origins}


def _fault(file: PublishedFile, root: Path, replace: bool) -> str | None:
    target = root / file.name
    if is_published(target):
        return None
    if target.exists() and not replace:
        return (
            f"{target} is not the published file (its SHA-256 is not {file.sha256}): move it away "
            "to have the published one fetched"
        )
    try:
        if file.origin == "github":
            from_github(file, target)
        else:
            _from_hub(file, target)
    except DataError as error:
        return str(error)
    return None


def _from_hub(file: PublishedFile, target: Path) -> None:
    try:
        found = hub_file(file.name)
        if not _is_whole(found, file):
            found = hub_file(file.name, again=True)
    except Exception as error:  # whatever the Hub's client raises: connection, HTTP, cache
        raise DataError(f"{file.name} could not be had from the Hub: {reason(error)}") from None
    if not _is_whole(found, file):
        raise DataError(
            f"{file.name}: what the Hub gave is not the published file (its digest is another); "
            "check HF_ENDPOINT"
        )
    try:
        keep(target, found.read_bytes())
    except OSError as error:
        raise DataError(f"{target} could not be written ({error.strerror})") from None


def _is_whole(found: Path, file: PublishedFile) -> bool:
    """Compare a downloaded file with its digest, or else with the one that the Hub gave of it.

    The Hub's ETag is the SHA-256 of a large file and the Git blob's SHA-1 of any other, and the
    Hub's client names the file in its cache by it.
    """
    if found.stat().st_size > _MAX_BYTES:
        return False
    if file.sha256 is not None:
        return digest(found) == file.sha256
    etag = found.resolve().name
    if re.fullmatch("[0-9a-f]{64}", etag):
        return digest(found) == etag
    if re.fullmatch("[0-9a-f]{40}", etag):
        content = found.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == etag  # noqa: S324
    return True
