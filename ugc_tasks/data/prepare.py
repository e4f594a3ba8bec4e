"""Bringing the benchmark's data to this machine, and saying what of them is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from ugc_tasks.common.files import DataError
from ugc_tasks.data.archive import Taken, take_from_archive
from ugc_tasks.data.check import ClipState, survey
from ugc_tasks.data.clips import Fetched, fetch_clips
from ugc_tasks.data.fetch import unreachable
from ugc_tasks.data.ledger import LEDGER, Ledger
from ugc_tasks.data.links import Links, links_from_dataset, links_from_map
from ugc_tasks.data.published import FILES, META, Collected, collect, offline
from ugc_tasks.data.questions import clip_ids

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[str], None]]]
"""Opens a progress bar, given what is done and how often; gives what to call at each step."""

_MOST_FREE_BYTES = 8 << 30
_HOSTS = 16
"""So many are tried before the downloads; where none can be reached, there is no network."""


@dataclass(frozen=True)
class Request:
    """What to prepare, and where.

    Attributes:
        tasks: the annotation file of each task, by the task's name.
        root: folder of annotations, prompts and the ledger.
        videos: folder of clips.
        ours: whether ``root`` is the cache folder, where wrong files may be replaced.
        limit: so many clips, the first ones; None for all.
        mapping: the user's own table of links.
        archive: a file to take clips from instead of downloading them.
        workers: clips looked at or downloaded at once.
        retry: whether dead links are asked again.
    """

    tasks: Mapping[str, str]
    root: Path
    videos: Path
    ours: bool
    limit: int | None = None
    mapping: Path | None = None
    archive: Path | None = None
    workers: int = 4
    retry: bool = False

    def clips(self) -> dict[str, tuple[str, ...]]:
        """Return the clips of the tasks whose annotations are there; raises ``DataError``."""
        return {
            task: clip_ids(path)
            for task, name in self.tasks.items()
            if (path := self.root / name).is_file()
        }


@dataclass(frozen=True)
class Report:
    """What is there, and what was done. ``states`` has every clip; ``wanted`` those asked for."""

    root: Path
    videos: Path
    files: list[Collected]
    tasks: Mapping[str, tuple[str, ...]]
    wanted: tuple[str, ...]
    states: Mapping[str, ClipState]
    links: Links | None = None
    fetched: Fetched | None = None
    taken: Taken | None = None
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every wanted clip is there, and every file as published that a task needs.

        The dataset's table serves to find links, and is not missed where the clips are there.
        """
        clips = all(self.states[video_id].state == "present" for video_id in self.wanted)
        whole = self.taken is None or (self.taken.cut is None and not self.taken.refused_count)
        faults = [file for file in self.files if file.fault and file.name != META]
        return clips and whole and bool(self.tasks) and not faults


def prepare(request: Request, progress: Progress) -> Report:
    """Get what is missing: annotations and prompts, then clips. Run again, it goes on.

    Raises:
        DataError: not one annotation file could be had, or a file that the user named is unusable.
        KeyboardInterrupt: the user stopped it; what came so far is in place.
    """
    request.root.mkdir(parents=True, exist_ok=True)
    with progress("files", len(FILES)) as step:
        files = collect(request.root, replace=request.ours, step=step)
    tasks = request.clips()
    everything = _all_ids(tasks)
    if not everything:
        faults = [file.fault for file in files if file.fault]
        raise DataError(f"no annotation file is there: {faults[0] if faults else request.root}")
    wanted = everything[: request.limit]
    fetched = taken = links = None
    if request.mapping is not None:  # first of all: the user wants to know what is wrong with it
        links = links_from_map(request.mapping, everything)
    notes: list[str] = []
    with Ledger(request.root / LEDGER) as ledger:
        states = _look(everything, request, ledger, progress)
        present = {i for i, found in states.items() if found.state == "present"}
        absent = [video_id for video_id in wanted if video_id not in present]
        if request.archive is not None:
            with progress("archive", None) as step:
                taken = take_from_archive(
                    request.archive,
                    frozenset(everything),
                    request.videos,
                    ledger,
                    present=present,
                    step=step,
                )
            if taken.example and not (taken.done or taken.there):
                notes.append(
                    f"{request.archive}: no file in it is a clip of this benchmark: it has for "
                    f"example {taken.example}, and wanted is for example {everything[0]}.mp4"
                )
        elif absent:
            links = links or _dataset_links(request.root, everything, notes)
            if links is not None:
                fetched = _download(
                    absent,
                    present=present,
                    links=links,
                    request=request,
                    ledger=ledger,
                    progress=progress,
                    notes=notes,
                )
        if taken or fetched:
            states = _look(everything, request, ledger, progress)
    states = _explained(states, links, fetched)
    return Report(
        request.root,
        request.videos,
        files,
        tasks,
        wanted,
        states,
        links=links,
        fetched=fetched,
        taken=taken,
        notes=tuple(notes),
    )


def status(request: Request, progress: Progress) -> Report:
    """Say what is there; nothing is asked of anybody. Files not checked before are checked.

    Raises:
        DataError: an annotation file is not one.
    """
    files = [
        Collected(name, file.source, None if file.is_at(path) else _why_not(path))
        for name, file in FILES.items()
        for path in [request.root / name]
    ]
    tasks = request.clips()
    everything = _all_ids(tasks)
    try:
        ledger = Ledger(request.root / LEDGER)
    except DataError:
        ledger = Ledger(None)  # the folder is read-only: what is found is not remembered
    with ledger:
        states = _look(everything, request, ledger, progress)
    return Report(request.root, request.videos, files, tasks, everything[: request.limit], states)


def _dataset_links(root: Path, known: Collection[str], notes: list[str]) -> Links | None:
    try:
        return links_from_dataset(root / META, known)
    except DataError as error:  # not the user's fault: the report says it, and what to do
        notes.append(str(error))
        return None


def _download(
    absent: list[str],
    *,
    present: Collection[str],
    links: Links,
    request: Request,
    ledger: Ledger,
    progress: Progress,
    notes: list[str],
) -> Fetched | None:
    from ugc_tasks.data.download import ANY_HOST, TIKTOK

    asked: dict[str, str] = {}
    for video_id in absent:
        link = links.by_id.get(video_id)
        dead = ledger.dead(video_id)
        if link is not None and (request.retry or dead is None or dead.link != link):
            asked[video_id] = link
    if asked and offline():
        notes.append(f"HF_HUB_OFFLINE is set: {len(asked)} clips were not downloaded")
        return None
    if not asked:
        return None
    hosts = sorted({urljoin(link, "/") for link in asked.values()})[:_HOSTS]
    if len(away := unreachable(hosts)) == len(hosts):
        notes.append(f"{len(asked)} clips were not downloaded: {away[hosts[0]]}")
        return None
    _check_space(request.videos, len(asked), notes)
    with progress("clips", len(asked)) as step:
        fetched = fetch_clips(
            asked,
            request.videos,
            ledger,
            extractors=TIKTOK if request.mapping is None else ANY_HOST,
            workers=request.workers,
            step=step,
            controls=[link for i, link in links.by_id.items() if i in present],
        )
    if fetched.gave_up:
        notes.append(f"the downloads were given up: {fetched.gave_up}")
    return fetched


def _check_space(folder: Path, clips: int, notes: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = min(_MOST_FREE_BYTES, clips * (8 << 20))  # a clip has about 2 to 8 MB
    if (free := shutil.disk_usage(folder).free) < wanted:
        notes.append(f"{folder} has only {free >> 20} MiB left for {clips} clips")


def _look(
    video_ids: Collection[str], request: Request, ledger: Ledger, progress: Progress
) -> dict[str, ClipState]:
    with progress("checks", len(video_ids)) as step:
        return survey(video_ids, request.videos, ledger, workers=request.workers, step=step)


def _explained(
    states: Mapping[str, ClipState], links: Links | None, fetched: Fetched | None
) -> dict[str, ClipState]:
    """Say of each missing clip why, as far as this run knows."""
    failed = fetched.failed if fetched else {}
    said = dict(states)
    for video_id in (i for i, found in states.items() if found.state == "missing"):
        if video_id in failed:
            said[video_id] = ClipState("missing", failed[video_id])
        elif links is not None and video_id in links.conflicts:
            said[video_id] = ClipState("missing", "it has several different links")
        elif links is not None and video_id not in links.by_id:
            said[video_id] = ClipState("missing", "no link is known")
        elif fetched is not None and fetched.gave_up:
            said[video_id] = ClipState("missing", "not asked for: the downloads were given up")
    return said


def _all_ids(tasks: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(video_id for ids in tasks.values() for video_id in ids))


def _why_not(path: Path) -> str:
    if not path.exists():
        return f"{path.name} is absent: run `ugc-videocap prepare`"
    return f"{path} is not the published file: its SHA-256 is another"
