"""Thousands of broken and malicious files: read or refused, and nothing else happens."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.soak.reading import AFTER, BEFORE
from tests.support.clips import write_clip
from tests.support.lures import Bait, with_external_data
from tests.support.mutations import Mutant, mutant

PROJECT = Path(__file__).resolve().parents[2]
SHORT = 250
PATIENCE = 90.0
"""Seconds for one answer. The reader's own limit is 10, and the machine may be busy."""
MIB = 1 << 20
SOURCES: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 2},
    "faststart.mp4": {"faststart": True},
    "fragments.mp4": {"fragmented": True},
    "hevc.mp4": {"codec": "libx265"},
    "h264.mkv": {"b_frames": 1},
    "vp9.webm": {"codec": "libvpx-vp9", "audio_codec": "libopus", "audio_rate": 48_000},
    "h264.ts": {"b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4"},
    "h264.flv": {},
}
_CALLS = "openat,open,openat2,creat,connect,socket,execve"
_OPENED = re.compile(r'(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"((?:[^"\\]|\\.)*)"')


class Reader:
    """The reading process, traced if ``trace`` names a file for that."""

    def __init__(self, trace: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.soak.reading"]
        if trace is not None:
            command = [
                "strace",
                "-f",
                "-qq",
                "-s",
                "4096",
                "-e",
                _CALLS,
                "-o",
                str(trace),
                *command,
            ]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def read(self, path: Path) -> dict[str, Any]:
        """Return what became of the file; one of the keys is then "died" or "hangs"."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            return {"hangs": PATIENCE}
        line = self.process.stdout.readline()
        if not line:
            return {"died": self.process.wait()}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.stdout.close()


@dataclass
class Fuzzed:
    """What became of all files."""

    answers: list[tuple[Mutant, dict[str, Any]]] = field(default_factory=list)
    trace: Path | None = None
    opened: dict[str, list[str]] = field(default_factory=dict)
    """System calls that were made while a file was read, by the file's path."""
    visits: list[str] = field(default_factory=list)
    bare: int = 0
    """Bytes that the process held when it had read each undamaged file twice."""

    def those(self, key: str) -> list[str]:
        """Name the files that came to this end, and what was said."""
        return [f"{each}: {answer[key]}" for each, answer in self.answers if key in answer]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        name: write_clip(folder / name, width=96, height=64, seconds=1.0, **settings)
        for name, settings in SOURCES.items()
    }


@pytest.fixture(scope="module")
def visits() -> Iterator[tuple[str, list[str]]]:
    """An address where everybody who comes is written down."""
    seen: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/bait.mp4", seen
    server.shutdown()
    server.server_close()
    thread.join()


def can_trace() -> bool:
    """Tell whether system calls can be traced: containers may forbid it."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False).returncode == 0


@pytest.fixture(scope="module")
def fuzzed(
    sources: dict[str, Path],
    visits: tuple[str, list[str]],
    rounds: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Fuzzed:
    folder = tmp_path_factory.mktemp("mutants")
    bait = Bait(str(shutil.copy(sources["h264.mp4"], folder / "bait.mp4")), visits[0])
    data = {name: path.read_bytes() for name, path in sources.items()}
    result = Fuzzed(visits=visits[1])
    tracing = can_trace()
    reader: Reader | None = None
    for seed in range(rounds(SHORT)):
        if reader is None:
            trace = folder / f"trace-{seed}" if tracing else None
            reader = Reader(trace)
            for path in [*sources.values(), *sources.values()]:
                answer = reader.read(path)
                assert answer["frames"][0] == 8, answer
            result.bare = answer["held"]
        made = mutant(seed, data, bait)
        path = folder / f"{seed}{made.suffix}"
        path.write_bytes(made.data)
        answer = reader.read(path)
        result.answers.append((made, answer))
        path.unlink()
        if "died" in answer or "hangs" in answer:
            reader.close()
            reader = None
        if trace is not None and (reader is None or seed == rounds(SHORT) - 1):
            if reader is not None:
                reader.close()
            result.opened |= opened_in(trace)
            result.trace = trace
    if reader is not None and not tracing:
        reader.close()
    return result


def opened_in(trace: Path) -> dict[str, list[str]]:
    """Return what was opened, connected to or run during each reading, by the file read."""
    found: dict[str, list[str]] = {}
    reading = ""
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        call = line.split(" ", 1)[1].strip() if line[:1].isdigit() else line
        opened = _OPENED.search(call)
        name = opened[1] if opened else call
        if name.startswith(BEFORE):
            reading = name.removeprefix(BEFORE)
            found[reading] = []
        elif name == AFTER:
            reading = ""
        elif reading and "resumed>" not in call:
            found[reading].append(name)
    return found


@pytest.mark.timeout(7200)
def test_no_file_crashes_the_reader(fuzzed: Fuzzed) -> None:
    assert not fuzzed.those("died")


@pytest.mark.timeout(7200)
def test_no_file_keeps_the_reader_beyond_its_time(fuzzed: Fuzzed) -> None:
    assert not fuzzed.those("hangs")


def test_every_file_is_a_clip_or_refused_in_one_sentence(fuzzed: Fuzzed) -> None:
    assert not fuzzed.those("broke")
    kinds = Counter("frames" in answer for _, answer in fuzzed.answers)
    assert kinds[True] > len(fuzzed.answers) / 10 and kinds[False] > len(fuzzed.answers) / 10
    for each, answer in fuzzed.answers:
        if "frames" in answer:
            count, height, width, _ = answer["frames"]
            assert 1 <= count <= 8 and height % 28 == width % 28 == 0, str(each)
        else:
            assert 10 < len(answer["refused"]) < 120 and "\n" not in answer["refused"], str(each)


def test_nothing_is_left_in_memory(fuzzed: Fuzzed) -> None:
    """Between its second and its last quarter, a leak of 50 kB a file shows in 2,000 files."""
    held = [answer["held"] for _, answer in fuzzed.answers if "held" in answer]
    quarter = len(held) // 4
    early, late = (
        statistics.median(part) for part in (held[quarter : 2 * quarter], held[-quarter:])
    )
    assert (late - early) / MIB < 32
    assert (late - fuzzed.bare) / MIB < 128


def test_no_file_takes_much_memory(fuzzed: Fuzzed) -> None:
    """Sizes in a file are not believed: what a decoder may hold is 20 frames of the limit."""
    peak = max(answer.get("peak", 0) for _, answer in fuzzed.answers)
    assert (peak - fuzzed.bare) / MIB < 512


def test_nobody_was_led_to_an_address(fuzzed: Fuzzed) -> None:
    assert len(fuzzed.answers) > 0
    assert fuzzed.visits == []


def test_nothing_but_the_file_itself_is_opened(fuzzed: Fuzzed) -> None:
    if fuzzed.trace is None:
        pytest.skip("strace is not here or may not trace")
    others = {
        path: [name for name in names if name != path] for path, names in fuzzed.opened.items()
    }
    assert {path: names for path, names in others.items() if names} == {}
    # An empty file is refused before it is opened; every other one must have been seen.
    seen = sum(bool(names) for names in fuzzed.opened.values())
    assert seen >= sum(bool(each.data) for each, _ in fuzzed.answers)


LEADS = """
import sys, av
with av.open(sys.argv[1], container_options={"enable_drefs": "1", "safe": "0"}) as container:
    for packet in container.demux():
        pass
"""


@pytest.mark.parametrize("kind", ["external data", "concat"])
def test_libav_itself_would_have_been_led(
    kind: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    """What the test above looks for does happen, and is seen, where nothing prevents it."""
    if not can_trace():
        pytest.skip("strace is not here or may not trace")
    bait = Path(shutil.copy(sources["h264.mp4"], tmp_path / "bait.mp4"))
    path = tmp_path / "lure.mov"
    if kind == "concat":
        path.write_text(f"ffconcat version 1.0\nfile '{bait}'\n", encoding="ascii")
    else:
        path.write_bytes(with_external_data(bait.read_bytes(), str(bait)))
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", _CALLS, "-o", trace, sys.executable, "-c", LEADS, path],
        check=False,
        timeout=60,
    )
    assert str(bait) in _OPENED.findall(trace.read_text(encoding="utf-8", errors="replace"))
