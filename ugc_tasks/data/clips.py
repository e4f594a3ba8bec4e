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
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ugc_tasks.common.files import DataError
from ugc_tasks.data.check import ClipFault, NotChecked, admit
from ugc_tasks.data.download import NoClip, Stopped, download_clip
from ugc_tasks.data.home import video_path
from ugc_tasks.data.ledger import Dead, Ledger

MOST_IN_A_ROW = 20
"""Refusals without a clip in between, after which a site is no longer believed."""

_TRIES = 4
_CONTROLS = 3
_MAX_PAUSE_S = 60.0
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
    step: Callable[[str], None],
    controls: Iterable[str] = (),
    pause_s: float = 2.0,
) -> Fetched:
    """Download clips into ``folder`` as ``<video_id>.mp4``.

    The ledger keeps a link that is gone, or leads to something that is no clip, once its site has
    shown that it still answers. A site that refuses many clips in a row is not asked any further.

    Args:
        links: by ``video_id``.
        folder: made if absent.
        ledger: where dead links and checks are kept.
        extractors: what yt-dlp may use.
        workers: downloads at once.
        step: called with each id when it is through.
        controls: links to clips that came in earlier runs.
        pause_s: first pause in seconds before trying again; it doubles.

    Raises:
        DataError: nothing can be written to ``folder``.
        KeyboardInterrupt: the user stopped it; what came so far is in place.
    """

    def settle(video_id: str, verdict: NoClip) -> None:
        kind, reason = verdict.kind, verdict.reason
        if kind == "refused":
            kind, reason = "gone", f"{reason} (deleted, or kept from this region or address)"
        if kind != "failed":
            ledger.note_dead(video_id, Dead(links[video_id], kind, reason))

    fetched = Fetched()
    stop = threading.Event()
    with staging(folder) as scratch, ThreadPoolExecutor(workers) as pool:
        fetching = _Fetching(folder, scratch, ledger, extractors, stop, pause_s)
        known: dict[str, list[str]] = {_site_of(link): [] for link in links.values()}
        for link in controls:
            known.get(_site_of(link), []).append(link)
        sites = {name: _Site(name, given, fetching.comes, settle) for name, given in known.items()}
        futures = {
            pool.submit(fetching.one, video_id, link, sites[_site_of(link)]): video_id
            for video_id, link in links.items()
        }
        try:
            for future in as_completed(futures):
                video_id = futures[future]
                with suppress(Stopped):
                    if (verdict := future.result()) is None:
                        fetched.done.append(video_id)
                    elif verdict.kind == "failed":
                        fetched.failed[video_id] = verdict.reason
                    step(video_id)
            for site in sites.values():
                fetched.failed |= site.finish()
        except BaseException:
            stop.set()
            for site in sites.values():
                site.closed.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    fetched.gave_up = "; ".join(site.gave_up for site in sites.values() if site.gave_up) or None
    return fetched


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a folder beside the clips for files that are not yet known to be clips.

    One that a killed run left behind a day ago or more is removed.

    Raises:
        DataError: nothing can be written there.
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


@dataclass(frozen=True)
class _Fetching:
    """What every download of a run shares."""

    folder: Path
    scratch: Path
    ledger: Ledger
    extractors: tuple[str, ...]
    stop: threading.Event
    pause_s: float

    def one(self, video_id: str, link: str, site: _Site) -> NoClip | None:
        """Get one clip, trying again where that may help; returns why there is none.

        Raises:
            Stopped: its site is not asked any further, or the user stopped the run.
        """
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_another_try),
            stop=tenacity.stop_after_attempt(_TRIES) | tenacity.stop_when_event_set(site.closed),
            wait=tenacity.wait_random_exponential(multiplier=self.pause_s, max=_MAX_PAUSE_S),
            sleep=tenacity.sleep_using_event(site.closed),
            reraise=True,
        )
        try:
            retrying(self._try, video_id, link, site)
        except NoClip as verdict:
            site.refused(video_id, verdict)
            return verdict
        return None

    def comes(self, link: str) -> bool:
        """Tell whether the clip of a link comes; it is not kept."""
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as own:
                download_clip(link, Path(own), extractors=self.extractors, stop=self.stop)
        except (NoClip, OSError):
            return False
        return True

    def _try(self, video_id: str, link: str, site: _Site) -> None:
        begun = site.begin()
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as own:
                found = download_clip(link, Path(own), extractors=self.extractors, stop=self.stop)
                target = video_path(self.folder, video_id)
                admit(found, target)
                self.ledger.note_checked(target, None)
                self.ledger.forget_dead(video_id)
        except NotChecked as fault:
            raise NoClip("failed", f"{fault}") from None
        except ClipFault as fault:
            raise NoClip("broken", f"what came is no clip: {fault}") from None
        except OSError as error:
            raise NoClip("failed", f"it could not be written ({error.strerror})") from None
        site.gave(link, begun)


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, NoClip) and error.kind == "failed"


def _site_of(link: str) -> str:
    """Return the site that a link leads to: hosts of TikTok are one site."""
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    return "tiktok.com" if host.endswith(".tiktok.com") else parts.netloc.lower()


class _Site:
    """One site during one run, believed until it has refused too often; safe for threads.

    ``closed`` is set when it is not to be asked any further, ``gave_up`` then says why.
    """

    def __init__(
        self,
        name: str,
        controls: Iterable[str],
        comes: Callable[[str], bool],
        settle: Callable[[str, NoClip], None],
    ) -> None:
        """Take links that gave a clip earlier (``controls``), and two functions.

        ``comes`` downloads the clip of a link and tells whether it came; ``settle`` is called with
        an id and its verdict when that can be believed.
        """
        self.closed = threading.Event()
        self.gave_up: str | None = None
        self._name, self._controls = name, list(controls)[:_CONTROLS]
        self._comes, self._settle = comes, settle
        self._changed = threading.Condition()
        self._checking = False
        self._verdicts = 0
        self._open: list[tuple[int, str, NoClip]] = []  # verdicts that nothing has confirmed yet

    def begin(self) -> int:
        """Announce a download; returns the number of verdicts so far, which ``gave`` takes.

        Raises:
            Stopped: the site is not asked any further.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._checking)
            if self.closed.is_set():
                raise Stopped
            return self._verdicts

    def gave(self, link: str, begun: int) -> None:
        """Note that a clip came: verdicts from before it was asked for can be believed."""
        with self._changed:
            self._controls = [link]
            self._believe(begun)

    def refused(self, video_id: str, verdict: NoClip) -> None:
        """Note a verdict; after many in a row, find out whether the site still answers."""
        with self._changed:
            self._verdicts += 1
            self._open.append((self._verdicts, video_id, verdict))
            if len(self._open) < MOST_IN_A_ROW or self._checking or self.closed.is_set():
                return
            self._checking, begun = True, self._verdicts
        answers = False
        try:
            answers = self._answers()
        finally:
            with self._changed:
                self._checking = False
                if answers:
                    self._believe(begun)
                else:
                    self._give_up()
                self._changed.notify_all()

    def finish(self) -> dict[str, str]:
        """Return the reasons, by id, of the verdicts that cannot be believed in the end.

        Where no clip of the site ever came, a definite answer (``gone``, ``broken``) is believed,
        because there were few of them.
        """
        known = [verdict.kind for _, _, verdict in self._open]
        if not self.closed.is_set() and any(kind != "failed" for kind in known):
            if not self._controls:
                plain = [one for one in self._open if one[2].kind in ("gone", "broken")]
                self._open = [one for one in self._open if one not in plain]
                for _, video_id, verdict in plain:
                    self._settle(video_id, verdict)
            elif self._answers():
                self._believe(self._verdicts)
        return {video_id: verdict.reason for _, video_id, verdict in self._open}

    def _answers(self) -> bool:
        return any(self._comes(link) for link in self._controls)

    def _believe(self, begun: int) -> None:
        believed = [one for one in self._open if one[0] <= begun]
        self._open = self._open[len(believed) :]
        for _, video_id, verdict in believed:
            if verdict.kind != "failed":
                self._settle(video_id, verdict)

    def _give_up(self) -> None:
        last = self._open[MOST_IN_A_ROW - 1][2].reason
        self.gave_up = (
            f"{MOST_IN_A_ROW} downloads in a row failed at {self._name} (the last: {last}), so "
            "none of these clips counts as gone; run it again later, or from another network"
        )
        self.closed.set()
