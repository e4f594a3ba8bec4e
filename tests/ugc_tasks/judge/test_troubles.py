"""What goes wrong midway, and is said: money, key, disk, clock, judge. Nothing paid is lost."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.cost import budget_of
from ugc_tasks.judge.parsing import ResponseSchema, read_reply
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.types import ChatReply, Judgment, Scores

EACH = (700 * 2.5 + 18 * 10) / 1e6
"""US dollars of a judgment of the loopback judge, at the package's prices."""


def spent(judgments: list[Judgment]) -> float:
    return sum(j.usage.usd or 0 for j in judgments if j.usage and not j.stored)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---- money ----


def test_what_it_will_take_is_said_before_the_first_request(
    server: JudgeServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []

    def script(_: Asked) -> Act:
        heard.append(capsys.readouterr().err)
        return act.scores()

    open_judge().judge_many(clips(3), progress=False)
    capsys.readouterr()
    server.script = script
    open_judge(budget=1.0).judge_many(clips(9), progress=False)
    assert "9 judgments are needed, 3 are stored, 6 are to be asked for" in heard[0]
    assert "$" in heard[0]
    assert "the budget is $1" in heard[0]


@pytest.mark.parametrize("budget", [0.004, 0.02, 0.05])
def test_a_budget_is_not_passed_and_what_it_bought_is_kept(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture, budget: float
) -> None:
    server.script = lambda _: act.scores(delay=0.01)
    # What is not answered in time may have to be paid for: not on a busy machine.
    first = open_judge(budget=budget, timeout=60.0).judge_many(clips(60), progress=False)
    judged = [j for j in first if j.scores]
    assert spent(first) == pytest.approx(len(judged) * EACH)
    assert budget - 3 * EACH < spent(first) <= budget, "neither passed nor left unused"
    assert len(server.requests) == len(judged)
    reasons = {j.failure for j in first if not j.scores}
    assert len(reasons) == 1
    assert "UGC_JUDGE_BUDGET" in str(*reasons)
    assert sum("UGC_JUDGE_BUDGET" in line for line in said(caplog)) == 1

    again = open_judge(budget=10.0).judge_many(clips(60), progress=False)
    assert all(j.scores for j in again)
    assert {j.video_id for j in again if j.stored} == {j.video_id for j in judged}
    assert len(server.requests) == 60


def test_judges_of_one_process_share_a_budget(server: JudgeServer, open_judge: OpenJudge) -> None:
    judges = [
        open_judge(budget=0.02, profile=paper_profile(f"Grade {name}.")) for name in ("a", "b")
    ]
    judgments = [j for judge in judges for j in judge.judge_many(clips(8), progress=False)]
    assert 0 < spent(judgments) <= 0.02
    assert any(j.failure for j in judgments)


def test_a_budget_without_a_price_is_refused_before_anything_is_asked(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    profile = paper_profile("Grade.", "my/model")
    with pytest.raises(JudgeConfigError, match=r"UGC_JUDGE_BUDGET.*'my/model'.*UGC_JUDGE_PRICES"):
        open_judge(profile=profile, budget=1.0)
    table = tmp_path / "prices.toml"
    table.write_text('as_of = "2031-01-01"\n[models."my/model"]\ninput = 1\noutput = 1\n')
    judge = open_judge(profile=profile, budget=1.0, prices=table)
    (judgment,) = judge.judge_many(clips(1), progress=False)
    assert judgment.usage is not None
    assert judgment.usage.usd == 718 / 1e6
    with pytest.raises(JudgeConfigError, match=r"UGC_JUDGE_PRICES: .*nowhere"):
        open_judge(prices=tmp_path / "nowhere")


def test_every_reply_that_was_paid_is_on_the_bill_also_those_that_did_not_parse(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.scores() if asked.seen == 2 else act.text("?")
    (judgment,) = open_judge().judge_many(clips(1), progress=False)
    assert judgment.usage is not None
    assert judgment.usage.prompt_tokens == 3 * 700
    assert judgment.usage.usd == pytest.approx(3 * EACH)


def test_what_is_stored_says_what_it_cost_then(server: JudgeServer, open_judge: OpenJudge) -> None:
    open_judge().judge_many(clips(2), progress=False)
    again = open_judge().judge_many(clips(2), progress=False)
    assert [j.usage.usd for j in again if j.usage and j.stored] == [EACH, EACH]


def test_what_is_declined_costs_nothing_of_the_budget(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    server.script = [act.status(503), act.too_many(), act.scores()]
    judge = open_judge(budget=1.0)
    assert judge.judge_many(clips(1), progress=False)[0].scores
    assert budget_of(tmp_path / "judgments.sqlite3", 1.0).spent == pytest.approx(EACH)


def test_who_waits_for_room_when_the_key_is_refused_costs_nothing_of_the_budget(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    server.script = lambda _: replace(act.status(401), delay=0.2)
    judgments = open_judge(budget=2.0, concurrency=4).judge_many(clips(4), progress=False)
    assert all("401" in str(judgment.failure) for judgment in judgments)
    assert len(server.requests) == 1, "they are not sent when there is room"
    assert budget_of(tmp_path / "judgments.sqlite3", 2.0).spent == 0.0


@pytest.mark.parametrize("fault", [act.hang(), act.cut_off()], ids=["hang", "cut"])
def test_a_request_that_may_have_been_answered_counts_as_paid_for(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path, fault: Act
) -> None:
    server.script = [fault, act.scores()]
    (judgment,) = open_judge(budget=1.0, timeout=1.0).judge_many(clips(1), progress=False)
    assert judgment.scores
    assert len(server.requests) == 2
    spent_so_far = budget_of(tmp_path / "judgments.sqlite3", 1.0).spent
    assert EACH + 0.0002 < spent_so_far < 2 * EACH, "by our count, which is lower than this judge's"


@pytest.mark.parametrize(
    "fault",
    [act.status(400, "content policy"), act.status(403, "Not you"), act.status(404),
     Act(200, b"<html>Log in</html>")],
    ids=lambda fault: f"{fault.status}",
)  # fmt: skip
def test_a_request_that_no_model_answered_costs_nothing_of_the_budget(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path, fault: Act
) -> None:
    server.script = [fault]
    (judgment,) = open_judge(budget=1.0).judge_many(clips(1), progress=False)
    assert judgment.failure
    assert budget_of(tmp_path / "judgments.sqlite3", 1.0).spent == 0.0


def test_a_request_that_never_left_costs_nothing_of_the_budget(
    open_judge: OpenJudge, tmp_path: Path
) -> None:
    with JudgeServer() as closed:
        pass
    judge = open_judge(budget=1.0, base_url=closed.base_url)
    (judgment,) = judge.judge_many(clips(1), progress=False)
    assert "nothing listens" in str(judgment.failure)
    assert budget_of(tmp_path / "judgments.sqlite3", 1.0).spent == 0.0


# ---- an endpoint that cannot ----


def test_a_server_that_asks_for_time_gets_it_from_all(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    """Also from clips that it has not been asked about."""
    came: list[float] = []

    def script(asked: Asked) -> Act:
        came.append(time.monotonic())
        return act.too_many("0.9") if asked.number == 0 else act.scores()

    server.script = script
    assert all(j.scores for j in open_judge(concurrency=1).judge_many(clips(4), progress=False))
    assert len(came) == 5
    assert min(came[1:]) - came[0] >= 0.9


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (act.status(503), "3 clips in a row: the judge is not reachable"),
        (Act(200, b"<html>Log in</html>"), "3 clips in a row: what answers is not a judge"),
        (act.status(403, "Not you"), "3 clips in a row: the judge declines everything"),
    ],
)
def test_what_three_clips_in_a_row_met_is_not_tried_with_all_others(
    server: JudgeServer, open_judge: OpenJudge, fault: Act, verdict: str
) -> None:
    server.script = [fault]
    judge = open_judge(concurrency=1, deadline=0.3)
    failures: list[str] = []
    for item in clips(5):  # one after another: nothing else is on the wire
        (judgment,) = judge.judge_many([item], progress=False)
        failures.append(str(judgment.failure))
    assert [verdict in failure for failure in failures] == [False, False, True, True, True]


def test_failures_of_different_kinds_are_bad_luck_and_no_row(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    faults = [act.status(403, "Not you"), Act(200, b"<html>Log in</html>")]
    server.script = lambda asked: faults[asked.number % 2]
    judgments = open_judge(concurrency=1).judge_many(clips(8), progress=False)
    assert all(j.failure for j in judgments)
    assert len(server.requests) == 8


# ---- a fault of ours ----


def test_a_fault_of_ours_costs_one_clip_and_is_seen(
    server: JudgeServer,
    open_judge: OpenJudge,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ugc_tasks.judge import worker

    def read(reply: ChatReply, form: ResponseSchema) -> Scores:
        if "5" in reply.text:
            raise ZeroDivisionError
        return read_reply(reply, form)

    monkeypatch.setattr(worker, "read_reply", read)
    server.script = lambda asked: act.scores(5) if "clip-1" in asked.user else act.scores(4)
    judgments = open_judge().judge_many(clips(3), progress=False)
    assert [j.failure for j in judgments] == [None, "internal error (ZeroDivisionError)", None]
    assert "judging clip-1 failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_nothing_of_a_judge_that_was_closed_is_open(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    def opened() -> list[str]:
        names = map(os.path.realpath, Path("/proc/self/fd").iterdir())
        return [str(name) for name in names if str(name).startswith(str(tmp_path))]

    judge = open_judge()
    judge.judge_many(clips(2), progress=False)
    assert opened()
    judge.close()
    assert not opened()


_FORK = """
import os, sys
from pathlib import Path
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.judge import Judge
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.settings import JudgeSettings

settings = JudgeSettings(Path(sys.argv[1]), base_url=sys.argv[2], api_key="sk-fork-0123456789")
judge = Judge(paper_profile("Grade."), settings)
assert judge.submit(clips(1)[0]).result().scores
child = os.fork()
judge.close()
if child:
    _, status = os.waitpid(child, 0)
    print("both ended", status)
"""


def test_a_fork_can_end_although_nobody_answers_it(server: JudgeServer, tmp_path: Path) -> None:
    """The judge's thread is its parent's."""
    command = [sys.executable, "-c", _FORK, str(tmp_path / "store"), server.base_url]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    assert done.stdout == "both ended 0\n", done.stderr


# ---- the key ----


def test_a_key_that_expires_midway_is_one_message_and_no_storm(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda asked: (
        act.scores(delay=0.02) if asked.number < 25 else act.status(401, "expired")
    )
    judgments = open_judge(concurrency=16).judge_many(clips(200), progress=False)
    assert sum(j.scores is not None for j in judgments) == 25
    assert len(server.requests) <= 25 + 3 * 16, "those under way, who came next, and one more try"
    failures = {j.failure for j in judgments if j.failure}
    assert len(failures) == 1
    assert "OPENAI_API_KEY" in str(*failures)
    assert sum("OPENAI_API_KEY" in line for line in said(caplog)) == 1


# ---- the disk ----


def test_a_store_that_fills_up_loses_no_reply_of_this_run_and_stops_the_spending(
    server: JudgeServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite's own SQLITE_FULL: the file may not grow by more than a few pages."""
    connect = sqlite3.connect

    def small(*args: object, **kwargs: object) -> sqlite3.Connection:
        db = connect(*args, **kwargs)  # type: ignore[call-overload]
        db.execute("PRAGMA max_page_count = 20")
        return db

    padding = "x" * 3000
    server.script = lambda _: act.text(f"{{'visual': 4, 'audio': 3, 'details': 4}} {padding}")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        judge = open_judge(concurrency=4)
        judgments = judge.judge_many(clips(60), progress=False)
        judge.close()
    scored = [j for j in judgments if j.scores]
    assert len(scored) == len(server.requests) < 60, "whatever was paid for is in the results"
    reasons = {j.failure for j in judgments if j.failure}
    assert len(reasons) == 1
    assert "has no room" in str(*reasons)
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        (kept,) = db.execute("SELECT COUNT(*) FROM reply").fetchone()
    lost = len(scored) - kept
    assert 1 <= lost <= 4, "those that were under way"
    assert sum("what is under way is in this run's results" in line for line in said(caplog)) == 1

    again = open_judge().judge_many(clips(60), progress=False)
    assert all(j.scores for j in again)
    assert len(server.requests) == 60 + lost


def test_a_disk_that_is_nearly_full_is_noticed_before_anything_is_paid(
    server: JudgeServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = open_judge()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 30, 1 << 30, 5 << 20))
    judgments = judge.judge_many(clips(3), progress=False)
    assert all("has no room (its disk has 5 MB left)" in str(j.failure) for j in judgments)
    assert not server.requests


# ---- the clock ----


def test_a_clock_that_jumps_changes_nothing(
    server: JudgeServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    monkeypatch.setattr(time, "time", lambda: chance.uniform(-1e9, 4e9))
    server.script = lambda asked: act.too_many("0.05") if asked.seen == 0 else act.scores()
    first = open_judge().judge_many(clips(20), progress=False)
    second = open_judge().judge_many(clips(20), progress=False)
    assert all(j.scores for j in first)
    assert all(j.stored for j in second)
    assert len(server.requests) == 40


# ---- the judge ----


def test_a_judge_that_changes_midway_is_recorded_and_said_once(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    def script(asked: Asked) -> Act:
        body = (act.scores().body or b"").replace(b"fp_loopback", b"fp_%d" % (asked.number // 8))
        return Act(body=body)

    server.script = script
    judgments = open_judge(concurrency=1).judge_many(clips(24), progress=False)
    assert [j.fingerprint for j in judgments] == ["fp_0"] * 8 + ["fp_1"] * 8 + ["fp_2"] * 8
    changes = [line for line in said(caplog) if "the judge changed while judging" in line]
    assert len(changes) == 1
    assert "loopback-judge-1 fp_0 and loopback-judge-1 fp_1" in changes[0]


def test_a_judge_that_changed_since_the_stored_judgments_is_said_too(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    open_judge().judge_many(clips(2), progress=False)
    server.script = lambda _: Act(body=(act.scores().body or b"").replace(b"fp_loop", b"fp_new"))
    open_judge().judge_many(clips(4), progress=False)
    assert any("fp_loopback and loopback-judge-1 fp_newback" in line for line in said(caplog))


def test_the_same_judge_elsewhere_is_another_judge(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    with JudgeServer() as elsewhere:
        here = open_judge()
        there = open_judge(base_url=elsewhere.base_url)
        here.judge_many(clips(2), progress=False)
        judgments = there.judge_many(clips(2), progress=False)
        assert not any(j.stored for j in judgments)
        assert len(elsewhere.requests) == len(server.requests) == 2
        assert here.label != there.label
        assert here.label.endswith(f"@{here.describe()['endpoint']}")
