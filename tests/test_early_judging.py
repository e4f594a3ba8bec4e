"""The judge is asked while captions are still being made, and never about what is not scored."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import model_args
from tests.support.judge_server import Act, Asked, JudgeServer, scores
from ugc_models.testing.tiny_omni import build_tiny_omni
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CLIPS = 8


@dataclass
class Bench:
    """One folder for several runs of the command."""

    folder: Path
    server: JudgeServer

    def run(self, *more: str, judgments: str) -> dict[str, Any]:
        """Run the command with captions one after another; return its results."""
        results = self.folder / f"results-{judgments}"
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "lmms_eval", "--tasks", "ugc_videocap"),
                *("--model", "qwen_omni_vllm"),
                *("--model_args", model_args(
                    self.folder / "tiny-omni", frames=8, max_pixels=12544, max_in_flight=1,
                )),
                *("--gen_kwargs", "max_new_tokens=32,temperature=0"),
                *("--output_path", str(results), "--log_samples", *more),
            ],
            env={
                **os.environ,
                "UGC_VIDEOCAP_HOME": str(sample_home()),
                "UGC_VIDEOCAP_CACHE": str(self.folder / "cache"),
                "UGC_JUDGE_STORE": str(self.folder / f"{judgments}.sqlite3"),
                "UGC_JUDGE_PROFILE": "rubric",
                "UGC_JUDGE_MODEL": "a-judge-of-our-own",
                "OPENAI_BASE_URL": self.server.base_url,
                "OPENAI_API_KEY": "sk-loopback-0123456789",
            },
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        (path,) = results.glob("*/*_results.json")
        assert ran.returncode == 0
        whole: dict[str, Any] = json.loads(path.read_text())
        return whole["results"]["ugc_videocap"]

    def captions(self) -> int:
        """How many captions are on disk."""
        (store,) = self.folder.glob("cache/**/captions.sqlite3")
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM captions").fetchone()[0])


@dataclass
class Judged:
    """A run that was judged: its figures, and how many captions were there at each request."""

    bench: Bench
    figures: dict[str, Any]
    there: list[int]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("early")
    build_tiny_omni(folder / "tiny-omni")
    with JudgeServer() as server:
        bench = Bench(folder, server)
        there: list[int] = []

        def answer(asked: Asked) -> Act:
            there.append(bench.captions())
            return scores(5, 4, 3)

        server.script = answer
        yield Judged(bench, bench.run(judgments="scored"), there)


def test_the_first_answer_is_judged_before_the_last_is_made(judged: Judged) -> None:
    assert judged.figures["visual,none"] == 100
    assert judged.figures["n,none"] == len(judged.there) == CLIPS
    assert 0 < judged.there[0] < CLIPS


@pytest.mark.long
def test_with_predict_only_no_judge_is_asked(judged: Judged) -> None:
    before = len(judged.bench.server.requests)
    judged.bench.run("--predict_only", judgments="predicted")
    assert len(judged.bench.server.requests) == before
