"""Collecting the published files: what one that cannot be had costs the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.file_server import FileServer
from tests.support.loopback import silent_server
from ugc_tasks.data import annotations, fetch
from ugc_tasks.data import collect as module
from ugc_tasks.data.collect import Collected, collect
from ugc_tasks.data.published import FILES

HUB_FILES = [file.name for file in FILES.values() if file.origin == "hub"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's client, and nothing that forbids asking."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path / "cache"


def faults(done: list[Collected]) -> dict[str, str]:
    return {item.name: item.fault for item in done if item.fault}


def test_servers_out_of_reach_are_tried_once_and_every_file_says_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_SILENCE_S", 0.3)
    with FileServer([]).running() as gone:
        pass
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", gone.endpoint)
    with silent_server() as (address, connections):
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", address)
        found = faults(collect(cache, replace=True, step=lambda name: None))
        assert len(connections) <= 3
    assert len(found) == 15, "each file of the dataset, of the authors, and each prompt"
    for name in HUB_FILES:
        assert found[name].startswith(f"{name} could not be had from the Hub: no connection to ")
    others = [fault for name, fault in found.items() if name not in HUB_FILES]
    assert all("it does not answer" in fault for fault in others)
    assert list(cache.rglob("*")) == []


def test_nothing_is_asked_where_that_is_forbidden(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as (address, connections):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        found = faults(collect(cache, replace=True, step=lambda name: None))
        assert connections == []
    assert len(found) == 15
    assert all("HF_HUB_OFFLINE forbids downloading it" in fault for fault in found.values())


def test_a_hub_that_answers_is_asked_for_each_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(name: str, *, again: bool = False) -> Path:
        asked.append(name)
        raise RuntimeError("500")

    monkeypatch.setattr(module, "hub_file", fail)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # for all else
    found = faults(collect(cache, replace=True, step=lambda name: None))
    assert asked == HUB_FILES
    assert found["tone.json"] == "tone.json could not be had from the Hub: 500"


def test_what_the_hubs_client_has_is_taken_without_a_network(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hf/datasets--openinterx--UGC-VideoCap/snapshots"
    (snapshot / f"{annotations.REVISION}00").mkdir(parents=True)
    (snapshot / f"{annotations.REVISION}00/video_urls.txt").write_text("links")
    with FileServer([]).running() as gone:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", gone.endpoint)
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", gone.endpoint)
    found = faults(collect(cache, replace=True, step=lambda name: None))
    assert len(found) == 14
    assert (cache / "video_urls.txt").read_text() == "links"


def test_a_file_beyond_all_measure_is_not_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = tmp_path / f"hf/datasets--openinterx--UGC-VideoCap/snapshots/{annotations.REVISION}0"
    snapshot.mkdir(parents=True)
    (snapshot / "video_urls.txt").write_text("links")
    with FileServer([]).running() as gone:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", gone.endpoint)
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", gone.endpoint)
    assert module._MAX_BYTES == 64 << 20
    monkeypatch.setattr(module, "_MAX_BYTES", 4)
    assert len(faults(collect(cache, replace=True, step=lambda name: None))) == 15
    assert not (cache / "video_urls.txt").exists()
    monkeypatch.setattr(module, "_MAX_BYTES", 5)
    collect(cache, replace=True, step=lambda name: None)
    assert (cache / "video_urls.txt").exists()
