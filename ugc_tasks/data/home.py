"""Where things are: annotations, clips, what is kept between runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.common.files import DataError

TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Home:
    """The folders of a run.

    Attributes:
        root: the user's folder of annotations, None where the Hub is to be asked.
        videos: the folder of ``<video_id>.mp4`` files.
        cache: what is kept between runs: judgments, official prompts, what was prepared.
        allow_partial: whether a run may go on without some of its clips.
    """

    root: Path | None
    videos: Path
    cache: Path
    allow_partial: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Home:
        """Read ``UGC_VIDEOCAP_HOME``, ``_VIDEOS``, ``_CACHE`` and ``_ALLOW_PARTIAL``.

        Raises:
            DataError: ``UGC_VIDEOCAP_HOME`` names no folder.
        """
        cache = folder_named(environ, "UGC_VIDEOCAP_CACHE") or _default_cache()
        root = folder_named(environ, "UGC_VIDEOCAP_HOME")
        if root is not None and not root.is_dir():
            raise DataError(f"UGC_VIDEOCAP_HOME={root} is not a folder: create it, or correct it")
        videos = folder_named(environ, "UGC_VIDEOCAP_VIDEOS") or (root or cache) / "videos"
        partial = environ.get("UGC_VIDEOCAP_ALLOW_PARTIAL", "").strip().lower() in TRUE
        return cls(root=root, videos=videos, cache=cache, allow_partial=partial)


def folder_named(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the path in the variable ``name``, None where it is blank; raises ``DataError``."""
    value = environ.get(name, "").strip()
    try:
        return Path(value).expanduser().absolute() if value else None
    except RuntimeError:
        raise DataError(f"{name}={value}: there is no such user's home; state the path") from None


def _default_cache() -> Path:
    from platformdirs import user_cache_path

    with suppress(RuntimeError):  # without HOME, and a user whom the system does not know
        path = user_cache_path("ugc-videocap", appauthor=False)
        if path.is_absolute():
            return path
    raise DataError("no folder for a cache is known: set UGC_VIDEOCAP_CACHE, or HOME")
