"""The annotation files: from the user's folder, what was prepared, or by pinned revision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.common.files import DataError
from ugc_tasks.data.fetch import FetchError, no_answer, require_connection
from ugc_tasks.data.github import from_github, offline
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import FILES, GITHUB_COMMIT, GITHUB_REPO, is_published

REPO = "openinterx/UGC-VideoCap"
REVISION = "ed5c374"
"""The dataset's commit; the benchmark's published figures are from its files."""

_SILENCE = {"ConnectionError", "ConnectError", "Timeout", "TimeoutError", "TimeoutException"}


@dataclass(frozen=True)
class Annotation:
    """An annotation file and where it came from (``local`` or ``repo@revision``)."""

    path: Path
    source: str


def annotation(name: str, home: Home) -> Annotation:
    """Return an annotation file, from ``home.root`` if it is there, else as published.

    Published files are taken from ``home.cache``, where ``ugc-videocap prepare`` puts them and
    where they have the digest of the published ones; else from the Hub, and the three that the Hub
    lacks from the authors' GitHub repository, once. The Hub is asked through ``huggingface_hub``:
    ``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` work. A file that was fetched
    once is taken from its cache, unasked: a commit does not change.

    Args:
        name: file name as published, such as ``final_caption_qa.json``.
        home: where to look first.

    Raises:
        DataError: it is in neither place.
    """
    if home.root is not None and (local := home.root / name).is_file():
        return Annotation(local, "local")
    file = FILES.get(name)
    prepared = home.cache / name
    if is_published(prepared):
        return Annotation(prepared, source_of(name))
    if file is not None and file.origin == "github":
        from_github(file, prepared)
        return Annotation(prepared, source_of(name))
    try:
        path = hub_file(name)
    except Exception as error:  # whatever the Hub's client raises: connection, HTTP, cache
        looked = f"it is not in UGC_VIDEOCAP_HOME={home.root}, and " if home.root else ""
        place = "there" if home.root else "into a folder and set UGC_VIDEOCAP_HOME to it"
        raise DataError(
            f"{name}: {looked}the dataset {REPO} could not be asked for it: {reason(error)}; "
            f"connect to the Hub, or put the file {place}"
        ) from error
    return Annotation(path, source_of(name))


def source_of(name: str) -> str:
    """Return the repository and commit that a published file is from, as ``repo@revision``."""
    if (file := FILES.get(name)) is not None and file.origin == "github":
        return f"{GITHUB_REPO}@{GITHUB_COMMIT[:7]}"
    return f"{REPO}@{REVISION}"


def hub_file(name: str, *, again: bool = False) -> Path:
    """Return a file of the dataset in the Hub's cache, fetched there if need be.

    ``again`` fetches it even so. Raises ``FetchError`` soon where there is no network or none is
    allowed, else whatever the Hub's client raises: see ``reason``.
    """
    if not again and (found := _cached(name)) is not None:
        return found
    _require_hub(name)
    return _from_hub(name, again=again)


def hub_endpoint() -> str:
    """Return the address of the Hub."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def _require_hub(name: str) -> None:
    """Find out whether the Hub answers, as its client would go on asking for half a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if offline():
        raise FetchError("HF_HUB_OFFLINE forbids downloading it")
    endpoint = hub_endpoint()
    require_connection(endpoint)
    try:
        get_hf_file_metadata(hf_hub_url(REPO, name, repo_type="dataset", revision=REVISION))
    except Exception as error:
        if _is_silence(error):
            raise no_answer(endpoint, error) from None


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether no server was reached or none answered, somewhere down the chain of causes.

    By name, because the Hub's client has changed its HTTP library more than once.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & _SILENCE:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _cached(name: str) -> Path | None:
    """Return the file from the Hub's cache, under whatever full hash it was fetched."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=REPO, repo_type="dataset")
    snapshots = Path(constants.HF_HUB_CACHE, folder, "snapshots")
    return next((p for p in sorted(snapshots.glob(f"{REVISION}*/{name}")) if p.is_file()), None)


def _from_hub(name: str, *, again: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RevisionNotFoundError

    def download(revision: str) -> Path:
        return Path(
            hf_hub_download(
                REPO, name, repo_type="dataset", revision=revision, force_download=again
            )
        )

    try:
        return download(REVISION)
    except RevisionNotFoundError:
        # Some endpoints resolve full commit hashes only.
        return download(_full_revision())


def _full_revision() -> str:
    from huggingface_hub import HfApi

    for commit in HfApi().list_repo_commits(REPO, repo_type="dataset"):
        if commit.commit_id.startswith(REVISION):
            return commit.commit_id
    raise LookupError(f"it has no commit {REVISION}")


def reason(error: Exception) -> str:
    """Return what the Hub's client says, on one line and without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200].rstrip(".") or type(error).__name__
