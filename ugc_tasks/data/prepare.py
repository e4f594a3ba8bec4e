"""Bringing the benchmark's data to this machine, and saying what of them is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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


@dataclass
class Report:
    """What is there, and what was done. ``states`` has every clip; ``wanted`` those asked for."""

    root: Path
    videos: Path
    files: list[Collected]
    tasks: Mapping[str, tuple[str, ...]]
    wanted: tuple[str, ...] = ()
    states: dict[str, ClipState] = field(default_factory=dict)
    links: Links | None = None
    fetched: Fetched | None = None
    taken: Taken | None = None
    notes: list[str] = field(default_factory=list)

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
    work = _Work(request, files, progress)
    if not work.ids:
        faults = [file.fault for file in files if file.fault]
        raise DataError(f"no annotation file is there: {faults[0] if faults else request.root}")
    if request.mapping is not None:  # before anything that takes time
        work.report.links = links_from_map(request.mapping, work.ids)
    with Ledger(request.root / LEDGER) as ledger:
        work.look(ledger)
        if request.archive is not None:
            work.unpack(request.archive, ledger)
        elif absent := [i for i in work.report.wanted if i not in work.present()]:
            work.download(absent, ledger)
        if work.report.taken or work.report.fetched:
            work.look(ledger)
    work.explain()
    return work.report


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
    work = _Work(request, files, progress)
    try:
        ledger = Ledger(request.root / LEDGER if request.root.is_dir() else None)
    except DataError:
        ledger = Ledger(None)  # the folder is read-only: what is found is not remembered
    with ledger:
        work.look(ledger)
    return work.report


class _Work:
    """A request and the report on it; ``ids`` has those of all clips."""

    def __init__(self, request: Request, files: list[Collected], progress: Progress) -> None:
        """Read the annotation files that are there; raises ``DataError``."""
        tasks = {
            task: clip_ids(path)
            for task, name in request.tasks.items()
            if (path := request.root / name).is_file()
        }
        self.ids = tuple(dict.fromkeys(video_id for ids in tasks.values() for video_id in ids))
        wanted = self.ids[: request.limit]
        self.report = Report(request.root, request.videos, files, tasks, wanted)
        self._request, self._progress = request, progress

    def present(self) -> set[str]:
        """Return the clips that are there and whole."""
        return {i for i, found in self.report.states.items() if found.state == "present"}

    def look(self, ledger: Ledger) -> None:
        """Find out the state of each clip."""
        with self._progress("checks", len(self.ids)) as step:
            self.report.states = survey(
                self.ids, self._request.videos, ledger, workers=self._request.workers, step=step
            )

    def unpack(self, archive: Path, ledger: Ledger) -> None:
        """Take clips from an archive."""
        with self._progress("archive", None) as step:
            self.report.taken = taken = take_from_archive(
                archive,
                frozenset(self.ids),
                self._request.videos,
                ledger,
                present=self.present(),
                step=step,
            )
        if taken.example and not (taken.done or taken.there):
            self.report.notes.append(
                f"{archive}: no file in it is a clip of this benchmark: it has for example "
                f"{taken.example}, and wanted is for example {self.ids[0]}.mp4"
            )

    def download(self, absent: list[str], ledger: Ledger) -> None:
        """Download the clips that are absent, as far as their links are known and not dead."""
        from ugc_tasks.data.download import ANY_HOST, TIKTOK

        request, report = self._request, self.report
        try:
            report.links = report.links or links_from_dataset(request.root / META, self.ids)
        except DataError as error:  # not the user's fault: the report says it, and what to do
            report.notes.append(str(error))
            return
        asked: dict[str, str] = {}
        for video_id in absent:
            link, dead = report.links.by_id.get(video_id), ledger.dead(video_id)
            if link is not None and (request.retry or dead is None or dead.link != link):
                asked[video_id] = link
        if not asked or not self._can_download(asked):
            return
        present = self.present()
        with self._progress("clips", len(asked)) as step:
            report.fetched = fetch_clips(
                asked,
                request.videos,
                ledger,
                extractors=TIKTOK if request.mapping is None else ANY_HOST,
                workers=request.workers,
                step=step,
                controls=[link for i, link in report.links.by_id.items() if i in present],
            )
        if report.fetched.gave_up:
            report.notes.append(f"the downloads were given up: {report.fetched.gave_up}")

    def _can_download(self, links: Mapping[str, str]) -> bool:
        """Note what stands in the way of downloads; False where none can be made."""
        folder, notes = self._request.videos, self.report.notes
        if offline():
            notes.append(f"HF_HUB_OFFLINE is set: {len(links)} clips were not downloaded")
            return False
        hosts = sorted({urljoin(link, "/") for link in links.values()})[:_HOSTS]
        if len(away := unreachable(hosts)) == len(hosts):
            notes.append(f"{len(links)} clips were not downloaded: {away[hosts[0]]}")
            return False
        folder.mkdir(parents=True, exist_ok=True)
        room = min(_MOST_FREE_BYTES, len(links) * (8 << 20))  # a clip has about 2 to 8 MB
        if (free := shutil.disk_usage(folder).free) < room:
            notes.append(f"{folder} has only {free >> 20} MiB left for {len(links)} clips")
        return True

    def explain(self) -> None:
        """Say of each missing clip why, as far as this run knows."""
        links, fetched, states = self.report.links, self.report.fetched, self.report.states
        for video_id in [i for i, found in states.items() if found.state == "missing"]:
            if fetched is not None and video_id in fetched.failed:
                states[video_id] = ClipState("missing", fetched.failed[video_id])
            elif links is not None and video_id in links.conflicts:
                states[video_id] = ClipState("missing", "it has several different links")
            elif links is not None and video_id not in links.by_id:
                states[video_id] = ClipState("missing", "no link is known")
            elif fetched is not None and fetched.gave_up:
                reason = "not asked for: the downloads were given up"
                states[video_id] = ClipState("missing", reason)


def _why_not(path: Path) -> str:
    if not path.exists():
        return f"{path.name} is absent: run `ugc-videocap prepare`"
    return f"{path} is not the published file: its SHA-256 is another"
