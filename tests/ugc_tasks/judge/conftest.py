"""A paid judge against the loopback server, with waits short enough for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import JudgeServer
from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.protocol.profiles import Profile, paper_profile
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.retry import Backoff

QUICK = Backoff(first=0.01, longest=0.05, longest_told=1.0)
OpenJudge = Callable[..., Judge]


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as running:
        yield running


@pytest.fixture
def open_judge(server: JudgeServer, tmp_path: Path) -> Iterator[OpenJudge]:
    """Open judges on one store and one server; settings and profile can be given by name."""
    opened: list[Judge] = []

    def open_one(*, profile: Profile | None = None, **changed: Any) -> Judge:
        settings: dict[str, Any] = {
            "store": tmp_path / "judgments.sqlite3",
            "base_url": server.base_url,
            "api_key": "sk-loopback-0123456789",
            "timeout": 5.0,
            "deadline": 30.0,
        }
        judge = Judge(
            profile or paper_profile("Grade the caption."),
            JudgeSettings(**(settings | changed)),
            backoff=QUICK,
        )
        opened.append(judge)
        return judge

    yield open_one
    for judge in opened:
        judge.close()
