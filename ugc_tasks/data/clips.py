"""Many clips by their links: a few at a time, whole or not at all, each dead link asked once."""

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

from ugc_tasks.common.files import DataError
from ugc_tasks.data.check import ClipFault, admit
from ugc_tasks.data.download import NoClip, Stopped, download_clip
from ugc_tasks.data.ledger import Dead, Ledger
from ugc_tasks.data.sites import Site, site_of
from ugc_tasks.data.videos import video_path

TRIES = 4
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

    A link that is gone, or leads to something that is no clip, is kept in the ledger, once its site
    has shown that it still answers (see ``Site``). What a site says while it gives nothing else
    counts for this time only, and a site that refuses many in a row is not asked any further.

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
        known: dict[str, list[str]] = {site_of(link): [] for link in links.values()}
        for link in controls:
            known.get(site_of(link), []).append(link)
        sites = {name: Site(name, given, fetching.comes, settle) for name, given in known.items()}
        futures = {
            pool.submit(fetching.one, video_id, link, sites[site_of(link)]): video_id
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
                site.close()
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

    def one(self, video_id: str, link: str, site: Site) -> NoClip | None:
        """Get one clip, trying again where that may help; returns why there is none.

        Raises:
            Stopped: its site is not asked any further, or the user stopped the run.
        """
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_another_try),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_when_event_set(site.closed),
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

    def _try(self, video_id: str, link: str, site: Site) -> None:
        begun = site.begin()
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as own:
                found = download_clip(link, Path(own), extractors=self.extractors, stop=self.stop)
                target = video_path(self.folder, video_id)
                admit(found, target)
                self.ledger.note_checked(target, None)
                self.ledger.forget_dead(video_id)
        except ClipFault as fault:
            raise NoClip("broken", f"what came is no clip: {fault}") from None
        except OSError as error:
            raise NoClip("failed", f"it could not be written ({error.strerror})") from None
        site.gave(link, begun)


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, NoClip) and error.kind == "failed"
