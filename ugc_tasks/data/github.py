"""The annotation files that the authors published in their GitHub repository alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ugc_tasks.common.files import DataError
from ugc_tasks.data.fetch import FetchError, fetch, keep
from ugc_tasks.data.home import TRUE
from ugc_tasks.data.official import DEFAULT_ENDPOINT, ENDPOINT_VARIABLE, raw_endpoint
from ugc_tasks.data.published import GITHUB_COMMIT, GITHUB_FOLDER, GITHUB_REPO, PublishedFile

_MAX_BYTES = 16 << 20


def offline() -> bool:
    """Tell whether the user forbids asking the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in TRUE


def from_github(file: PublishedFile, target: Path, *, backoff: float = 0.5) -> None:
    """Download a file at the pinned commit into ``target``, if it has the published digest.

    Raises:
        DataError: it could not be had, is another file, or could not be written.
    """
    if offline():
        raise DataError(
            f"{file.name} is not on this machine and HF_HUB_OFFLINE forbids downloading it: run "
            "`ugc-videocap prepare` once where there is a network"
        )
    url = f"{raw_endpoint().rstrip('/')}/{GITHUB_REPO}/{GITHUB_COMMIT}/{GITHUB_FOLDER}/{file.name}"
    try:
        content = fetch(url, most_bytes=_MAX_BYTES, backoff=backoff)
    except FetchError as error:
        raise DataError(
            f"{file.name} could not be downloaded from {GITHUB_REPO}: {error}; try again, or set "
            f"{ENDPOINT_VARIABLE} to an address that has the files of {DEFAULT_ENDPOINT}"
        ) from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(
            f"{file.name}: what was downloaded is not the file of {GITHUB_REPO} at commit "
            f"{GITHUB_COMMIT} (its SHA-256 is not {file.sha256}); check {ENDPOINT_VARIABLE}"
        )
    try:
        keep(target, content)
    except OSError as error:
        raise DataError(f"{target} could not be written ({error.strerror})") from None
