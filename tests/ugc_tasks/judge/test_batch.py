"""Judging by the batch: half the price, resumed after any kill, and paid for once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.batch_server import BatchServer
from tests.support.grades import grades
from tests.support.judge_server import Act, Asked
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.types import Scores

_WORKER = Path(__file__).with_name("worker.py")
_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


def number(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].splitlines()[0].rpartition("-")[2])


def own(n: int) -> Scores:
    return grades(1 + n % 5, 1 + n // 5 % 5, 3)


def own_scores(asked: Asked) -> Act:
    scores = own(number(asked.body))
    return act.scores(int(scores["visual"]), int(scores["audio"]), 3)


def paid_once(server: BatchServer, count: int) -> bool:
    return len(server.paid) == count and set(server.paid.values()) == {1}


def lose_once(server: BatchServer, name: str) -> list[str]:
    """Have the answer of the first such exchange lost; return what was."""
    lost: list[str] = []
    server.rules.lost = lambda done: done == name and not lost and not lost.append(done)
    return lost


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
    assert set(batch.metadata) == {"ugc_videocap"}
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


@pytest.mark.parametrize("end", ["expired", "cancelled", "canceled", "failed"])
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


def test_a_file_that_is_declined_is_one_sentence(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.rules.fault = answer_of("POST /files", act.status(413, "too large"))
    judgments = open_judge(batch=True).judge_many(clips(3), progress=False)
    (failure,) = {j.failure for j in judgments}
    assert "413 (too large)" in str(failure)
    assert "it does not take batches so; unset UGC_JUDGE_MODE" in str(failure)
    assert server.exchanges == ["POST /files"]
    assert not server.requests


@pytest.mark.parametrize("batch", [True, False])
def test_an_answer_that_cannot_be_read_is_one_sentence_or_does_not_stop_single_requests(
    server: BatchServer, open_judge: OpenJudge, batch: bool
) -> None:
    left_out(server, open_judge, 2)
    packed = Act(200, b"?", {"Content-Encoding": "br"})
    server.rules.fault = answer_of("GET /batches/ID", packed)
    judgments = open_judge(batch=batch).judge_many(clips(3), progress=False)
    if batch:
        (failure,) = {j.failure for j in judgments}
        assert "the answer is packed (br), although it was not to be" in str(failure)
        assert "unset UGC_JUDGE_MODE" in str(failure)
    else:
        assert all(j.scores for j in judgments)


def test_a_batch_that_cannot_be_looked_at_is_not_looked_at_again_in_this_run(
    server: BatchServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out(server, open_judge, 5)
    server.rules.fault = lambda _: act.status(401, "missing scopes")
    judge = open_judge()
    for items in (clips(2), clips(5)[2:]):
        assert all(j.scores for j in judge.judge_many(items, progress=False))
    assert capsys.readouterr().err.count("cannot be looked at") == 1


def test_an_endpoint_without_batches_says_so(server: BatchServer, open_judge: OpenJudge) -> None:
    server.rules.fault = lambda name: act.status(404, "no such path")
    judgments = open_judge(batch=True).judge_many(clips(3), progress=False)
    assert all("404" in str(j.failure) for j in judgments)
    assert not server.requests


@pytest.mark.parametrize(
    "fault",
    [
        act.status(500), act.status(429), act.junk(), Act(body=b""), Act(body=b"[]"),
        Act(body=b"[" * 100_000),
    ],
)  # fmt: skip
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
    lost = lose_once(server, name)
    judgments = open_judge(batch=True).judge_many(clips(6), progress=False)
    assert all(j.scores for j in judgments)
    assert lost
    assert len(server.batches) == 1
    assert paid_once(server, 6)


def test_a_batch_whose_making_was_not_confirmed_is_found_among_many(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    """At an endpoint that does not heed our Idempotency-Key; others made batches meanwhile."""
    from tests.support.batch_server import Batch

    server.rules.idempotent = False
    lost: list[str] = []

    def lose(name: str) -> bool:
        if name != "POST /batches" or lost:
            return False
        lost.append(name)
        for n in range(9):
            server.batches[f"other_{n}"] = Batch(f"other_{n}", "file-x", {}, status="completed")
        return True

    server.rules.lost = lose
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    assert all(j.scores for j in judgments)
    assert server.exchanges.count("POST /batches") == 1
    assert paid_once(server, 4)


def test_a_batch_that_is_not_listed_yet_is_not_made_twice(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    """The answer of the first making is lost, and the list does not know of it for a while."""
    lost = lose_once(server, "POST /batches")
    nothing = Act(200, b'{"object": "list", "data": [], "has_more": false}')
    server.rules.fault = lambda name: nothing if name == "GET /batches" else None
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    assert all(j.scores for j in judgments)
    assert lost
    assert len(server.batches) == 1
    assert paid_once(server, 4)


def test_a_batch_at_another_endpoint_is_none_of_this_ones(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.rules.looks = 10**9
    with open_judge(batch=True) as judge:
        judge.begin(clips(2))
        while "GET /batches/ID" not in server.exchanges:
            time.sleep(0.01)
    with BatchServer() as other:
        there = open_judge(base_url=other.base_url).judge_many(clips(2), progress=False)
        assert all(j.scores for j in there)
        assert not other.exchanges
        assert len(other.requests) == 2


def test_an_id_that_is_a_path_is_not_followed(server: BatchServer, open_judge: OpenJudge) -> None:
    server.rules.fault = lambda name: (
        Act(body=json.dumps({"id": "../../admin?x="}).encode()) if name == "POST /files" else None
    )
    judgments = open_judge(batch=True, deadline=0.5).judge_many(clips(2), progress=False)
    assert all("id in it that is none" in str(j.failure) for j in judgments)
    assert set(server.exchanges) == {"POST /files"}


# ---- what an earlier run left, and the endpoint no longer has ----


def left_out(server: BatchServer, open_judge: OpenJudge, count: int) -> None:
    """Hand a batch in and leave it."""
    server.rules.looks = 10**6
    judge = open_judge(batch=True)
    judge.begin(clips(count))
    while "GET /batches/ID" not in server.exchanges:
        time.sleep(0.01)
    judge.close()
    server.rules.looks = 1


@pytest.mark.parametrize("batch", [True, False])
def test_past_its_judge_s_end_a_batch_is_fetched_and_none_is_handed_in(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, batch: bool
) -> None:
    server.script = own_scores
    left_out(server, open_judge, 5)
    ended = tmp_path / "ended.toml"
    ended.write_text('as_of = "2026-01-01"\n[models."gpt-4o-2024-08-06"]\nshutdown = 2026-11-21\n')
    judge = open_judge(batch=batch, prices=ended, today=date(2026, 11, 28))
    judgments = judge.judge_many(clips(6), progress=False)
    assert [j.scores for j in judgments] == [*(own(n) for n in range(5)), None]
    assert "was shut down on 2026-11-21" in str(judgments[5].failure)
    assert (len(server.batches), len(server.requests)) == (1, 0)


def answer_of(name: str, fault: Act) -> Any:
    return lambda asked: fault if asked == name else None


@pytest.mark.parametrize(
    ("batch", "code"),
    [(False, 404), (False, 403), (False, 400), (False, 422), (True, 404), (True, 410)],
)
def test_a_batch_that_the_endpoint_no_longer_knows_is_closed_and_asked_again(
    server: BatchServer,
    open_judge: OpenJudge,
    capsys: pytest.CaptureFixture[str],
    batch: bool,
    code: int,
) -> None:
    """Deleted (404), or of another project (403)."""
    left_out(server, open_judge, 5)
    (lost,) = server.batches
    server.batches.clear()
    server.script = own_scores
    server.rules.fault = lambda name: (
        act.status(code, "No batch found") if name in {f"GET /v1/batches/{lost}"} else None
    )
    judgments = open_judge(batch=batch).judge_many(clips(5), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(5)]
    assert len(server.requests) == (0 if batch else 5)
    assert paid_once(server, 5)
    said = [line for line in capsys.readouterr().err.splitlines() if "no longer" in line]
    assert len(said) == 1
    assert f"batch {lost} can no longer be had" in said[0]
    assert f"answered {code} (No batch found)" in said[0]
    before = len(server.exchanges)
    open_judge().judge_many(clips(6), progress=False)
    assert len(server.exchanges) == before, "it is not looked for again"


def test_a_batch_that_is_declined_once_and_listed_still_is_waited_for(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    left_out(server, open_judge, 5)
    server.script = own_scores
    server.rules.fault = answer_of("GET /batches/ID", act.status(403, "moved"))
    server.rules.looks = 0
    for batch in server.batches.values():
        server.look(batch)
    judgments = open_judge().judge_many(clips(5), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(5)]
    assert paid_once(server, 5), "by the batch"
    assert not server.requests


@pytest.mark.parametrize("code", [404, 403])
def test_a_batch_that_may_be_listed_still_is_not_paid_for_again(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, code: int
) -> None:
    """It is not known under its id, and the list cannot be had now."""
    left_out(server, open_judge, 2)
    server.script = own_scores
    server.rules.fault = lambda name: (
        act.status(code) if name == "GET /batches/ID" else act.status(503)
    )
    judgments = open_judge(deadline=0.5).judge_many(clips(3), progress=False)
    assert [j.scores for j in judgments] == [None, None, own(2)]
    assert all("run again to collect it" in str(j.failure) for j in judgments[:2])
    assert [closed for _, closed in ledger(tmp_path / "judgments.sqlite3")] == [None]


@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_may_see_no_batches_does_not_stop_single_requests(
    server: BatchServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    left_out(server, open_judge, 3)
    server.script = own_scores
    server.rules.fault = lambda _: act.status(code, "missing scopes")
    judgments = open_judge().judge_many(clips(4), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(4)]
    assert len(server.requests) == 4
    assert capsys.readouterr().err.count("cannot be looked at") == 1
    assert [closed for _, closed in ledger(tmp_path / "judgments.sqlite3")] == [None], "another may"


def test_a_batch_that_cannot_be_asked_about_for_now_is_not_paid_for_again(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    left_out(server, open_judge, 3)
    server.script = own_scores
    server.rules.fault = lambda _: act.status(503)
    judgments = open_judge(deadline=0.5).judge_many(clips(5), progress=False)
    assert [j.scores for j in judgments] == [None] * 3 + [own(3), own(4)]
    assert all("run again to collect it" in str(j.failure) for j in judgments[:3])
    server.rules.fault = lambda _: None
    again = open_judge().judge_many(clips(5), progress=False)
    assert [j.scores for j in again] == [own(n) for n in range(5)]
    assert paid_once(server, 5)


def test_a_batch_is_waited_for_for_two_days(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    left_out(server, open_judge, 3)
    (batch,) = server.batches.values()
    server.rules.looks = batch.looks + 3
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        db.execute("UPDATE batch SET created_at = created_at - 172000")
    judgments = open_judge().judge_many(clips(3), progress=False)
    assert all(j.scores for j in judgments)
    assert not server.requests


@pytest.mark.parametrize("how", ["never ends", "cannot be reached"])
def test_a_batch_of_which_nothing_came_in_two_days_is_given_up(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, how: str
) -> None:
    left_out(server, open_judge, 3)
    server.rules.looks = 10**6
    if how == "cannot be reached":
        server.rules.fault = lambda _: act.status(500)
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        db.execute("UPDATE batch SET created_at = created_at - 172801")
    judgments = open_judge(deadline=0.5).judge_many(clips(3), progress=False)
    assert all(j.scores for j in judgments)
    assert len(server.requests) == 3
    assert [closed for _, closed in ledger(tmp_path / "judgments.sqlite3")] == ["given up"]


@pytest.mark.parametrize("code", ["invalid", "token_limit_exceeded"])
@pytest.mark.parametrize("batch", [False, True])
def test_a_batch_that_failed_after_the_run_left_it_does_not_stop_the_next(
    server: BatchServer,
    open_judge: OpenJudge,
    capsys: pytest.CaptureFixture[str],
    batch: bool,
    code: str,
) -> None:
    left_out(server, open_judge, 3)
    server.rules.problem = "no money"
    for handed_in in server.batches.values():
        server.look(handed_in)
        handed_in.code = code
    server.rules.problem = None
    judgments = open_judge(batch=batch).judge_many(clips(3), progress=False)
    assert all(j.scores for j in judgments)
    assert len(server.requests) == (0 if batch else 3)
    assert "failed as a whole (no money) after an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize("declined_at", ["GET /batches", "POST /batches"])
def test_what_an_endpoint_without_batches_declined_does_not_stop_single_requests(
    server: BatchServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    declined_at: str,
) -> None:
    server.rules.fault = lambda name: (
        act.status(404, "no such path") if name == declined_at else None
    )
    declined = open_judge(batch=True).judge_many(clips(3), progress=False)
    assert all("404" in str(j.failure) for j in declined)
    assert [closed for _, closed in ledger(tmp_path / "judgments.sqlite3")] == [None]
    assert all(j.scores for j in open_judge().judge_many(clips(3), progress=False))


@pytest.mark.parametrize("code", [404, 403])
def test_answers_that_were_deleted_are_asked_again_and_what_they_cost_is_counted(
    server: BatchServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    server.script = own_scores
    server.rules.fault = answer_of("GET /files/ID", act.status(code, "No such File object"))
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(4)]
    assert len(server.requests) == 4
    single = (700 * 2.5 + 18 * 10) / 1e6
    for judgment in judgments:
        assert judgment.usage
        # The lost one by our own count: about 30 tokens of prompt, and 25 of a typical reply.
        assert single + 0.0001 < (judgment.usage.usd or 0) < single + 0.0004
    assert capsys.readouterr().err.count("can no longer be had") == 1


def test_of_answers_that_were_deleted_only_those_that_there_were_are_counted(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    """A batch that expired got to two of four."""
    server.script = own_scores
    server.rules.end, server.rules.done_lines = "expired", 2
    server.rules.fault = answer_of("GET /files/ID", act.status(404, "No such File object"))
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    single = (700 * 2.5 + 18 * 10) / 1e6
    assert [j.scores for j in judgments] == [own(n) for n in range(4)]
    assert sum(j.usage is not None and (j.usage.usd or 0) > single for j in judgments) == 2


def test_a_batch_in_a_state_that_nobody_knows_is_given_up_after_a_while(
    server: BatchServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out(server, open_judge, 3)
    content = next(iter(server.batches.values())).as_json() | {"status": "deleted"}
    server.rules.fault = answer_of("GET /batches/ID", Act(body=json.dumps(content).encode()))
    judgments = open_judge(deadline=0.3).judge_many(clips(3), progress=False)
    assert all(j.scores for j in judgments)
    assert len(server.requests) == 3
    assert "says 'deleted' of it, which is no known state" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["GET /batches/ID", "GET /files/ID"])
def test_what_is_not_known_at_once_is_asked_for_once_more(
    server: BatchServer, open_judge: OpenJudge, name: str
) -> None:
    """What was made a moment ago need not be known to every server of an endpoint."""
    declined: list[str] = []

    def once(exchange: str) -> Act | None:
        if exchange != name or declined:
            return None
        declined.append(exchange)
        return act.status(404, "not yet")

    server.rules.fault = once
    server.script = own_scores
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(4)]
    assert paid_once(server, 4)
    assert not server.requests


def test_what_the_endpoint_says_of_a_batch_shows_no_key_and_no_escapes(
    server: BatchServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = "sk-loopback-0123456789"
    shown: list[str] = []

    def forged(name: str) -> Act | None:
        if name == "GET /batches/ID" and not shown:
            shown.append(name)
            content = next(iter(server.batches.values())).as_json()
            return Act(body=json.dumps(content | {"status": f"\x1b[2J\n{key} done"}).encode())
        return None

    server.rules.fault = forged
    open_judge(batch=True).judge_many(clips(2), progress=False)
    said = capsys.readouterr().err
    assert "done, 0 of 2" in said
    assert key not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("where", ["not there", "failed", "no room", "declined"])
def test_why_a_batch_came_to_nothing_is_said_without_the_key_and_escapes(
    server: BatchServer,
    open_judge: OpenJudge,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    key = "sk-loopback-0123456789"
    words = f"\x1b[2J of {key} and sk-loo***6789"
    if where == "not there":
        nothing = Act(200, b'{"object": "list", "data": [], "has_more": false}')
        answers = {"GET /batches": nothing, "GET /batches/ID": act.status(404, words)}
        server.rules.fault = answers.get
    elif where == "failed":
        server.rules.problem = words
    else:
        code = {"no room": "token_limit_exceeded", "declined": "invalid"}[where]
        fault = act.status(400, words, error_code=code)
        server.rules.fault = answer_of("POST /batches", fault)
    judgments = open_judge(batch=True).judge_many(clips(2), progress=False)
    said = capsys.readouterr().err + caplog.text + "".join(str(j.failure) for j in judgments)
    said = said.replace(server.base_url.removeprefix("http://"), "")  # a port may have its digits
    assert "[redacted]" in said
    assert key not in said
    assert "6789" not in said
    assert "\x1b" not in said


def test_an_id_with_the_key_in_it_is_not_kept(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    key = "sk-loopback-0123456789"
    server.rules.fault = lambda name: (
        Act(body=json.dumps({"id": f"file-{key}"}).encode()) if name == "POST /files" else None
    )
    judge = open_judge(batch=True, deadline=0.3)
    assert all("id in it that is none" in str(j.failure)
               for j in judge.judge_many(clips(2), progress=False))  # fmt: skip
    judge.close()
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_rows_of_batches_that_somebody_has_changed_are_ignored_with_a_line(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "judgments.sqlite3"
    open_judge(batch=True).judge_many(clips(1), progress=False)
    endpoint = server.base_url.removeprefix("http://")
    good = ("0" * 32, endpoint, "0" * 64, json.dumps(["0" * 64]), None, "batch_1", None, 1e9)
    odd: list[tuple[int, Any]] = [
        (0, "short"), (3, "no JSON"), (3, "[1]"), (3, "null"), (3, b"\xff"),
        (5, "../files"), (4, b"x"), (7, "yesterday"),
    ]  # fmt: skip
    with sqlite3.connect(store) as db:
        for number, (column, value) in enumerate(odd):
            row = [f"{number:032x}", *good[1:]]
            row[column] = value
            db.execute(f"INSERT INTO batch VALUES ({', '.join('?' * 8)})", row)  # noqa: S608
    judgments = open_judge().judge_many(clips(3), progress=False)
    assert all(j.scores for j in judgments)
    assert caplog.text.count("are ignored") == 1


# ---- a queue that is too small ----


def test_a_batch_larger_than_the_queue_is_split_and_handed_in_one_after_another(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.script = own_scores
    server.rules.queue = 6
    judgments = open_judge(batch=True).judge_many(clips(20), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(20)]
    assert not server.requests, "at the price of batches"
    assert paid_once(server, 20)


def test_a_batch_that_is_declined_for_lack_of_room_is_split_and_is_out_no_longer(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    """Where the queue is looked at before a batch is made."""
    server.script = own_scores
    declined: list[str] = []

    def full(name: str) -> Act | None:
        if name != "POST /batches" or declined:
            return None
        declined.append(name)
        return act.status(429, "Enqueued token limit", error_code="token_limit_exceeded")

    server.rules.fault = full
    judgments = open_judge(batch=True).judge_many(clips(8), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(8)]
    assert [batch.total for batch in server.batches.values()] == [4, 4]
    assert paid_once(server, 8)
    assert not server.requests
    closed = [how for _, how in ledger(tmp_path / "judgments.sqlite3")]
    assert closed == ["no room in the queue", "completed", "completed"]


def test_a_queue_that_takes_nothing_is_one_sentence(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.rules.queue, server.rules.queue_words = 0, "Limit: 90,000 enqueued tokens"
    judgments = open_judge(batch=True).judge_many(clips(4), progress=False)
    (failure,) = {j.failure for j in judgments}
    assert failure is not None
    assert "no room in the account's queue" in failure
    assert "Limit: 90,000 enqueued tokens" in failure
    assert [batch.total for batch in server.batches.values()] == [4, 2, 1]
    assert not server.paid


def test_a_run_killed_between_the_parts_of_a_split_batch_pays_nothing_twice(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    server.script = own_scores
    server.rules.queue = 3
    running: list[subprocess.Popen[str]] = []
    killed: list[int] = []

    def kill(name: str) -> bool:
        if name != "GET /files/ID" or server.exchanges.count(name) < 2 or killed:
            return False
        running[0].send_signal(signal.SIGKILL)
        killed.append(running[0].wait())
        return True

    server.rules.lost = kill
    running.append(start(server, store, 12))
    running[0].communicate(timeout=60)
    assert killed == [-signal.SIGKILL]
    assert len(server.paid) == 6
    judgments = open_judge(store=store, batch=True).judge_many(clips(12), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(12)]
    assert paid_once(server, 12)
    assert not server.requests


# ---- money ----


def test_where_answers_might_not_fit_the_disk_no_batch_is_handed_in(
    server: BatchServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = open_judge(batch=True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 30, 1 << 30, 5 << 20))
    judgments = judge.judge_many(clips(3), progress=False)
    assert all("has no room (its disk has 5 MB left)" in str(j.failure) for j in judgments)
    assert not server.exchanges
    assert not server.requests


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


def test_replies_of_a_batch_that_cannot_be_read_are_in_what_was_spent(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    """Half of the lines say nothing that can be read, a quarter is no completion, but billed."""
    parts = json.loads(act.text("").body or b"")
    parts["choices"] = [{"message": {"content": [{"type": "image", "url": "x"}]}}]
    server.script = lambda asked: (
        own_scores(asked)
        if asked.authorization or number(asked.body) % 4 == 3
        else Act(body=json.dumps(parts).encode())
        if number(asked.body) % 4 == 2
        else act.text("I cannot grade this.")
    )
    judgments = open_judge(batch=True).judge_many(clips(8), progress=False)
    assert [j.scores for j in judgments] == [own(n) for n in range(8)]
    single = (700 * 2.5 + 18 * 10) / 1e6
    assert [j.usage and j.usage.usd for j in judgments] == pytest.approx(
        [single * (0.5 if n % 4 == 3 else 1.5) for n in range(8)]
    )
    assert [j.attempts for j in judgments] == [1 if n % 4 == 3 else 2 for n in range(8)]
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        (usd,) = db.execute("SELECT SUM(usd) FROM reply").fetchone()
    assert usd == pytest.approx(single * (8 * 0.5 + 6))


@pytest.mark.parametrize("end", ["budget", "refused"])
def test_what_a_batch_cost_is_counted_where_it_could_not_be_asked_again(
    server: BatchServer, open_judge: OpenJudge, end: str
) -> None:
    server.script = lambda asked: (
        act.status(401) if asked.authorization else act.text("I cannot grade this.")
    )
    budget = {"budget": 0.0031} if end == "budget" else {}
    judgments = open_judge(batch=True, **budget).judge_many(clips(2), progress=False)
    assert all(j.scores is None for j in judgments)
    batched = (700 * 2.5 + 18 * 10) / 1e6 / 2
    assert [j.usage and j.usage.usd for j in judgments] == pytest.approx([batched] * 2)
    assert all(("UGC_JUDGE_BUDGET" if end == "budget" else "401") in str(j.failure)
               for j in judgments)  # fmt: skip


def test_what_a_batch_cost_is_counted_for_clips_that_a_refusal_kept_from_being_asked(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: (
        act.status(401) if asked.authorization else act.text("I cannot grade this.")
    )
    judgments = open_judge(batch=True, concurrency=1).judge_many(clips(6), progress=False)
    assert len(server.requests) < 6, "most were not asked again"
    batched = (700 * 2.5 + 18 * 10) / 1e6 / 2
    assert [j.usage and j.usage.usd for j in judgments] == pytest.approx([batched] * 6)


def test_a_reply_that_is_the_same_as_an_earlier_one_is_paid_for_again(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    server.script = lambda _: act.text("I cannot grade this.")
    open_judge(attempts=1).judge_many(clips(2), progress=False)
    judgments = open_judge(batch=True, attempts=1).judge_many(clips(2), progress=False)
    single = (700 * 2.5 + 18 * 10) / 1e6
    assert [j.usage and j.usage.usd for j in judgments] == pytest.approx([1.5 * single] * 2)
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        assert db.execute("SELECT COUNT(*) FROM reply").fetchone() == (6,)


def test_what_was_set_aside_for_a_batch_is_there_for_single_requests_afterwards(
    server: BatchServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: (
        own_scores(asked) if asked.authorization else act.text("I cannot grade this.")
    )
    judge = open_judge(batch=True, budget=0.008)
    judge.begin(clips(2))
    futures = [judge.submit(item) for item in clips(2)]
    assert [future.result(timeout=60).scores for future in futures] == [own(0), own(1)]


def test_a_resumed_batch_counts_each_unreadable_reply_once(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    """The run that collected it ended before it could write down that it had."""
    server.script = lambda asked: (
        own_scores(asked) if asked.authorization else act.text("I cannot grade this.")
    )
    open_judge(batch=True).judge_many(clips(3), progress=False)
    store = tmp_path / "judgments.sqlite3"
    with sqlite3.connect(store) as db:
        db.execute("UPDATE batch SET closed = NULL")
        db.execute("DELETE FROM reply WHERE failure IS NULL")
    open_judge().judge_many(clips(3), progress=False)
    with sqlite3.connect(store) as db:
        assert db.execute("SELECT COUNT(*) FROM reply").fetchone() == (6,)


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


def kill_while_it_waits(server: BatchServer, store: Path, count: int) -> None:
    """Leave a batch of so many clips out, whose run is killed; from now on it may end."""
    server.rules.looks = 10**6
    process = start(server, store, count)
    while "GET /batches/ID" not in server.exchanges:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    server.rules.looks = 0


def test_a_batch_that_is_out_is_waited_for_in_the_other_mode_too(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    store = tmp_path / "judgments.sqlite3"
    kill_while_it_waits(server, store, 6)
    judgments = open_judge(store=store).judge_many(clips(8), progress=False)
    assert all(j.scores for j in judgments)
    assert sorted(number(asked.body) for asked in server.requests) == [6, 7]


@pytest.mark.parametrize("batch", [True, False])
def test_what_is_asked_before_all_is_known_waits_for_a_batch_that_is_out(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path, batch: bool
) -> None:
    """lmms-eval has single documents scored before it is known which others there are."""
    store = tmp_path / "judgments.sqlite3"
    kill_while_it_waits(server, store, 6)
    judge = open_judge(store=store, batch=batch)
    first = judge.submit(clips(8)[0])
    assert first.result(timeout=60).scores
    assert not server.requests, "it was in the batch"
    assert len(server.batches) == 1, "and no other one was made for it"
    assert all(j.scores for j in judge.judge_many(clips(8), progress=False))
    assert paid_once(server, 8)


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


def test_two_that_decide_at_once_hand_each_judgment_in_once(
    server: BatchServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for room on the disk between what is missing and handing it in."""
    both, disk_usage = threading.Barrier(2), shutil.disk_usage

    def meet(path: Path) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(2)
        return disk_usage(path)

    monkeypatch.setattr(shutil, "disk_usage", meet)
    judges = [open_judge(batch=True) for _ in range(2)]
    threads = [threading.Thread(target=judge.begin, args=(clips(6),)) for judge in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    futures = [judge.submit(item) for judge in judges for item in clips(6)]
    assert all(future.result(timeout=120).scores for future in futures)
    assert [batch.total for batch in server.batches.values()] == [6]
    assert paid_once(server, 6)


def test_two_that_resume_a_batch_at_once_collect_it_once(
    server: BatchServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    left_out(server, open_judge, 3)
    server.script = lambda asked: (
        own_scores(asked) if asked.authorization else act.text("I cannot grade this.")
    )
    both = threading.Barrier(2)

    def meet(name: str) -> None:
        if name == "GET /files/ID":
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(2)

    server.rules.fault = meet
    judges = [open_judge() for _ in range(2)]
    for judge in judges:
        judge.begin(clips(3))
    futures = [judge.submit(item) for judge in judges for item in clips(3)]
    assert all(future.result(timeout=120).scores for future in futures)
    assert server.exchanges.count("GET /files/ID") == 1
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        assert db.execute("SELECT COUNT(*) FROM reply").fetchone() == (6,), "unread and read"


def test_answers_may_be_many_and_take_long(server: BatchServer, open_judge: OpenJudge) -> None:
    """Longer than a single one may be, and than it may take."""
    server.script = lambda asked: act.body(
        act.completion("{'visual': 4, 'audio': 3, 'details': 4}", padding="x" * 700_000)
    )

    def slow(name: str) -> None:
        if name in {"POST /files", "GET /files/ID"}:
            time.sleep(2.5)

    server.rules.fault = slow
    judgments = open_judge(batch=True, timeout=1.0).judge_many(clips(2), progress=False)
    assert [j.scores for j in judgments] == [grades(4, 3, 4)] * 2
    assert not server.requests


def test_many_requests_are_split_by_the_limits(
    server: BatchServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugc_tasks.judge.transport.batch_api.MAX_REQUESTS", 4)
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
