"""Many clips by their links: a few at a time, whole or not at all, each dead link asked once."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ugc_tasks.data.check import ClipFault, admit
from ugc_tasks.data.download import NoClip, Stopped, download_clip
from ugc_tasks.data.home import DataError
from ugc_tasks.data.ledger import Dead, Ledger
from ugc_tasks.data.videos import video_path

TRIES = 4
_MAX_PAUSE_S = 60.0
_HOPELESS = 20
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
    pause_s: float = 2.0,
) -> Fetched:
    """Download clips into ``folder`` as ``<video_id>.mp4``.

    A link that is gone, or leads to something that is no clip, is kept in the ledger. A site that
    refuses one clip and gives others has deleted it or keeps it from us: that is kept too. A site
    that refuses all refuses us, and is asked again another time.

    Args:
        links: by ``video_id``.
        folder: made if absent.
        ledger: where dead links and checks are kept.
        extractors: what yt-dlp may use.
        workers: downloads at once.
        step: called with each id when it is through.
        pause_s: first pause in seconds before trying again; it doubles.

    Raises:
        DataError: nothing can be written to ``folder``.
        KeyboardInterrupt: the user stopped it; what came so far is in place.
    """
    fetched = Fetched()
    refused: dict[str, str] = {}
    in_a_row = 0
    stop = threading.Event()
    with staging(folder) as scratch, ThreadPoolExecutor(workers) as pool:
        fetching = _Fetching(folder, scratch, ledger, extractors, stop, pause_s)
        futures = {pool.submit(fetching.one, i, link): i for i, link in links.items()}
        try:
            for future in as_completed(futures):
                video_id = futures[future]
                try:
                    future.result()
                except Stopped:
                    continue
                except NoClip as error:
                    if error.kind == "failed":
                        in_a_row += 1
                        fetched.failed[video_id] = error.reason
                    elif error.kind == "refused":
                        refused[video_id] = error.reason
                    else:
                        in_a_row = 0
                        ledger.note_dead(video_id, Dead(links[video_id], error.kind, error.reason))
                else:
                    in_a_row = 0
                    fetched.done.append(video_id)
                step(video_id)
                if in_a_row >= _HOPELESS and not stop.is_set():
                    last = fetched.failed[video_id]
                    fetched.gave_up = f"{in_a_row} downloads in a row failed (the last: {last})"
                    # Not by cancelling: as_completed waits for ever for what was cancelled.
                    stop.set()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for video_id, reason in refused.items():
        if fetched.done:
            doubt = "deleted, or kept from this region or address"
            ledger.note_dead(video_id, Dead(links[video_id], "gone", f"{reason} ({doubt})"))
        else:
            fetched.failed[video_id] = reason
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

    def one(self, video_id: str, link: str) -> None:
        """Get one clip, trying again where that may help; raises ``NoClip`` or ``Stopped``."""
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_another_try),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_when_event_set(self.stop),
            wait=tenacity.wait_random_exponential(multiplier=self.pause_s, max=_MAX_PAUSE_S),
            sleep=tenacity.sleep_using_event(self.stop),
            reraise=True,
        )
        retrying(self._try, video_id, link)

    def _try(self, video_id: str, link: str) -> None:
        if self.stop.is_set():
            raise Stopped
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


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, NoClip) and error.kind == "failed"
