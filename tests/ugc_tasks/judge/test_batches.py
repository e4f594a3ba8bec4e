"""Judging by the batch: half the price, resumed after any kill, and paid for once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.batch_server import BatchServer
from tests.support.judge_server import Act, Asked
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.scores import Scores

_WORKER = Path(__file__).with_name("worker.py")
_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


def number(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].splitlines()[0].rpartition("-")[2])


def own(n: int) -> Scores:
    return Scores(1 + n % 5, 1 + n // 5 % 5, 3)


def own_scores(asked: Asked) -> Act:
    scores = own(number(asked.body))
    return act.scores(int(scores.visual), int(scores.audio), 3)


def paid_once(server: BatchServer, count: int) -> bool:
    return len(server.paid) == count and set(server.paid.values()) == {1}


def ledger(store: Path) -> list[tuple[str | None, str | None]]:
    with sqlite3.connect(store) as db:
        return db.execute("SELECT batch, closed FROM batch ORDER BY created_at").fetchall()


# ---- one batch ----


def test_a_batch_brings_each_clip_its_own_scores_at_half_the_price(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.script = own_scores
    judgments = open_judge(batch=True).judge_many(clips(30), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(30)]
    assert not server.requests, "no single request"
    assert len(server.batches) == 1
    assert paid_once(server, 30)
    usages = [j.usage for j in judgments if j.usage]
    assert len(usages) == 30
    assert {usage.usd for usage in usages} == {(700 * 2.5 + 18 * 10) / 1e6 / 2}
    assert not any(j.stored for j in judgments), "it was paid for in this run"


def test_a_rerun_in_either_mode_finds_what_the_batch_brought(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    open_judge(batch=True).judge_many(clips(5), progress=False)
    for batch in (True, False):
        again = open_judge(batch=batch).judge_many(clips(5), progress=False)
        assert all(j.scores and j.stored for j in again)
    assert len(server.batches) == 1
    assert not server.requests


def test_only_what_is_missing_is_put_into_a_batch(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    open_judge().judge_many(clips(4), progress=False)
    open_judge(batch=True).judge_many(clips(10), progress=False)
    (batch,) = server.batches.values()
    assert sorted(number(line["body"]) for line in server.lines(batch)) == list(range(4, 10))


def test_a_line_is_what_a_single_request_would_be(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    open_judge(batch=True).judge_many(clips(1), progress=False)
    open_judge(store=tmp_path / "other.sqlite3").judge_many(clips(1), progress=False)
    (batch,) = server.batches.values()
    (line,) = server.lines(batch)
    assert line["body"] == server.requests[0].body
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        assert db.execute("SELECT key FROM reply").fetchall() == [(line["custom_id"],)]


def test_the_batch_says_whose_it_is_and_nothing_of_the_key(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    open_judge(batch=True).judge_many(clips(2), progress=False)
    (batch,) = server.batches.values()
    assert set(batch.metadata) == {"ugc_videocap", "sha256"}
    assert len(batch.metadata["ugc_videocap"]) == 32
    for content in (*server.files.values(), *(f.read_bytes() for f in tmp_path.iterdir())):
        assert b"sk-loopback" not in content


# ---- what fails ----


def test_lines_that_failed_are_asked_for_one_by_one(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    faults = [act.status(500), act.junk(), act.text("I cannot grade this."), act.status(429)]
    server.script = lambda asked: (
        faults[number(asked.body) % 8]
        if not asked.authorization and number(asked.body) % 8 < 4
        else own_scores(asked)
    )
    judgments = open_judge(batch=True).judge_many(clips(16), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(16)]
    assert sorted(number(asked.body) for asked in server.requests) == [0, 1, 2, 3, 8, 9, 10, 11]


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_a_batch_did_not_get_to_is_asked_for_one_by_one(
    server: BatchServer, open_judge: OpenJudge, end: str
) -> None:
    server.script = own_scores
    server.rules.end, server.rules.done_lines = end, 7
    judgments = open_judge(batch=True).judge_many(clips(10), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(10)]
    assert len(server.requests) == 3


def test_a_batch_refused_as_a_whole_is_one_sentence_and_costs_nothing(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.rules.problem = "the model cannot be batched"
    judgments = open_judge(batch=True).judge_many(clips(5), progress=False)
    assert {j.failure for j in judgments} == {judgments[0].failure}
    assert "the model cannot be batched" in str(judgments[0].failure)
    assert "UGC_JUDGE_MODE" in str(judgments[0].failure)
    assert not server.requests
    server.rules.problem = None
    again = open_judge(batch=True).judge_many(clips(5), progress=False)
    assert all(j.scores for j in again)


def test_an_endpoint_without_batches_says_so(server: BatchServer, open_judge: OpenJudge) -> None:
    server.rules.fault = lambda name: act.status(404, "no such path")
    judgments = open_judge(batch=True).judge_many(clips(3), progress=False)
    assert all("404" in str(j.failure) for j in judgments)
    assert not server.requests


@pytest.mark.parametrize(
    "fault", [act.status(500), act.status(429), act.junk(), Act(body=b""), Act(body=b"[]")]
)
def test_exchanges_that_fail_are_repeated(
    server: BatchServer, open_judge: OpenJudge, fault: Act
) -> None:
    seen: set[str] = set()

    def once_each(name: str) -> Act | None:
        first = name not in seen
        seen.add(name)
        return fault if first and name != "GET /files/ID" else None

    server.script, server.rules.fault = own_scores, once_each
    judgments = open_judge(batch=True).judge_many(clips(6), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(6)]
    assert paid_once(server, 6)


@pytest.mark.parametrize("name", ["POST /files", "POST /batches"])
def test_an_answer_that_was_lost_does_not_make_a_second_batch(
    server: BatchServer, open_judge: OpenJudge, name: str
) -> None:
    lost: list[str] = []
    server.rules.lost = lambda done: done == name and not lost and not lost.append(done)
    judgments = open_judge(batch=True).judge_many(clips(6), progress=False)
    assert all(j.scores for j in judgments)
    assert lost
    assert len(server.batches) == 1
    assert paid_once(server, 6)


def test_an_id_that_is_a_path_is_not_followed(server: BatchServer, open_judge: OpenJudge) -> None:
    server.rules.fault = lambda name: (
        Act(body=json.dumps({"id": "../../admin?x="}).encode()) if name == "POST /files" else None
    )
    judgments = open_judge(batch=True, deadline=0.5).judge_many(clips(2), progress=False)
    assert all("id in it that is none" in str(j.failure) for j in judgments)
    assert set(server.exchanges) == {"POST /files"}


# ---- money ----


def test_the_budget_decides_how_many_go_into_a_batch(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    judgments = open_judge(batch=True, budget=0.01).judge_many(clips(40), progress=False)
    scored = [j for j in judgments if j.scores]
    spent = sum(usage.usd or 0 for j in judgments if (usage := j.usage))
    assert 0 < len(scored) < 40
    assert spent <= 0.01
    assert all("UGC_JUDGE_BUDGET" in str(j.failure) for j in judgments if not j.scores)
    again = open_judge(batch=True, budget=1.0).judge_many(clips(40), progress=False)
    assert all(j.scores for j in again)
    assert sum(j.stored for j in again) == len(scored)
    assert paid_once(server, 40)


# ---- kills, and two at once ----


def start(server: BatchServer, store: Path, count: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "WORKER_MODE": "batch"}
    return subprocess.Popen(
        [sys.executable, str(_WORKER), server.base_url, str(store), str(count), "8"],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "moment", ["POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID"]
)
def test_a_run_killed_at_any_step_is_resumed_and_pays_nothing_twice(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, moment: str
) -> None:
    """The server has done what it was asked, and the answer never arrives."""
    store = tmp_path / "judgments.sqlite3"
    server.script = own_scores
    killed: list[int] = []
    running: list[subprocess.Popen[str]] = []

    def kill(name: str) -> bool:
        if name != moment or killed:
            return False
        while not running:
            time.sleep(0.01)
        running[0].send_signal(signal.SIGKILL)
        killed.append(running[0].wait())
        return True

    server.rules.lost = kill
    running.append(start(server, store, 12))
    running[0].communicate(timeout=60)
    assert killed == [-signal.SIGKILL]
    judgments = open_judge(store=store, batch=True).judge_many(clips(12), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(12)]
    assert len(server.batches) == 1
    assert paid_once(server, 12)
    assert all(closed for _, closed in ledger(store))


def test_a_batch_that_is_out_is_waited_for_in_the_other_mode_too(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    server.rules.looks = 10**6
    process = start(server, store, 6)
    while "GET /batches/ID" not in server.exchanges:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    server.rules.looks = 0
    judgments = open_judge(store=store).judge_many(clips(8), progress=False)
    assert all(j.scores for j in judgments)
    assert sorted(number(asked.body) for asked in server.requests) == [6, 7]


def test_two_runs_at_once_hand_each_judgment_in_once(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    server.rules.looks = 20
    other = start(server, store, 20)
    mine = open_judge(store=store, batch=True).judge_many(clips(20), progress=False)
    out, _ = other.communicate(timeout=60)
    assert all(j.scores for j in mine)
    assert len(json.loads(out.splitlines()[-1])) == 20
    assert paid_once(server, 20)
    lines = [line["custom_id"] for batch in server.batches.values() for line in server.lines(batch)]
    assert len(lines) == len(set(lines)) == 20


def test_many_requests_are_split_by_the_limits(
    server: BatchServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from ugc_tasks.judge import batches

    monkeypatch.setattr(batches, "parts", partial(batches.parts, max_requests=4))
    judgments = open_judge(batch=True).judge_many(clips(10), progress=False)
    assert all(j.scores for j in judgments)
    assert sorted(batch.total for batch in server.batches.values()) == [2, 4, 4]
    assert paid_once(server, 10)


def test_closing_leaves_a_batch_to_the_next_run(server: BatchServer, open_judge: OpenJudge) -> None:
    server.rules.looks = 10**6
    judge = open_judge(batch=True)
    judge.begin(clips(3))
    futures = [judge.submit(item) for item in clips(3)]
    while "GET /batches/ID" not in server.exchanges:
        time.sleep(0.01)
    judge.close()
    assert all("closed" in str(future.result(timeout=60).failure) for future in futures)
    server.rules.looks = 0
    assert all(j.scores for j in open_judge(batch=True).judge_many(clips(3), progress=False))
    assert len(server.batches) == 1
