"""Bringing the benchmark's data to this machine, and saying what of them is there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError, read_values
from ugc_tasks.data.archive import Taken, take_from_archive
from ugc_tasks.data.check import ClipState, survey
from ugc_tasks.data.clips import Fetched, fetch_clips
from ugc_tasks.data.fetch import unreachable
from ugc_tasks.data.ledger import LEDGER, Ledger
from ugc_tasks.data.published import FILES, META, Collected, collect, offline
from ugc_tasks.data.questions import clip_id, clip_ids

_HOSTS = 16  # so many are tried before the downloads, to find out whether there is a network
_MAP = "--map takes a CSV file whose first line names the columns video_id and url"
_TIKTOK_VIDEO = re.compile(r"/(?:@[^/]*/video|share/video|embed(?:/v2)?|v)/\d{5,25}(?:\.html)?/?")
_SHORT_HOSTS = ("vm.tiktok.com", "vt.tiktok.com")
_MAX_LINK = 2048
_MAX_ROWS = 1_000_000


@dataclass
class Preparation:
    """What to prepare, and where; then what is there, and what was done."""

    annotations: Mapping[str, str]  # the annotation file of each task, by the task's name
    root: Path  # folder of annotations, prompts and the ledger
    videos: Path  # folder of clips
    ours: bool  # whether ``root`` is the cache folder, where wrong files may be replaced
    limit: int | None = None  # so many clips, the first ones
    mapping: Path | None = None  # the user's own table of links
    archive: Path | None = None  # a file to take clips from instead of downloading them
    workers: int = 4
    retry: bool = False  # whether dead links are asked again

    files: list[Collected] = field(default_factory=list)
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # their clips
    states: dict[str, ClipState] = field(default_factory=dict)  # of all clips
    links: Links | None = None
    fetched: Fetched | None = None
    taken: Taken | None = None
    notes: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Get what is missing: annotations and prompts, then clips. Run again, it goes on.

        ``DataError``: no annotation file could be had, or a file that the user named is unusable.
        After a ``KeyboardInterrupt``, what came so far is in place.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.files = collect(self.root, replace=self.ours)
        self._read_annotations()
        if not self.ids:
            faults = [file.fault for file in self.files if file.fault]
            raise DataError(f"no annotation file is there: {faults[0] if faults else self.root}")
        if self.mapping is not None:  # before anything that takes time
            self.links = links_from_map(self.mapping, self.ids)
        with Ledger(self.root / LEDGER) as ledger:
            self._look(ledger)
            if self.archive is not None:
                self._unpack(self.archive, ledger)
            elif absent := set(self.wanted) - self.present:
                self._download([i for i in self.wanted if i in absent], ledger)
            if self.taken or self.fetched:
                self._look(ledger)
        self._explain()

    def status(self) -> None:
        """Say what is there; nothing is asked of anybody. Files not checked before are checked."""
        for name, file in FILES.items():
            path, fault = self.root / name, None
            if not file.is_at(path):
                fault = f"{path} is not the published file: its SHA-256 is another"
                fault = fault if path.exists() else f"{name} is absent: run `ugc-videocap prepare`"
            self.files.append(Collected(name, file.source, fault))
        self._read_annotations()
        try:
            ledger = Ledger(self.root / LEDGER if self.root.is_dir() else None)
        except DataError:
            ledger = Ledger(None)  # the folder is read-only: what is found is not remembered
        with ledger:
            self._look(ledger)

    def _read_annotations(self) -> None:
        for task, name in self.annotations.items():
            if (path := self.root / name).is_file():
                self.tasks[task] = clip_ids(path)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(i for ids in self.tasks.values() for i in ids))

    @property
    def wanted(self) -> tuple[str, ...]:
        return self.ids[: self.limit]

    @property
    def present(self) -> set[str]:
        return {i for i, found in self.states.items() if found.state == "present"}

    @property
    def complete(self) -> bool:
        """Whether every wanted clip is there, and every file but the table of links."""
        clips = self.present.issuperset(self.wanted)
        whole = self.taken is None or (self.taken.cut is None and not self.taken.refused)
        faults = [file for file in self.files if file.fault and file.name != META]
        return clips and whole and bool(self.tasks) and not faults

    def _look(self, ledger: Ledger) -> None:
        self.states = survey(self.ids, self.videos, ledger, workers=self.workers)

    def _unpack(self, archive: Path, ledger: Ledger) -> None:
        ids, present = frozenset(self.ids), self.present
        self.taken = taken = take_from_archive(archive, ids, self.videos, ledger, present=present)
        if taken.example and not (taken.done or taken.there):
            self.notes.append(
                f"{archive}: no file in it is a clip of this benchmark: it has for example "
                f"{taken.example}, and wanted is for example {self.ids[0]}.mp4"
            )

    def _download(self, absent: list[str], ledger: Ledger) -> None:
        """Download the clips that are absent, as far as their links are known and not dead."""
        from tqdm import tqdm

        from ugc_tasks.data.download import ANY_HOST, TIKTOK

        try:
            self.links = self.links or links_from_dataset(self.root / META, self.ids)
        except DataError as error:  # not the user's fault: the report says it, and what to do
            self.notes.append(str(error))
            return
        asked: dict[str, str] = {}
        for video_id in absent:
            link, dead = self.links.by_id.get(video_id), ledger.dead(video_id)
            if link is not None and (self.retry or dead is None or dead.link != link):
                asked[video_id] = link
        if not asked or not self._can_download(asked):
            return
        links = self.links.by_id
        controls = [links[i] for i in sorted(self.present & links.keys())]
        with tqdm(total=len(asked), desc="clips", unit="", disable=None) as bar:
            self.fetched = fetch_clips(
                asked,
                self.videos,
                ledger,
                extractors=TIKTOK if self.mapping is None else ANY_HOST,
                workers=self.workers,
                step=lambda _: bar.update(),
                controls=controls,
            )
        if self.fetched.gave_up:
            self.notes.append(f"the downloads were given up: {self.fetched.gave_up}")

    def _can_download(self, links: Mapping[str, str]) -> bool:
        """Tell whether the network can be asked; note what stands in the way."""
        hosts = sorted({urljoin(link, "/") for link in links.values()})[:_HOSTS]
        if offline():
            why = "HF_HUB_OFFLINE is set"
        elif len(away := unreachable(hosts)) == len(hosts):
            why = away[hosts[0]]
        else:
            return True
        self.notes.append(f"{len(links)} clips were not downloaded: {why}")
        return False

    def _explain(self) -> None:
        """Say of each missing clip why, as far as this run knows."""
        reasons: dict[str, str] = {}
        if self.links is not None:
            reasons = dict.fromkeys(set(self.ids) - self.links.by_id.keys(), "no link is known")
            reasons |= dict.fromkeys(self.links.conflicts, "it has several different links")
        if self.fetched is not None:
            if self.fetched.gave_up:
                asked = dict.fromkeys(self.ids, "not asked for: the downloads were given up")
                reasons = asked | reasons
            reasons |= self.fetched.failed
        for video_id, found in self.states.items():
            if found.state == "missing":
                self.states[video_id] = ClipState("missing", reasons.get(video_id, found.reason))


@dataclass(frozen=True)
class Links:
    """Links by ``video_id``, the columns they are from, and ids with more than one link."""

    by_id: Mapping[str, str]
    id_column: str
    link_column: str
    conflicts: tuple[str, ...] = ()


def links_from_map(path: Path, known: Collection[str]) -> Links:
    """Read a user's table: CSV, or JSON with the same names; further columns are ignored.

    Any http or https link counts. Clips that are not ``known`` are passed over, and so are those
    without a link. ``DataError``: it holds something else, or no link of a known clip.
    """
    try:
        values = read_values(path)
    except DataError as error:
        raise DataError(f"{error}; {_MAP}" if path.is_file() else error) from None
    by_id: dict[str, str] = {}
    other = ""
    for number, row in enumerate(values if isinstance(values, list) else [values], 1):
        if not isinstance(row, dict) or not {"video_id", "url"} <= row.keys():
            has = ", ".join(map(repr, row)) if isinstance(row, dict) else "no columns"
            raise DataError(f"{path}, row {number}: {_MAP}; it has {shown(has, 200)}")
        video_id, value = clip_id(row["video_id"]), str(row["url"] or "").strip()
        if video_id is None or video_id not in known:
            other = other or str(row["video_id"])
        elif value:
            # The value is not repeated: it may have a password in it.
            if (link := web_link(value)) is None:
                raise DataError(f"{path}, row {number}: {video_id} has no http or https link")
            if by_id.setdefault(video_id, link) != link:
                raise DataError(f"{path}, row {number}: {video_id} has two different links")
    if not by_id:
        raise DataError(
            f"{path}: it has no link of a clip of this benchmark, whose ids are as "
            f"{min(known, default='PI-…')} and not as {other!r:.80}; {_MAP}"
        )
    return Links(by_id, "video_id", "url")


def links_from_dataset(meta: Path, known: Collection[str]) -> Links:
    """Read the dataset's own table (Parquet): links to TikTok videos count, and nothing else.

    The names of its columns were not known when this was written, so the two are taken that have an
    id and a link side by side most often. The dataset's other file is a list of links without ids,
    and nothing says that its order is that of the clips. ``DataError``: nothing is found.
    """
    import pyarrow
    from pyarrow import parquet

    known = frozenset(known)
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    counts: Counter[tuple[str, str]] = Counter()
    count = 0
    try:
        with parquet.ParquetFile(meta) as table:
            for row in (row for each in table.iter_batches(1024) for row in each.to_pylist()):
                if (count := count + 1) > _MAX_ROWS:
                    raise DataError(f"{meta}: more than {_MAX_ROWS} rows are too many")
                links = {name: link for name, value in row.items() if (link := tiktok_link(value))}
                for id_column, value in row.items() if links else ():
                    if (video_id := clip_id(value)) in known:
                        for link_column, link in links.items():
                            counts[id_column, link_column] += 1
                            found[id_column, link_column][str(video_id)].add(link)
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{meta}: not a readable Parquet file ({shown(error, 200)})") from None
    if not found:
        raise DataError(
            f"{meta.name} does not say which link is which clip's, and video_urls.txt names no "
            f"clips. Give a table of your own: {_MAP}"
        )
    ((columns, _),) = counts.most_common(1)
    single = {i: next(iter(links)) for i, links in found[columns].items() if len(links) == 1}
    return Links(single, *columns, tuple(sorted(found[columns].keys() - single.keys())))


def tiktok_link(value: object) -> str | None:
    """Return the plain form of a link to a video on tiktok.com, None for any other value."""
    if (link := web_link(value)) is None:
        return None
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    if parts.port is not None or not (host == "tiktok.com" or host.endswith(".tiktok.com")):
        return None
    short = host in _SHORT_HOSTS or parts.path.startswith("/t/")
    video = short or _TIKTOK_VIDEO.fullmatch(parts.path) is not None
    return f"https://{host}{parts.path}" if video else None


def web_link(value: object) -> str | None:
    """Return a value that is an http or https address without a password in it, else None."""
    if not isinstance(value, str) or len(value) > _MAX_LINK:
        return None
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    plain = value.isprintable() and " " not in value and "@" not in parts.netloc
    return value if plain and parts.scheme in {"http", "https"} and parts.hostname else None
