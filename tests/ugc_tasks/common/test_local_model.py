"""A model on this machine: which one it is, whether it is whole, and that nothing outlives us.

A whole run with one: ``tests/test_local_judge.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ugc_tasks.common.local_model import LocalModel, LocalModelError, ModelServer

COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"
NAME = f"local:Qwen/Qwen2.5-7B-Instruct@{COMMIT}"


def model_in(folder: Path, *, weights: bytes = b"w" * 100) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the Hub's library keeps what it fetched."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "models--Qwen--Qwen2.5-7B-Instruct" / "snapshots"


# ---- which it is ----


def test_a_model_of_the_hub_is_its_name_and_commit(hub: Path) -> None:
    model = LocalModel.named(NAME)
    assert model.label == NAME
    assert model == LocalModel("Qwen/Qwen2.5-7B-Instruct", COMMIT)


@pytest.mark.parametrize("revision", ["", "@", "@main", "@v1.0", f"@{COMMIT[:12]}", f"@{COMMIT}0"])
def test_what_can_move_is_no_pin_and_where_commits_are_is_said(hub: Path, revision: str) -> None:
    (hub / COMMIT).mkdir(parents=True)
    with pytest.raises(LocalModelError) as caught:
        LocalModel.named(f"local:Qwen/Qwen2.5-7B-Instruct{revision}")
    said = str(caught.value)
    assert "needs the commit that it is pinned to, 40 hexadecimal digits" in said
    assert "https://huggingface.co/Qwen/Qwen2.5-7B-Instruct/commits/main" in said
    assert f"this machine has {COMMIT}" in said


@pytest.mark.parametrize("name", ["", "qwen", "a/b/c", "a b/c", "a/b@c@d", "a/", "/b", "--x/y"])
def test_what_names_no_model_is_said(name: str) -> None:
    if name == "--x/y":  # a name, and not an option of vLLM's
        with pytest.raises(LocalModelError, match="needs the commit"):
            LocalModel.named(f"local:{name}")
        return
    with pytest.raises(LocalModelError, match=r"names no model|is no model"):
        LocalModel.named(f"local:{name}")


def test_a_folder_is_told_by_what_is_in_it_and_not_by_its_place(tmp_path: Path) -> None:
    labels = [
        LocalModel.named(f"local:{model_in(tmp_path / place / 'mine', weights=weights)}").label
        for place, weights in (("a", b"w" * 100), ("b", b"w" * 100), ("c", b"v" * 100))
    ]
    assert labels[0] == labels[1] != labels[2]
    assert labels[0].startswith("local:mine@")
    assert str(tmp_path) not in labels[0]


# ---- whether it is there ----


def test_weights_that_are_not_here_are_named_with_the_command_that_brings_them(hub: Path) -> None:
    with pytest.raises(LocalModelError) as caught:
        LocalModel.named(NAME).folder()
    command = f"hf download Qwen/Qwen2.5-7B-Instruct --revision {COMMIT}"
    assert str(caught.value).endswith(command)


def test_a_download_that_was_interrupted_is_not_taken_for_whole(hub: Path) -> None:
    folder = model_in(hub / COMMIT)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LocalModelError, match="or not all of them: hf download"):
        LocalModel.named(NAME).folder()
    (folder / "model-2.safetensors").write_bytes(b"w")
    assert LocalModel.named(NAME).folder() == folder


def test_a_folder_without_weights_is_said(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "mine")
    model = LocalModel.named(f"local:{folder}")
    assert model.folder() == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(LocalModelError, match="weights are missing"):
        model.folder()


# ---- one server in a process ----


def test_a_server_is_shared_until_the_last_has_released_it(tmp_path: Path) -> None:
    model = LocalModel.named(f"local:{model_in(tmp_path / 'mine')}")
    one, two = ModelServer.acquire(model, ["--x"]), ModelServer.acquire(model, ("--x",))
    assert one is two
    other = ModelServer.acquire(model, ())
    assert other is not one
    one.release()
    three = ModelServer.acquire(model, ["--x"])
    assert three is one
    for server in (two, three, other):
        server.release()
    new = ModelServer.acquire(model, ["--x"])
    assert new is not one
    new.release()


# ---- the process between ----

BUSY = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('up', flush=True); time.sleep(600)"  # noqa: E501
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"  # noqa: E501
OWNER = (
    "import os, subprocess, sys, time\n"
    "p = subprocess.Popen([sys.executable, '-m', 'ugc_tasks.common.local_model', str(os.getpid()),"
    " sys.executable, '-c', sys.argv[1]], start_new_session=True)\n"
    "print(p.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture(params=[BUSY, STUBBORN], ids=["with a child", "deaf to SIGTERM"])
def owner(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has a command run, and the process between."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, request.param], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    between = int(process.stdout.readline())
    assert process.stdout.readline() == "up\n"
    yield process, between
    process.kill()
    process.wait()
    process.stdout.close()


def group(leader: int) -> list[int]:
    return [p.pid for p in psutil.process_iter() if _group_of(p.pid) == leader]


def _group_of(pid: int) -> int:
    try:
        zombie = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        return 0 if zombie else os.getpgid(pid)
    except (OSError, psutil.Error):
        return 0


def gone(leader: int, within: float = 60.0) -> bool:
    give_up = time.monotonic() + within
    while group(leader) and time.monotonic() < give_up:
        time.sleep(0.1)
    return not group(leader)


def test_all_of_it_ends_when_its_owner_was_killed(owner: tuple[subprocess.Popen[str], int]) -> None:
    process, between = owner
    assert len(group(between)) >= 2
    process.kill()
    process.wait()
    assert gone(between)


def test_all_of_it_ends_when_it_is_told_to(owner: tuple[subprocess.Popen[str], int]) -> None:
    _, between = owner
    os.kill(between, signal.SIGTERM)
    assert gone(between)
