"""One clip from one link, by yt-dlp, bounded in size and time.

yt-dlp reads pages and lists that may be hostile. It gets no cookies, no plugins, no programs to
run and no extractors but the ones named here; every byte that it reads is counted.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yt_dlp
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import DownloadError, UnsupportedError

from ugc_tasks.common.display import logger
from ugc_tasks.data.check import MAX_CLIP_BYTES

TIKTOK = ("tiktok", "vm.tiktok")
ANY_HOST = (*TIKTOK, "generic", "html5")

_PAGES_BYTES = 16 << 20  # beside the clip itself
_TOTAL_S = 300.0
_PARAMETERS: dict[str, Any] = {
    # One file with picture and sound: nothing has to be merged. H.264 is what every reader knows.
    "format": "b[ext=mp4][vcodec~='^(h264|avc)']/b[ext=mp4]/b",
    "socket_timeout": 20.0,
    "noplaylist": True,
    "playlist_items": "1",
    # Whoever calls tries again, with pauses that yt-dlp would not make.
    "retries": 0,
    "fragment_retries": 0,
    "extractor_retries": 0,
    "skip_unavailable_fragments": False,
    "nopart": True,
    "cachedir": False,
    "updatetime": False,
    "fixup": "never",
    "hls_prefer_native": True,
    "js_runtimes": {},
    "quiet": True,
    "noprogress": True,
    "color": "never",
    # What it logs comes as an exception, too.
    "logger": logger(f"{__name__}.yt_dlp"),
}
_PARAMETERS["logger"].setLevel(logging.CRITICAL)

# Gone for good; deleted or kept from us, the site does not say which; no clip; failed this time.
Kind = Literal["gone", "refused", "broken", "failed"]
_STATUS: dict[int, Kind] = {404: "gone", 410: "gone", 451: "refused"}
# By yt-dlp's messages; any other message counts as a failure of this time only.
_TOLD: dict[Kind, str] = {
    "gone": r"do not have permission to view|(post|account|video) is private"
    r"|video (has been|was) (removed|deleted)|no longer available",
    # What TikTok answers for a deleted video as well as for one that it keeps from a region or an
    # address, or from whoever is not logged in; and what a site that limits requests answers.
    "refused": r"IP address is blocked|video not available|not available (in|from) your"
    r"|geo.?restrict|log ?in|comfortable for some audiences"
    r"|Did not get any data|No video formats found",
    "broken": r"format is not available|DRM protected"
    r"|No suitable extractor|unusual and will be skipped",
}


class NoClip(Exception):
    """A link led to no clip; ``kind`` says of which kind the failure is, ``reason`` why."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.reason = reason


def download_clip(
    link: str, folder: Path, *, extractors: tuple[str, ...], stop: threading.Event
) -> Path:
    """Download the clip behind a link into an empty folder and return its path, unchecked.

    The link is to a page that yt-dlp knows, or to a video file; ``extractors`` are ``TIKTOK`` or
    ``ANY_HOST``. Raises ``NoClip``, also soon after another thread has set ``stop``.
    """
    from yt_dlp.globals import plugin_dirs

    plugin_dirs.value = []
    guard = _Guard(stop)
    parameters = {
        **_PARAMETERS,
        "allowed_extractors": list(extractors),
        "outtmpl": {"default": str(folder / "clip.%(ext)s")},
        "max_filesize": MAX_CLIP_BYTES,
    }
    try:
        with yt_dlp.YoutubeDL(parameters) as downloader:
            downloader.urlopen = guard.around(downloader.urlopen)
            downloader.extract_info(link, download=True)
    except NoClip:
        raise
    except DownloadError as error:
        raise _verdict(error, guard.status) from None
    except Exception as error:  # a page can make an extractor fail in any way
        raise NoClip("failed", f"yt-dlp failed ({type(error).__name__})") from None
    found = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if len(found) != 1 or not found[0].stat().st_size:
        raise NoClip("broken", "the link leads to no single video file")
    return found[0]


class _Guard:
    """Counts what yt-dlp reads, and remembers the last status that a server refused with."""

    def __init__(self, stop: threading.Event) -> None:
        self.status: int | None = None
        self._stop = stop
        self._left = MAX_CLIP_BYTES + _PAGES_BYTES
        self._give_up = time.monotonic() + _TOTAL_S

    def around(self, urlopen: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def guarded(request: Any) -> Any:
            self._check(0)
            try:
                response = urlopen(request)
            except HTTPError as error:
                self.status = error.status
                raise
            self.status = None
            response.read = partial(self._read, response.read)
            return response

        return guarded

    def _read(self, read: Callable[[int], bytes], size: int | None = None) -> bytes:
        if size is None or size < 0:  # a page, whole
            return b"".join(iter(lambda: self._read(read, 1 << 16), b""))
        block = read(size)
        self._check(len(block))
        return block

    def _check(self, read: int) -> None:
        if self._stop.is_set():
            raise NoClip("failed", "the run was stopped")
        self._left -= read
        if self._left < 0:
            raise NoClip("broken", "what is there is too large for a clip")
        if time.monotonic() > self._give_up:
            raise NoClip("failed", "the download takes too long")


def _verdict(error: DownloadError, status: int | None) -> NoClip:
    """Return which kind of failure it is; in doubt, one of this time only."""
    if status is not None:
        return NoClip(_STATUS.get(status, "failed"), f"the server answered with status {status}")
    if error.exc_info and isinstance(error.exc_info[1], UnsupportedError):
        return NoClip("broken", "the page has no video")
    # On one line, without its prefixes and its advice.
    said = re.sub(r"^(ERROR: )?(\[[^\]]*\] )?([\w?=&.-]+: )?", "", " ".join(str(error).split()))
    said = re.sub(r"(; please report|\(caused by| Use --| See +https?:).*", "", said)[:160].strip()
    kinds = (kind for kind, told in _TOLD.items() if re.search(told, said, re.I))
    return NoClip(next(kinds, "failed"), said)
