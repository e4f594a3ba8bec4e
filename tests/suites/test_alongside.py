"""The benchmark and twelve of lmms-eval's own tasks in one command, on the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.suites.documents import SUITES as ALL
from tests.suites.documents import Bench
from tests.support.engine import model_args
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

OURS = "ugc_videocap"
SUITES = [suite for suite in ALL if not suite.imports]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> dict[str, Any]:
    """Run the command; return what lmms-eval saved."""
    folder = tmp_path_factory.mktemp("alongside")
    bench = Bench(folder / "bench")
    arguments = {"frames": 4, "max_pixels": 3136, "store": folder / "store"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lmms_eval", "--model", "qwen_omni_vllm"),
            *("--tasks", ",".join([OURS, *(suite.task for suite in SUITES)])),
            *("--include_path", str(bench.more), "--limit", "2", "--log_samples"),
            *("--model_args", model_args(checkpoint, **arguments)),
            *("--gen_kwargs", "max_new_tokens=4", "--output_path", str(folder / "results")),
        ],
        cwd=bench.work,
        env={
            **os.environ,
            **bench.environment(),
            "UGC_VIDEOCAP_HOME": str(sample_home()),
            "UGC_VIDEOCAP_CACHE": str(folder / "cache"),
            "UGC_JUDGE_PROFILE": "offline",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
        check=False,
    )
    files = list((folder / "results").glob("*/*_results.json"))
    assert len(files) == 1, done.stdout[-5000:]
    saved: dict[str, Any] = json.loads(files[0].read_text("utf-8"))
    return saved


def test_each_task_has_its_own_columns(results: dict[str, Any]) -> None:
    assert results["results"].keys() == {OURS, *(suite.task for suite in SUITES)}
    for suite in SUITES:
        row = results["results"][suite.task]
        assert any(name.startswith(f"{suite.metric},") for name in row), suite.task


def test_every_request_is_answered(results: dict[str, Any]) -> None:
    assert "unanswered" not in results
    assert results["throughput"]["avg_requests"] == 2 * (1 + len(SUITES))
    assert results["throughput"]["avg_requests_failed"] == 0
