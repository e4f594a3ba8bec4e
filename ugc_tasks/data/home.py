"""Where things are: annotations, what is kept between runs, and the clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.common.display import listed, shown
from ugc_tasks.common.files import DataError

TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Home:
    root: Path | None  # the user's folder of annotations; None: the published ones are to be used
    videos: Path  # the folder of ``<video_id>.mp4`` files
    cache: Path  # what is kept between runs: judgments, official prompts, what was prepared
    allow_partial: bool  # whether a run may go on without some of its clips

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Home:
        """Read the variables ``UGC_VIDEOCAP_*``; raises ``DataError``."""
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


@dataclass(frozen=True)
class Coverage:
    """Which of the wanted clips a folder has; ids in the order asked for."""

    folder: Path
    present: tuple[str, ...]
    missing: tuple[str, ...]


def video_path(folder: Path, video_id: str) -> Path:
    return folder / f"{video_id}.mp4"


def clip_file(folder: Path, video_id: str) -> Path:
    """Return where the clip of an id lies: at ``video_path``, or there in upper or lower case."""
    path = video_path(folder, video_id)
    if not path.exists():
        with suppress(OSError):
            for found in sorted(folder.iterdir()):
                if found.name.casefold() == path.name.casefold():
                    return found
    return path


def find_videos(folder: Path, video_ids: Iterable[str]) -> Coverage:
    """Look for clips; an empty file counts as missing, as an interrupted copy leaves one."""
    there: dict[bool, list[str]] = {True: [], False: []}
    for video_id in video_ids:
        path = clip_file(folder, video_id)
        there[path.is_file() and path.stat().st_size > 0].append(video_id)
    return Coverage(folder, tuple(there[True]), tuple(there[False]))


def require_videos(coverage: Coverage, *, allow_partial: bool) -> None:
    """Raise ``DataError`` where clips are missing and may not be, or there is none at all."""
    if not coverage.missing or (allow_partial and coverage.present):
        return
    example = way_out = ""
    if coverage.present:
        way_out = ", or set UGC_VIDEOCAP_ALLOW_PARTIAL=1 to run on the clips that are there"
    else:
        with suppress(OSError):
            for name in sorted(p.name for p in coverage.folder.iterdir() if p.is_file())[:1]:
                example = f" It has {shown(name, 100)}, for example, which is no clip of this task."
    raise DataError(
        f"{len(coverage.missing)} of {len(coverage.missing) + len(coverage.present)} clips are "
        f"missing in {coverage.folder}: {listed(coverage.missing, 10)}.{example} Get them with "
        "`ugc-videocap prepare`, put them there as <video_id>.mp4, point UGC_VIDEOCAP_VIDEOS at "
        f"the folder that has them{way_out}."
    )
