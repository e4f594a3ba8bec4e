"""A small home of the benchmark, and an environment that is nobody's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.annotations import video_ids, write_annotations
from tests.support.clips import write_clip
from tests.support.judge_server import JudgeServer
from tests.support.web_host import WebHost
from ugc_tasks import run
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.register import TASK_DIR

QUESTION = "What happens, and what is heard?"
MakeHome = Callable[..., Path]
LoadTask = Callable[..., Any]


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip of 2 s with picture and sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, seconds=2, faststart=True).read_bytes()


@pytest.fixture
def host() -> Iterator[WebHost]:
    with WebHost().running() as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the user's is read or written; the runs that a test opened are closed."""
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "offline")
    monkeypatch.setenv("UGC_JUDGE_TODAY", "2026-06-01")
    opened: list[Judge] = []

    def open_and_remember(*args: Any, **kwargs: Any) -> Judge:
        opened.append(open_judge(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(run, "open_judge", open_and_remember)
    monkeypatch.setattr(run, "_orders", [])  # models of other tests that Python has not collected
    yield
    run._run.cache_clear()
    for judge in opened:
        judge.close()


@pytest.fixture
def make_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> MakeHome:
    """Make a home of so many clips (``PI-000``, ...), some of them missing, and point at it."""

    def make(clips: int = 3, *, missing: Sequence[int] = ()) -> Path:
        home = tmp_path / "home"
        (home / "videos").mkdir(parents=True, exist_ok=True)
        samples = [
            {"video_id": f"PI-{i:03}", "answer": f"Reference {i}.", "path": "/elsewhere"}
            for i in range(clips)
        ]
        content = {"question": QUESTION, "samples": samples}
        (home / "final_caption_qa.json").write_text(json.dumps(content))
        for i in set(range(clips)) - set(missing):
            (home / "videos" / f"PI-{i:03}.mp4").write_bytes(b"not decoded here")
        monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(home))
        return home

    return make


@pytest.fixture
def make_full_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> MakeHome:
    """Make a home with the annotations of all tasks, and point at it; ``videos``: with clips."""

    def make(clips: int = 3, *, videos: bool = True) -> Path:
        home = tmp_path / "full"
        (home / "videos").mkdir(parents=True)
        write_annotations(home, clips)
        for video_id in video_ids(clips) if videos else []:
            (home / "videos" / f"{video_id}.mp4").write_bytes(b"not decoded here")
        monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(home))
        return home

    return make


@pytest.fixture
def load_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: None) -> LoadTask:
    """Load a task as ``lmms-eval --tasks NAME`` does, without its 25 s of other people's YAML."""
    import datasets
    from lmms_eval.api.task import ConfigurableTask
    from lmms_eval.tasks import TaskManager, get_task_dict

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def load(name: str, kind: str = "chat") -> ConfigurableTask:
        manager = TaskManager(include_path=TASK_DIR, include_defaults=False)
        task = get_task_dict([name], manager, kind)[name]
        assert isinstance(task, ConfigurableTask)
        return task

    return load


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    """A paid judge of our own words (profile ``rubric``), on loopback."""
    with JudgeServer() as server:
        monkeypatch.setenv("UGC_JUDGE_PROFILE", "rubric")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server
