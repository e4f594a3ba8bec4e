"""Collecting the published files: what one that cannot be had costs the others."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ugc_tasks.data import collect as module
from ugc_tasks.data.collect import collect
from ugc_tasks.data.published import FILES

HUB_FILES = [file.name for file in FILES.values() if file.origin != "github"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the Hub is asked for; everything else is out of the way."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # for the official prompts
    monkeypatch.setattr(module, "from_github", lambda file, target: None)
    return []


def _collect(
    folder: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], error: Exception
) -> list[str]:
    def fail(name: str, *, again: bool = False) -> Path:
        asked.append(name)
        raise LookupError("no such file in the cache") from error

    monkeypatch.setattr(module, "hub_file", fail)
    done = collect(folder, replace=False, step=lambda name: None)
    return [item.name for item in done if item.fault and item.name in HUB_FILES]


def test_a_hub_out_of_reach_is_asked_once_and_every_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    faults = _collect(tmp_path, monkeypatch, asked, httpx.ConnectError("name not known"))
    assert asked == HUB_FILES[:1]
    assert faults == HUB_FILES


def test_a_hub_that_answers_is_asked_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    faults = _collect(tmp_path, monkeypatch, asked, RuntimeError("500"))
    assert asked == HUB_FILES
    assert faults == HUB_FILES
