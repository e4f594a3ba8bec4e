"""Captioning runs as processes, to be killed and interrupted from outside; and their store."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.soak.captioning import ASKING
from tests.support.vllm_server import KEY

PROJECT = Path(__file__).resolve().parents[2]
_PROGRAM = (sys.executable, "-m", "tests.soak.captioning")
NUMBER = re.compile(r"Question (\d+):")
"""By its number, a request is known again on its way to a server and in a store."""


@dataclass(frozen=True)
class Stored:
    """A row of a caption store."""

    key: str
    text: str
    made_at: float


class Captioning:
    """One command: the same requests, the same arguments, the same store.

    Args:
        folder: for the plan, the store and the logs.
        clips: what is asked about; each several times, with another ``generation``.
        generations: the task's generation arguments.
        lmms_model: as ``--model``.
        model_args: as ``--model_args``; ``store`` is in ``folder`` unless it is among them.
    """

    def __init__(
        self,
        folder: Path,
        clips: Sequence[Path],
        generations: Sequence[Mapping[str, Any]],
        lmms_model: str = "qwen_omni_vllm",
        **model_args: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = Path(model_args.setdefault("store", folder / "captions.sqlite3"))
        self.docs = [
            {"video": str(clip), "generation": generation}
            for generation in generations
            for clip in clips
        ]
        for index, doc in enumerate(self.docs):
            doc["question"] = f"Question {index}: what happens, and what is heard?"
        arguments = ",".join(f"{name}={value}" for name, value in model_args.items())
        self._plan = {"model": lmms_model, "model_args": arguments, "docs": self.docs}
        self._starts = 0

    def start(self, nursery: Nursery | None = None, *, pages: int | None = None) -> Run:
        """Start it in a process group of its own, as a shell would; in a nursery it is quick.

        Args:
            nursery: where to start it.
            pages: what SQLite takes for the size of the store's disk.
        """
        self._starts += 1
        place = self.folder / f"run-{self._starts}"
        plan, result, log = (place.with_suffix(f".{s}") for s in ("plan", "json", "log"))
        plan.write_text(json.dumps({**self._plan, "pages": pages}), "utf-8")
        started = _started if nursery is None else nursery.started
        return Run(started(plan, result, log), result, log)

    def stored(self) -> dict[int, Stored]:
        """Return what the store holds, by the requests' numbers."""
        if not self.store.exists():
            return {}
        with closing(sqlite3.connect(self.store, timeout=60)) as file:
            if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'captions'").fetchone():
                return {}  # killed before it had tables
            rows = file.execute("SELECT key, text, made_at, made_of FROM captions").fetchall()
            return {_number(row[3]): Stored(*row[:3]) for row in rows}


class Process(Protocol):
    """What is asked of a run's own process: what ``subprocess.Popen`` offers."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""

    def wait(self) -> int:
        """Return the exit status when it has ended."""

    def kill(self) -> None:
        """Send SIGKILL."""


def _started(plan: Path, result: Path, log: Path) -> Process:
    with log.open("wb") as output:
        return subprocess.Popen(
            [*_PROGRAM, str(plan), str(result)],
            cwd=PROJECT,
            env={**os.environ, "VLLM_API_KEY": KEY},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


class Nursery:
    """Forks runs off a process that has imported already what a run imports."""

    def __init__(self, checkpoint: Path | str, more: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [*_PROGRAM, str(checkpoint)],
            cwd=PROJECT,
            env={
                **os.environ,
                "VLLM_API_KEY": KEY,
                "TOKENIZERS_PARALLELISM": "false",
                **(more or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def started(self, plan: Path, result: Path, log: Path) -> Process:
        """Start a run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        log.touch()
        end = result.with_suffix(".exit")
        self._process.stdin.write(json.dumps([str(p) for p in (plan, result, log, end)]) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said.strip().isdigit(), f"the nursery says: {said}"
        return Forked(int(said), end)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class Forked:
    """A process that is another one's child, which writes its exit status down."""

    def __init__(self, pid: int, end: Path) -> None:
        self.pid = pid
        self._end = end

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        # Made and written are two things.
        said = self._end.read_text("utf-8") if self._end.exists() else ""
        return int(said) if said else None

    def wait(self) -> int:
        """Return the exit status when it has ended."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        return status

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Run:
    """A started command, and all processes that come of it."""

    def __init__(self, process: Process, result: Path, log: Path) -> None:
        self.process = process
        self._result = result
        self._log = log
        self._family: set[psutil.Process] = set()

    def said(self) -> str:
        """Return its output so far."""
        return self._log.read_text("utf-8", errors="replace")

    def wait_until(self, what: Callable[[], bool], timeout: float = 240.0) -> bool:
        """Return True when it is so, False when the run ended before."""
        give_up = time.monotonic() + timeout
        while not what():
            if self.process.poll() is not None:
                return what()
            assert time.monotonic() < give_up, f"waited {timeout:g} s:\n{self.said()[-3000:]}"
            time.sleep(0.01)
        return True

    def wait_until_it_says(self, words: str) -> bool:
        """Return True when its output has the words, False when it ended without."""
        return self.wait_until(lambda: words in self.said())

    def wait_until_it_asks(self) -> bool:
        """Return True when the model is there and the requests are on their way to it."""
        return self.wait_until_it_says(ASKING)

    def family(self) -> list[psutil.Process]:
        """Return the processes of the run that live; those seen before are remembered."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            self._family |= {process, *process.children(recursive=True)}
        return [process for process in self._family if _lives(process)]

    def workers(self) -> list[psutil.Process]:
        """Return its decoding processes."""
        return [
            process
            for process in self.family()
            if command_has(process, "ugc_models.decoding.worker")
        ]

    def engines(self) -> list[psutil.Process]:
        """Return the processes of an engine of its own."""
        return [process for process in self.family() if "EngineCore" in _name(process)]

    def interrupt(self) -> None:
        """Press Ctrl-C: a terminal sends it to every process of the group."""
        self.family()
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the run's own process outright; what it started must find out by itself."""
        self.family()
        self.process.kill()
        self.process.wait()

    def end(self, timeout: float = 240.0) -> int:
        """Wait until it has ended by itself; return its exit status as ``subprocess`` gives it."""
        self.wait_until(lambda: self.process.poll() is not None, timeout)
        return self.process.wait()

    def left_behind(self, timeout: float = 60.0) -> list[psutil.Process]:
        """Wait for the processes of a run that has ended; return those that live on."""
        give_up = time.monotonic() + timeout
        while (left := self.family()) and time.monotonic() < give_up:
            time.sleep(0.05)
        return left

    def captions(self) -> list[dict[str, Any]]:
        """Wait for its end; return what became of the requests, in their order."""
        status = self.end()
        assert status == 0, f"exit status {status}:\n{self.said()[-3000:]}"
        rows: list[dict[str, Any]] = json.loads(self._result.read_text("utf-8"))
        return rows

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def _number(made_of: str) -> int:
    found = NUMBER.search(made_of)
    assert found is not None, made_of
    return int(found[1])


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def command_has(process: psutil.Process, word: str) -> bool:
    """Tell whether a process that lives was started with ``word`` in its command."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return word in process.cmdline()
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""
