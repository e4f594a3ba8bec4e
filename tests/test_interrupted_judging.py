"""Ctrl-C while lmms-eval judges: the real command, answers from a file, a judge over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.annotations import video_ids, write_annotations
from tests.support.judge_server import Act, Asked, JudgeServer, scores
from tests.support.small_lmms_eval import link_small_lmms_eval

pytestmark = pytest.mark.timeout(300)

CLIPS, AT_ONCE = 60, 4
GO_ON = "interrupted while the judge was asked: what it answered is kept, the same command goes on"


@dataclass
class Interrupted:
    """What became of a run: how many requests there were before the signal, and in the end."""

    before: int
    asked: int
    kept: int
    said: str
    status: int


class Bench:
    """A folder with answers to ``CLIPS`` clips, and a judge that answers when it is let."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held = threading.Event()
        self.let = threading.Event()
        (folder / "home").mkdir()
        write_annotations(folder / "home", CLIPS)
        lines = [json.dumps({"video_id": i, "caption": f"Of {i}."}) for i in video_ids(CLIPS)]
        (folder / "answers.jsonl").write_text("\n".join(lines))
        link_small_lmms_eval(folder / "small")

    def judge(self, asked: Asked) -> Act:
        if self.held.is_set():
            self.let.wait(60)
        return scores(delay=0.05)

    def start(self, server: JudgeServer) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "lmms_eval", "--model", "ugc_replay"),
                *("--model_args", f"answers={self.folder / 'answers.jsonl'}"),
                *("--tasks", "ugc_videocap", "--output_path", str(self.folder / "results")),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder / "small"),
                "UGC_VIDEOCAP_HOME": str(self.folder / "home"),
                "UGC_VIDEOCAP_CACHE": str(self.folder / "cache"),
                "UGC_JUDGE_PROFILE": "rubric",
                "UGC_JUDGE_CONCURRENCY": str(AT_ONCE),
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_KEY": "sk-loopback-0123456789",
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def kept(self) -> int:
        with sqlite3.connect(self.folder / "cache" / "judgments.sqlite3") as db:
            return int(db.execute("SELECT count(*) FROM reply").fetchone()[0])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    bench = Bench(tmp_path_factory.mktemp("interrupted"))
    with JudgeServer(bench.judge) as server:
        process = bench.start(server)
        try:
            server.wait_for(12, timeout=120)
            bench.held.set()
            time.sleep(0.5)  # what was let through is answered, and the next are on the wire
            before = len(server.requests)
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(1.0)
            bench.let.set()
            said, _ = process.communicate(timeout=120)
        finally:
            process.kill()
        yield Interrupted(before, len(server.requests), bench.kept(), said, process.returncode)


def test_nothing_new_is_sent(interrupted: Interrupted) -> None:
    assert interrupted.asked == interrupted.before < CLIPS


def test_what_is_on_the_wire_is_kept(interrupted: Interrupted) -> None:
    assert interrupted.kept == interrupted.asked


def test_it_ends_as_an_interrupted_program_with_one_line_and_no_traceback(
    interrupted: Interrupted,
) -> None:
    assert interrupted.status == -signal.SIGINT
    assert interrupted.said.count(GO_ON) == 1
    assert "Traceback" not in interrupted.said
    assert not re.search(r"KeyboardInterrupt|Error", interrupted.said)
