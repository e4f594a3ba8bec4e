"""Worker processes that read media, one file at a time each, replaced when one ends.

Processes and not threads: a file that crashes libav ends a worker and not the run, one that takes
for ever can be stopped, and the engine keeps Python's lock to itself. Not ``multiprocessing``: its
workers import the program that started them (lmms-eval, torch: a gigabyte each) and send pickles.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from ugc_models.decoding.worker import BrokenMessage, Read, receive
from ugc_models.media.audio import convert_samples
from ugc_models.media.image import clip_of, convert_picture
from ugc_models.media.limits import Limits, MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import AudioSource, Image, ImageSource, Source, VideoFile, VideoFrames

MEMORY = 4 << 30
"""Bytes of address space that a worker may have; the largest picture allowed takes half."""
GRACE_S = 10.0
"""Seconds beyond a clip's own time limit after which its worker is stopped from outside."""
_GIVEN = frozenset(
    {
        *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIRTUAL_ENV"),
    }
)
"""Environment variables that a worker gets: what finds Python and its libraries, and no others."""


class DecodePool:
    """Reads media in worker processes; :meth:`read` may be called from several threads at once.

    So many ``workers`` are started when they are needed, each with so many bytes of address space
    (``memory``, 0 for no bound).
    """

    def __init__(self, workers: int, limits: Limits | None = None, *, memory: int = MEMORY) -> None:
        self._limits = limits or Limits()
        self._memory = memory
        # The one that was used last is taken first: with little to do, few are started.
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(
        self, source: Source, sampling: Sampling, *, sound: bool, align_sound: bool = True
    ) -> Read:
        """Read a source: files in a worker, what is in memory already here.

        ``sampling`` and the rest are about videos, as ``media.clip.read_clip`` has them. Raises
        ``MediaError`` where there is nothing to be had of it, or its worker died of it.
        """
        if isinstance(source, VideoFrames):
            return clip_of(source, sampling, self._limits)
        if isinstance(source, AudioSource) and source.samples is not None:
            return convert_samples(source.samples, source.rate, self._limits)
        if isinstance(source, ImageSource) and not isinstance(source.content, Path | bytes):
            return Image(convert_picture(source.content, self._limits.image_pixels))
        question: dict[str, Any] = {"limits": asdict(self._limits), "path": None, "bytes": None}
        content, seconds = None, self._limits.decode_seconds
        if isinstance(source, VideoFile):
            seconds = self._limits.seconds(sampling.most_frames)
            question |= {
                "kind": "video",
                "path": str(source.path.absolute()),
                "start": source.start,
                "end": source.end,
                "sampling": asdict(sampling),
                "sound": sound,
                "align_sound": align_sound,
            }
        else:
            content = source.content
            question["kind"] = "image" if isinstance(source, ImageSource) else "audio"
            named = isinstance(content, Path)
            question |= {"path": str(content.absolute())} if named else {"bytes": len(content)}
        with self._worker() as worker:
            more = content if isinstance(content, bytes) else b""
            return worker.ask(question, seconds + GRACE_S, more)

    def close(self) -> None:
        """Stop all workers, those in the middle of a clip too."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.stop()

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        worker = self._idle.get()
        try:
            if worker is None or not worker.alive():
                with self._lock:
                    if self._closed:
                        raise MediaError("reading was stopped")
                    worker = _Worker(self._memory)
                    self._all = {each for each in self._all if each.alive()} | {worker}
            yield worker
        finally:
            self._idle.put(worker)


class _Worker:
    """One process."""

    def __init__(self, memory: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # this module's own sibling
            [sys.executable, "-W", "ignore", "-m", "ugc_models.decoding.worker", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # It reads strangers' files: it gets nothing that the run is paid with.
            env={name: os.environ[name] for name in _GIVEN if name in os.environ},
            # Ctrl-C goes to the run, which decides what is finished.
            start_new_session=True,
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], seconds: float, content: bytes = b"") -> Read:
        """Return what was read. A worker that died of it is not used again."""
        end = time.monotonic() + seconds
        watch = threading.Timer(seconds, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            self._in.write(json.dumps(question).encode() + b"\n")
            self._in.write(content)
            self._in.flush()
            return receive(self._out)  # type: ignore[arg-type]  # a BufferedReader
        except MediaError:
            raise
        except (BrokenMessage, OSError, ValueError) as error:
            self.stop()
            if time.monotonic() >= end:
                raise MediaError(f"timed out: reading it took more than {seconds:g} s") from error
            code, fate = self._process.returncode, f"gave no answer ({error})"
            if code < 0:
                # SIGKILL is also what the kernel ends a process with that takes too much memory.
                fate = f"was ended by {signal.Signals(-code).name}"
            raise MediaError(f"damaged: its decoder {fate}") from error
        except BaseException:  # what it still writes would be taken for the next clip
            self.stop()
            raise
        finally:
            watch.cancel()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with suppress(OSError, ValueError):
                pipe.close()
