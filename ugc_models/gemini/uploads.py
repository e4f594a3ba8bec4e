"""Files of ours at Google's Files API: each once, used again, and deleted at the end.

What is uploaded is written down before, in a file of this run (a ledger) that it holds locked. The
lock ends with the process, however that ends; the next run takes over what the ledgers of dead runs
name, uses it again while it is valid, and deletes it at its own end. Nothing else is ever deleted.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_models.engine.base import EngineStopped, FileInput, logger
from ugc_models.gemini.client import DELETION, STATE, UPLOAD, Api, Passing, Refused

VALID_S = 47 * 3600.0  # Source: ai.google.dev/gemini-api/docs/files: files are kept for 48 hours
KEPT = 10 << 30
"""Bytes at the Files API at most, of the 20 GB that a project may have."""
PROCESSING_S = 600.0
"""Seconds that the API may take to make a file ready."""
_ENDING = ".uploads"

_log = logger(__name__)
Persist = Callable[[Callable[[], Any]], Any]
"""Makes an exchange, again and again where its failure may pass."""


@dataclass
class Upload:
    name: str  # at the API: ``files/ugc-…``
    digest: str
    at: float  # when it began, seconds since 1970
    uri: str = ""  # empty until it can be used
    sure: bool = False  # that the API has it, in this run

    @property
    def valid(self) -> bool:
        return bool(self.uri) and 0 <= time.time() - self.at < VALID_S


class Ledger:
    """The names of our uploads, on disk before they exist. For several threads."""

    def __init__(self, folder: Path, place: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._place, self._lock = place, threading.Lock()
        while True:
            self._path = folder / f"{uuid.uuid4().hex}{_ENDING}"
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_nlink:  # nobody took it for a dead run's before that
                break
            os.close(self._file)
        self.found = self._take_over(folder)

    def write(self, upload: Upload, *, gone: bool = False) -> None:
        """Note an upload as it is now; it is on disk when this returns."""
        line = {"name": upload.name, "digest": upload.digest, "at": upload.at, "uri": upload.uri}
        text = json.dumps({**line, "place": self._place, "gone": gone}) + "\n"
        with self._lock:
            os.write(self._file, text.encode())
            os.fsync(self._file)

    def close(self, *, empty: bool) -> None:
        """Let the ledger go; it is removed if nothing of ours is left in it."""
        with self._lock:
            if empty:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1  # what still comes fails, and goes into nobody's file

    def _take_over(self, folder: Path) -> list[Upload]:
        found: dict[str, Upload] = {}
        for path in folder.glob(f"*{_ENDING}"):
            if path == self._path:
                continue
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its run lives
                if theirs := _read(file.read(), self._place):
                    for upload in theirs:
                        self.write(upload)
                        found[upload.name] = upload
                elif theirs is None:  # of another address: not ours to delete there
                    continue
                path.unlink(missing_ok=True)
        return list(found.values())


def leftovers(folder: Path) -> bool:
    """Whether there may be uploads of a run that has died, or of one that is under way."""
    return any(path.stat().st_size for path in folder.glob(f"*{_ENDING}"))


def _read(content: bytes, place: str) -> list[Upload] | None:
    """Return the uploads in a ledger that are not gone; None where it is of another place."""
    found: dict[str, Upload] = {}
    for line in content.splitlines():
        with suppress(ValueError, TypeError, KeyError):  # a line that a kill cut off
            told = json.loads(line)
            if told["place"] != place:
                return None
            name = str(told["name"])
            if told["gone"]:
                found.pop(name, None)
            elif name.startswith("files/ugc-"):
                found[name] = Upload(name, str(told["digest"]), float(told["at"]), str(told["uri"]))
    return [upload for upload in found.values() if time.time() - upload.at < VALID_S + 7200]


@dataclass
class _Place:
    """What is known of one file of this machine."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    upload: Upload | None = None
    refused: str | None = None  # why the API does not take it
    users: int = 0
    size: int = 0
    used: float = 0.0


class Uploads:
    """Uploads of this run, ``parallel`` at once; :meth:`hold` may be called from several threads.

    Args:
        folder: of the ledgers; uploads of another address are left alone.
        persist: how an exchange is tried again.
        wait: sleeps so many seconds, and raises where the run is to stop.
    """

    def __init__(
        self,
        api: Api,
        folder: Path,
        *,
        parallel: int,
        persist: Persist,
        wait: Callable[[float], None],
    ) -> None:
        self._api, self._persist, self._wait = api, persist, wait
        self._places: dict[str, _Place] = {}
        self._lock, self._sending = threading.Lock(), threading.Semaphore(parallel)
        self._ledger = Ledger(folder, api.place)
        self._all: dict[str, Upload] = {}  # what is at the API, or may be
        for upload in self._ledger.found:
            self._all[upload.name] = upload
        self._old = {upload.digest: upload for upload in self._ledger.found if upload.valid}

    @contextmanager
    def hold(self, file: FileInput) -> Iterator[Upload]:
        """Give the file's upload, ready for use, made if need be; it stays until the end of it.

        Raises ``Refused`` where the API does not take the file.
        """
        key = _key(file)
        with self._lock:
            place = self._places.setdefault(key, _Place())
            place.users += 1
        try:
            with place.lock:
                if place.refused is not None:
                    raise Refused(place.refused)
                if place.upload is None or not place.upload.valid:
                    place.upload = self._again(key) or self._new(file, key, place)
                    place.size = file.size
                upload = place.upload
            yield upload
        finally:
            with self._lock:
                place.users -= 1
                place.used = time.monotonic()
            self._make_room()

    def forget(self, file: FileInput, upload: Upload) -> None:
        """Treat an upload as gone."""
        place = self._places[_key(file)]
        with place.lock:
            if place.upload is upload:
                place.upload = None
        self._gone(upload)

    def tidy(self, seconds: float = 60.0, *, settled: bool = True) -> int:
        """Delete all that is ours; return how many that the API has are left after that time.

        ``settled``: no upload is under way, so that one which is not there will not be.
        """
        end = time.monotonic() + seconds
        with self._lock:
            left = list(self._all.values())
            self._places.clear()
            self._old.clear()
        with ThreadPoolExecutor(8, thread_name_prefix="ugc-delete") as threads:
            list(threads.map(lambda upload: self._delete(upload, end, settled), left))
        return sum(upload.sure for upload in self._all.values())

    def close(self) -> None:
        """Let the ledger go; what is left in it is the next run's to delete."""
        self._ledger.close(empty=not self._all)

    def _again(self, key: str) -> Upload | None:
        """Return what an earlier run uploaded of it, if the API still has it."""
        with self._lock:
            upload = self._old.pop(key, None)
        if upload is None:
            return None
        try:
            state = self._ready(upload)
        except Refused:
            return None
        return upload if state else None

    def _new(self, file: FileInput, key: str, place: _Place) -> Upload:
        def send() -> Upload:
            # A name of its own for each try: one that was cut off may be there all the same.
            upload = Upload(f"files/ugc-{uuid.uuid4().hex}", key, time.time())
            with self._lock:
                self._all[upload.name] = upload
            self._ledger.write(upload)
            with self._sending:
                self._api.call(UPLOAD, lambda: _send(self._api, file, upload.name))
            return upload

        upload: Upload = self._persist(send)
        try:
            if not self._ready(upload):
                raise Refused("the upload is not there any more")
        except Refused as refused:
            place.refused = str(refused)
            raise
        self._ledger.write(upload)
        return upload

    def _ready(self, upload: Upload) -> bool:
        """Wait until the API has made the file ready; False where it is not there."""
        end, pause = time.monotonic() + PROCESSING_S, 0.2
        while True:

            def look() -> Any:
                return self._api.call(STATE, lambda: self._api.client.files.get(name=upload.name))

            try:
                file = self._persist(look)
            except Refused as refused:
                if refused.lost:
                    self._gone(upload)
                    return False
                raise
            state = getattr(file.state, "value", None)
            if state == "ACTIVE" and file.uri:
                upload.uri, upload.sure = file.uri, True
                return True
            if state == "FAILED":
                why = getattr(file.error, "message", None)
                said = f" ({why})" if why else ""
                raise Refused(f"the API cannot process the file: its state is FAILED{said}")
            if time.monotonic() > end:
                raise Refused(f"the API has not made the file ready in {PROCESSING_S:.0f} s")
            self._wait(pause)
            pause = min(pause * 1.6, 5.0)

    def _make_room(self) -> None:
        """Delete what was used longest ago, where there is too much of ours."""
        while True:
            with self._lock:
                ours = [place for place in self._places.values() if place.upload is not None]
                idle = [place for place in ours if not place.users]
                if sum(place.size for place in ours) <= KEPT or not idle:
                    return
                oldest = min(idle, key=lambda place: place.used)
                upload, oldest.upload = oldest.upload, None
            if upload is not None:
                self._delete(upload, time.monotonic() + 30.0)

    def _delete(self, upload: Upload, end: float, settled: bool = True) -> None:
        pause = 0.5
        while True:
            try:
                self._api.call(DELETION, lambda: self._api.client.files.delete(name=upload.name))
            except Refused as refused:
                # It was cut off and never became a file, or it belongs to another key's account.
                if refused.lost and (upload.sure or (settled and not upload.uri)):
                    break
                return
            except EngineStopped:
                return
            except Passing as passing:
                pause = max(passing.wait or 0.0, pause)
                if time.monotonic() + pause > end:
                    return
                time.sleep(pause)
                pause *= 2
                continue
            break
        self._gone(upload)

    def _gone(self, upload: Upload) -> None:
        with self._lock:
            known = self._all.pop(upload.name, None)
        if known is not None:
            self._ledger.write(upload, gone=True)


def _key(file: FileInput) -> str:
    return f"{file.digest} {file.mime_type}"


def _send(api: Api, file: FileInput, name: str) -> None:
    import io

    from google.genai import types

    config = types.UploadFileConfig(name=name, mime_type=file.mime_type)
    if isinstance(file.content, Path):
        # Opened here: google-genai would tell the API the file's name on this machine.
        with file.content.open("rb") as opened:
            api.client.files.upload(file=opened, config=config)
    elif isinstance(file.content, bytes):  # pictures go within the request
        api.client.files.upload(file=io.BytesIO(file.content), config=config)
