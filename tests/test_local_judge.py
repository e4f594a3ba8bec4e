"""Captions and scores in one command, without a key: a judge that runs on this machine.

The real command twice: a run to its end, with the captions' engine and a ``vllm serve`` for the
judge, and one that is killed while its judge starts. Both checkpoints are random.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.engine import model_args
from tests.support.small_lmms_eval import link_small_lmms_eval
from tests.support.tiny_text import build_tiny_text
from ugc_tasks.cli.main import main
from ugc_tasks.common.local_model import LocalModel
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

LIMIT = 3
QUICK = [
    *("--dtype", "float32", "--max-model-len", "8192", "--max-num-seqs", "4", "--enforce-eager"),
    *("--kv-cache-memory-bytes", str(64 << 20), "--no-enable-chunked-prefill"),
    *("--distributed-executor-backend", "uni"),  # one process less to start
    # Random weights that may put white space between the tokens of a JSON reply do so for ever.
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
]
STARTED = "is started on this machine"


@dataclass
class Bench:
    """A folder with a judge's checkpoint."""

    folder: Path
    judge: LocalModel

    def start(self, *model: str) -> subprocess.Popen[str]:
        """Start the command with a model to be judged."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "lmms_eval", "--tasks", "ugc_videocap"),
                *("--model", *model, "--limit", str(LIMIT)),
                *("--gen_kwargs", "max_new_tokens=16,temperature=0"),
                *("--output_path", str(self.folder / "results"), "--log_samples"),
            ],
            env={
                **environ,
                "PYTHONPATH": str(self.folder / "small"),
                "UGC_VIDEOCAP_HOME": str(sample_home()),
                "UGC_VIDEOCAP_CACHE": str(self.folder / "cache"),
                "HF_HOME": str(self.folder / "huggingface"),
                "UGC_JUDGE_PROFILE": "rubric",
                "UGC_JUDGE_MODEL": f"local:{self.judge.name}",
                "UGC_JUDGE_LOCAL_ARGS": shlex.join(QUICK),
                "HTTP_PROXY": "http://127.0.0.1:9",  # it is not for what is on this machine
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def newest(self, what: str) -> Path:
        return sorted((self.folder / "results").glob(f"*/*_{what}"))[-1]

    def servers(self) -> list[int]:
        """The processes that serve the judge, and the one between."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            said = process.info["cmdline"] or []
            if self.judge.label in said and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("local-judge")
    link_small_lmms_eval(folder / "small")
    return Bench(folder, LocalModel.named(f"local:{build_tiny_text(folder / 'tiny-judge')}"))


def eventually(holds: Any, within: float) -> bool:
    give_up = time.monotonic() + within
    while not holds() and time.monotonic() < give_up:
        time.sleep(0.1)
    return bool(holds())


@pytest.fixture(scope="module")
def said(bench: Bench, checkpoint: Path) -> str:
    """A run to its end; what it said."""
    arguments = model_args(checkpoint, frames=8, max_pixels=12544)
    process = bench.start("qwen_omni_vllm", "--model_args", arguments)
    said, _ = process.communicate(timeout=1500)
    assert list((bench.folder / "results").glob("*/*_results.json")), said[-5000:]
    return said


def test_captions_and_scores_are_made_by_one_command(bench: Bench, said: str) -> None:
    lines = bench.newest("samples_ugc_videocap.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == LIMIT
    for row in rows:
        assert row["failure"] is None, row["failure"]
        (judgment,) = row["judge"]["judgments"]
        assert all(value in range(1, 6) for value in judgment["scores"].values())
        assert judgment["model"] == bench.judge.label
        assert judgment["usd"] == 0.0


def test_the_results_say_which_model_judged_and_that_it_cost_nothing(
    bench: Bench, said: str
) -> None:
    facts = json.loads(bench.newest("run.json").read_text())["tasks"]["ugc_videocap"]
    assert facts["judge_label"].startswith(f"rubric/{bench.judge.label}/")
    assert "127.0.0.1" not in facts["judge_label"]
    assert str(bench.folder) not in facts["judge_label"]
    assert facts["judge"]["temperature"] == 0
    assert facts["judge"]["price"] == "free, it runs on this machine"
    assert facts["judge"]["endpoint"] == shlex.join(["local", *QUICK])
    assert facts["spent"]["new"]["usd"] == 0.0


def test_it_is_started_when_the_captions_are_made(bench: Bench, said: str) -> None:
    assert said.count(STARTED) == 1
    assert said.index("Additional metrics") < said.index(STARTED), said[-3000:]


def test_nothing_of_it_is_left(bench: Bench, said: str) -> None:
    assert bench.servers() == []
    assert "Traceback" not in said


def test_its_judgments_hold_when_they_are_computed_again(
    bench: Bench, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is made again from model, arguments, prompt and texts."""
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(sample_home()))
    bundle = tmp_path / "bundle"
    assert main(["submit", str(bench.newest("run.json").parent), "-o", str(bundle)]) in (0, 3)
    assert main(["verify", str(bundle)]) in (0, 3)


def test_a_run_that_is_killed_leaves_no_judge_behind(bench: Bench, tmp_path: Path) -> None:
    samples = json.loads((sample_home() / "final_caption_qa.json").read_text())["samples"]
    answers = tmp_path / "answers.jsonl"
    rows = [{"video_id": each["video_id"], "caption": "A new one."} for each in samples]
    answers.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    process = bench.start("ugc_replay", "--model_args", f"answers={answers}")
    try:
        assert eventually(lambda: len(bench.servers()) > 1 or process.poll() is not None, 600)
        assert process.poll() is None, process.communicate()[0][-3000:]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert eventually(lambda: not bench.servers(), 60)
