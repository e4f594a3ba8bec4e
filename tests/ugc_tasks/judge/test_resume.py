"""Runs in processes of their own: killed and resumed, or two at once on one store."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import judge_server as act
from tests.support.grades import grades
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips

_HERE = Path(__file__).resolve()
_ROOT = _HERE.parents[3]


def start(server: JudgeServer, store: Path, count: int, concurrency: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(_HERE.with_name("worker.py")), server.base_url, str(store),
         str(count), str(concurrency)],
        env=os.environ | {"PYTHONPATH": str(_ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> dict[str, int]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def clip(asked: Asked) -> str:
    return asked.user.splitlines()[0].removeprefix("Sample ID: ")


def on_disk(store: Path) -> set[str]:
    with sqlite3.connect(store) as db:
        return {name for (name,) in db.execute("SELECT video_id FROM reply")}


def test_a_run_killed_while_judging_is_resumed_without_asking_anything_again(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    server.script = lambda _: act.scores(2, 3, 4, delay=0.05)
    killed = start(server, store, count=40, concurrency=4)
    server.wait_for(20)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    assert killed.returncode == -signal.SIGKILL
    kept = on_disk(store)
    asked_before = len(server.requests)
    # All but what was under way is kept: the sixteen before it, and perhaps some of it.
    assert 16 <= len(kept) < 40
    assert asked_before - len(kept) <= 4

    judge = open_judge(store=store)
    resumed = judge.judge_many(clips(40), progress=False)
    asked_again = {clip(asked) for asked in server.requests[asked_before:]}
    assert not asked_again & kept
    assert len(server.requests) == asked_before + 40 - len(kept)
    assert [j.scores for j in resumed] == [grades(2, 3, 4)] * 40
    assert {j.video_id for j in resumed if j.stored} == kept


@pytest.mark.parametrize("how", ["closed", "left"])
def test_what_is_on_the_wire_when_a_run_is_interrupted_is_kept(
    server: JudgeServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """Whether it closes its judge, as the console script does, or not, as lmms-eval does."""
    store = tmp_path / "judgments.sqlite3"
    monkeypatch.setenv("WORKER_END", how)
    server.script = lambda _: act.scores(2, 3, 4, delay=1.0)
    interrupted = start(server, store, count=40, concurrency=4)
    server.wait_for(6)
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=60)
    assert interrupted.returncode != 0
    assert 6 <= len(server.requests) < 40
    assert len(on_disk(store)) == len(server.requests)


def test_repeats_of_a_killed_run_are_kept_and_only_the_others_are_asked_for(
    server: JudgeServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "judgments.sqlite3"
    monkeypatch.setenv("WORKER_REPEATS", "3")
    server.script = lambda _: act.scores(2, 3, 4, delay=0.05)
    killed = start(server, store, count=15, concurrency=4)
    server.wait_for(20)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    asked_before = len(server.requests)
    with sqlite3.connect(store) as db:
        kept = db.execute("SELECT key FROM reply").fetchall()
    assert len(set(kept)) == len(kept) >= 16

    resumed = open_judge(store=store, repeats=3).judge_many(clips(15), progress=False)
    assert len(server.requests) == asked_before + 45 - len(kept)
    assert sum(each.stored for j in resumed for each in j.repeats) == len(kept)
    assert {len(j.repeats) for j in resumed} == {3}


def test_two_runs_at_once_on_one_store_pay_for_each_judgment_once(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    # The two have different keys; nobody is answered before both have asked for something.
    asking: set[str] = set()
    both = threading.Event()

    def script(asked: Asked) -> Act:
        asking.add(asked.authorization)
        if len(asking) == 2:
            both.set()
        both.wait(20)
        return act.scores(2, 3, 4, delay=0.02)

    server.script = script
    other = start(server, store, count=60, concurrency=6)
    judge = open_judge(store=store, concurrency=6, timeout=60.0)
    mine = judge.judge_many(clips(60), progress=False)
    assert [j.scores for j in mine] == [grades(2, 3, 4)] * 60
    assert result(other) == {f"clip-{n}": 2 for n in range(60)}
    assert sorted(clip(asked) for asked in server.requests) == sorted(
        f"clip-{n}" for n in range(60)
    )
    assert both.is_set()


def test_judgments_that_somebody_has_changed_are_asked_for_again(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    server.script = lambda _: act.scores(2, 3, 4)
    open_judge(store=store).judge_many(clips(6), progress=False)
    changed = ['{"visual": 9, "audio": 3, "details": 4}', "no JSON", '{"consistent": 1.0}']
    with sqlite3.connect(store) as db:
        for number, stated in enumerate(changed):
            db.execute("UPDATE reply SET scores = ? WHERE video_id = ?", (stated, f"clip-{number}"))
    again = open_judge(store=store).judge_many(clips(6), progress=False)
    assert [j.scores for j in again] == [grades(2, 3, 4)] * 6
    assert [j.stored for j in again] == [False] * 3 + [True] * 3
    assert sorted(map(clip, server.requests[6:])) == ["clip-0", "clip-1", "clip-2"]
    third = open_judge(store=store).judge_many(clips(6), progress=False)
    assert all(j.stored for j in third)
