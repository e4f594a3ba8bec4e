"""What is said of machine and command: enough to do it again, and no key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ugc_tasks.common.machine import command, hardware, versions


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("api_key=abc,model=x", "api_key=…,model=x"),
        ("model=x,openai_api_key=abc", "model=x,openai_api_key=…"),
        ("HF_TOKEN=abc", "HF_TOKEN=…"),
        ("password:abc", "password:…"),
        ("https://host/v1?token=abc&x=1", "https://host/v1?token=…&x=1"),
        ("base_url=http://sk-0123456789abcdef0123@host", "base_url=http://…@host"),
        ("hf_abcdefghijklmnopqrst", "…"),
    ],
)
def test_keys_are_left_out_of_a_command(argument: str, shown: str) -> None:
    said = command(["lmms-eval", "--model_args", argument])
    assert said.replace("'", "") == f"lmms-eval --model_args {shown}"
    assert "abc" not in said


def test_a_key_that_is_an_argument_of_its_own_is_left_out() -> None:
    assert command(["x", "--api-key", "abc", "--token", "def"]) == "x --api-key … --token …"


@pytest.mark.parametrize(
    "argument",
    ["max_new_tokens=1024", "--log_samples", "tokenizer=Qwen/x", "score_key=average", "skip=hf_x"],
)
def test_what_says_how_it_was_run_stays(argument: str) -> None:
    assert command(["lmms-eval", argument]) == f"lmms-eval {argument}"


def test_a_command_can_be_typed_again_and_names_no_folder_of_its_program() -> None:
    said = command(["/home/someone/.venv/bin/lmms-eval", "--tasks", "a b", "x\x1b[2J"])
    assert said.startswith("lmms-eval --tasks 'a b'")
    assert said.isprintable()
    assert "someone" not in said


def test_no_command_is_none() -> None:
    assert command([]) == ""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def nvidia_smi(folder: Path, code: str) -> None:
    """Put a program where the driver's would be: no card can be had here."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)


def test_graphics_cards_are_counted_by_kind(path: Path) -> None:
    nvidia_smi(path, "echo 'NVIDIA H100, 81559'; echo 'NVIDIA H100, 81559'; echo 'T4, [N/A]'")
    assert hardware()["gpus"] == [
        {"name": "NVIDIA H100", "memory_gb": 85.5, "count": 2},
        {"name": "T4", "memory_gb": None, "count": 1},
    ]


@pytest.mark.parametrize("code", ["exit 9", "echo nonsense", "echo"])
def test_a_driver_that_says_nothing_of_use_is_no_card(path: Path, code: str) -> None:
    nvidia_smi(path, code)
    assert hardware()["gpus"] == []


def test_without_a_driver_there_is_no_card_and_the_rest_is_said(path: Path) -> None:
    found = hardware()
    assert found["gpus"] == []
    assert found["cores"] == os.cpu_count()
    assert found["memory_gb"] > 0
    assert found["system"]


def test_packages_that_are_not_here_have_no_version() -> None:
    found = versions()
    assert {"ugc-videocap", "lmms-eval", "openai"} <= set(found)
    assert all(found.values())
