"""No engine outlives its run: tried on plain processes; on vLLM's own in ``test_local.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ugc_models.engine import process

OWNER = "UGC_ENGINE_OWNER"
ENGINE = """
import time
from ugc_models.engine import process
process.install()
print("runs", flush=True)
time.sleep(600)
"""
"""What vLLM does in a process of its engine, and then waits for requests."""
RUN = f"""
import subprocess, sys, time
from ugc_models.engine import process
with process.owned():
    engine = subprocess.Popen([sys.executable, "-c", {ENGINE!r}], stdout=subprocess.PIPE)
engine.stdout.readline()
print(engine.pid, flush=True)
time.sleep(600)
"""


def lives(pid: int) -> bool:
    """Whether it does; what is left of one that nobody waited for does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def ends(pid: int) -> bool:
    """Wait for it, two minutes at most."""
    give_up = time.monotonic() + 120
    while lives(pid) and time.monotonic() < give_up:
        time.sleep(0.05)
    return not lives(pid)


@pytest.fixture
def run() -> Iterator[subprocess.Popen[str]]:
    """A run with an engine; the engine's process id is its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def number_of_engine(run: subprocess.Popen[str]) -> int:
    assert run.stdout is not None
    return int(run.stdout.readline())


def test_an_engine_goes_on_with_its_run_and_ends_when_that_is_killed(
    run: subprocess.Popen[str],
) -> None:
    engine = number_of_engine(run)
    time.sleep(1.5)  # it has looked two or three times
    assert lives(engine)
    run.kill()  # and is not waited for: what is left of it is no run
    assert ends(engine)


def test_another_process_with_the_number_of_the_run_is_not_the_run() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE],
        stdout=subprocess.PIPE,
        env={**os.environ, OWNER: f"{os.getpid()} 1"},
    ) as engine:
        try:
            assert ends(engine.pid)
        finally:
            engine.kill()
    assert engine.returncode == -9


@pytest.mark.parametrize("owner", [None, "", "somebody", "-1 5", "1.5 5", "{own} 5"])
def test_nobody_is_watched_where_no_run_is_named(
    owner: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OWNER, raising=False)
    if owner is not None:
        monkeypatch.setenv(OWNER, owner.format(own=os.getpid()))
    before = threading.active_count()
    process.install()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("named", "then"),
    [
        (None, None),
        ("", "ugc_engine_owner"),
        ("a,b", "a,b,ugc_engine_owner"),
        ("b,ugc_engine_owner", "b,ugc_engine_owner"),
        ("ugc_engine_owner_of_mine", "ugc_engine_owner_of_mine,ugc_engine_owner"),
    ],
)
def test_the_plugin_that_watches_is_among_those_that_vllm_loads(
    named: str | None, then: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM loads all where none are named, and only those that are."""
    monkeypatch.setenv("VLLM_PLUGINS", "to be restored")
    os.environ.pop("VLLM_PLUGINS")
    if named is not None:
        os.environ["VLLM_PLUGINS"] = named
    with process.owned():
        assert os.environ.get("VLLM_PLUGINS") == then


def test_ctrl_c_is_not_for_an_engines_loop_nor_for_what_it_starts() -> None:
    async def blocked() -> set[signal.Signals | int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, [])

    loop = process.LoopThread("a loop")
    assert signal.SIGINT in loop.run(blocked())
    loop.close()


def test_only_what_is_started_meanwhile_is_owned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OWNER, raising=False)
    monkeypatch.setenv("VLLM_PLUGINS", "mine")
    with process.owned():
        number, started = os.environ[OWNER].split()
        assert int(number) == os.getpid()
        assert started == Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert OWNER not in os.environ
    assert os.environ["VLLM_PLUGINS"] == "mine,ugc_engine_owner"


def test_a_run_is_known_by_its_start_whatever_its_name(tmp_path: Path) -> None:
    """The kernel's line on a process begins with its name, which may look like the rest of it."""
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "600"]) as run:
        while "a) Z 1 (b" not in (line := Path(f"/proc/{run.pid}/stat").read_text()):
            time.sleep(0.01)
        owner = f"{run.pid} {line.rpartition(')')[2].split()[19]}"
        with subprocess.Popen(
            [sys.executable, "-c", ENGINE],
            stdout=subprocess.PIPE,
            env={**os.environ, OWNER: owner},
        ) as engine:
            assert engine.stdout is not None
            assert engine.stdout.readline()
            time.sleep(1.5)  # it has looked two or three times
            assert lives(engine.pid)
            run.kill()
            assert ends(engine.pid)


@pytest.mark.parametrize("name", ["EngineCore_0", "VLLM_Worker_1"])
def test_a_run_that_ends_does_not_wait_for_an_engine_that_hangs(tmp_path: Path, name: str) -> None:
    """Its children end too. What is not an engine's is waited for, as Python does it."""
    program = tmp_path / "run.py"
    program.write_text(
        """
import multiprocessing, subprocess, sys, time
from pathlib import Path
from ugc_models.engine import process

def hang():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("child").write_text(str(child.pid))
    time.sleep(600)

def work():
    time.sleep(1)
    Path("done").touch()

if __name__ == "__main__":
    with process.owned():
        engine = multiprocessing.Process(target=hang, name=sys.argv[1])
        engine.start()
    multiprocessing.Process(target=work, name="a worker").start()
    while not (Path("child").exists() and Path("child").read_text()):
        time.sleep(0.01)
    print(engine.pid)
"""
    )
    done = subprocess.run(
        [sys.executable, str(program), name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert (tmp_path / "done").exists()
    assert ends(int(done.stdout))
    assert ends(int((tmp_path / "child").read_text()))
