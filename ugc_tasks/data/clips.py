"""Many clips by their links: a few at a time, whole or not at all, each dead link asked once.

A site that blocks this address says of every clip what it says of a deleted one. So what it says
of a clip counts only once the same site has given a clip that was asked for after it. After many
refusals without that, a clip that came before is asked for again. If it does not come either, the
site is not asked any further in this run, and none of its clips counts as gone.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from ugc_tasks.common.files import DataError
from ugc_tasks.data.check import ClipFault, NotChecked, admit
from ugc_tasks.data.download import NoClip, download_clip
from ugc_tasks.data.home import video_path
from ugc_tasks.data.ledger import Dead, Ledger

MOST_IN_A_ROW = 20  # refusals without a clip in between, after which a site is not believed
_PAUSES = (1, 2, 4)  # between the tries of one clip, times ``pause_s``
_CONTROLS = 3
_STAGING = ".prepare-"
_STALE_S = 24 * 3600


@dataclass
class Fetched:
    """How the downloads went: what came, what failed this time, and why it was given up, if so."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    gave_up: str | None = None


def fetch_clips(
    links: Mapping[str, str],
    folder: Path,
    ledger: Ledger,
    *,
    extractors: tuple[str, ...],
    workers: int,
    step: Callable[[str], object],
    controls: Iterable[str] = (),
    pause_s: float = 2.0,
) -> Fetched:
    """Download clips into ``folder`` as ``<video_id>.mp4``; ``links`` are by ``video_id``.

    The ledger keeps a link that is gone, or leads to something that is no clip, once its site has
    shown that it still answers. ``step`` is called with each id when it is through, ``controls``
    are links to clips that came in earlier runs, and the pause before trying again doubles.
    """
    fetched, stop = Fetched(), threading.Event()
    with staging(folder) as scratch, ThreadPoolExecutor(workers) as pool:
        download = partial(download_clip, extractors=extractors, stop=stop)
        get = partial(_get, download, scratch, ledger)
        known: dict[str, list[str]] = {_site_of(link): [] for link in links.values()}
        for link in controls:
            known.get(_site_of(link), []).append(link)
        sites = {name: _Site(name, get, links, ledger, fetched, own) for name, own in known.items()}
        ahead = (
            (video_id, link, site)
            for video_id, link in links.items()
            if not (site := sites[_site_of(link)]).closed.is_set()
        )
        running: dict[Future[NoClip | None], tuple[str, _Site, int]] = {}
        try:
            while True:
                for video_id, link, site in ahead:
                    attempt = partial(get, link, video_path(folder, video_id))
                    future = pool.submit(_insist, attempt, site.closed, pause_s)
                    running[future] = (video_id, site, site.verdicts)
                    if len(running) == workers:
                        break
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    video_id, site, begun = running.pop(future)
                    if (verdict := future.result()) is None:
                        site.gave(video_id, begun)
                    else:
                        site.refused(video_id, verdict)
                    step(video_id)
            for site in sites.values():
                site.finish()
        except BaseException:
            stop.set()
            for site in sites.values():
                site.closed.set()
            raise
    fetched.gave_up = "; ".join(site.gave_up for site in sites.values() if site.gave_up) or None
    return fetched


def _get(
    fetch: Callable[..., Path], scratch: Path, ledger: Ledger, link: str, target: Path | None = None
) -> NoClip | None:
    """Get the clip of a link, to ``target`` if one is given; return why there is no clip."""
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as own:
            found = fetch(link, Path(own))
            if target is not None:
                admit(found, target, ledger)
    except NoClip as verdict:
        return verdict
    except NotChecked as fault:
        return NoClip("failed", f"{fault}")
    except ClipFault as fault:
        return NoClip("broken", f"what came is no clip: {fault}")
    except OSError as error:
        return NoClip("failed", f"it could not be written ({error.strerror})")
    return None


def _insist(
    attempt: Callable[[], NoClip | None], closed: threading.Event, pause_s: float
) -> NoClip | None:
    """Try again where that may help, and as long as the site is not ``closed``."""
    for pause in _PAUSES:
        verdict = attempt()
        if verdict is None or verdict.kind != "failed" or closed.wait(pause * pause_s):
            return verdict
    return attempt()


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a folder beside the clips for files that are not yet known to be; raises ``DataError``.

    One that a killed run left behind a day ago or more is removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{_STAGING}*"):
            if time.time() - old.stat().st_mtime > _STALE_S:
                shutil.rmtree(old, ignore_errors=True)
        scratch = tempfile.mkdtemp(dir=folder, prefix=_STAGING)
    except OSError as error:
        raise DataError(f"{folder}: clips cannot be written there ({error.strerror})") from None
    try:
        yield Path(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _site_of(link: str) -> str:
    """Return the site that a link leads to: hosts of TikTok are one site."""
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    return "tiktok.com" if host.endswith(".tiktok.com") else parts.netloc.lower()


@dataclass
class _Site:
    """One site during one run, believed until it has refused too often."""

    name: str
    get: Callable[[str], NoClip | None]
    links: Mapping[str, str]
    ledger: Ledger
    fetched: Fetched
    controls: list[str]  # links that have given a clip
    closed: threading.Event = field(default_factory=threading.Event)  # it is asked no further
    gave_up: str | None = None
    verdicts: int = 0
    open: list[tuple[int, str, NoClip]] = field(default_factory=list)  # not confirmed yet

    def gave(self, video_id: str, begun: int) -> None:
        """Note a clip; the first ``begun`` verdicts, from before it was asked for, are true."""
        self.fetched.done.append(video_id)
        self.controls = [self.links[video_id]]
        self._believe(one for one in self.open if one[0] <= begun)

    def refused(self, video_id: str, verdict: NoClip) -> None:
        """Note a verdict; after many in a row, find out whether the site still answers."""
        self.verdicts += 1
        self.open.append((self.verdicts, video_id, verdict))
        if len(self.open) < MOST_IN_A_ROW or self.closed.is_set():
            return
        if self._answers():
            self._believe(self.open)
            return
        self.gave_up = (
            f"{MOST_IN_A_ROW} downloads in a row failed at {self.name} (the last: "
            f"{verdict.reason}), so none of these clips counts as gone; run it again later, or "
            "from another network"
        )
        self.closed.set()

    def finish(self) -> None:
        """Believe what can be believed in the end; the rest has failed this time.

        Where no clip of the site ever came, a definite answer (``gone``, ``broken``) is believed,
        because there were few of them.
        """
        if not self.closed.is_set() and any(one[2].kind != "failed" for one in self.open):
            if not self.controls:
                self._believe(one for one in self.open if one[2].kind in ("gone", "broken"))
            elif self._answers():
                self._believe(self.open)
        self.fetched.failed |= {video_id: verdict.reason for _, video_id, verdict in self.open}

    def _answers(self) -> bool:
        return any(self.get(link) is None for link in self.controls[:_CONTROLS])

    def _believe(self, verdicts: Iterable[tuple[int, str, NoClip]]) -> None:
        for one in list(verdicts):
            self.open.remove(one)
            _, video_id, verdict = one
            kind, reason = verdict.kind, verdict.reason
            if kind == "failed":
                self.fetched.failed[video_id] = reason
                continue
            if kind == "refused":
                kind, reason = "gone", f"{reason} (deleted, or kept from this region or address)"
            self.ledger.note_dead(video_id, Dead(self.links[video_id], kind, reason))
