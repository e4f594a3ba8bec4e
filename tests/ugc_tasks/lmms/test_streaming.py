"""Judging begins with the first answer; scoring finds what was judged and asks for the rest."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import JudgeServer
from tests.support.lmms_scoring import scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome

Load = Callable[[], Any]


class Told(str):
    """An answer as our model gives it."""

    generation: dict[str, Any]


@pytest.fixture
def load(load_task: LoadTask) -> Load:
    return lambda: load_task("ugc_videocap")


def conversations(task: Any) -> list[Any]:
    return [task.doc_to_messages(doc) for doc in task.test_docs()]


def settled(server: JudgeServer, count: int) -> None:
    server.wait_for(count)
    while server.at_once:
        time.sleep(0.01)


def test_what_a_model_gets_is_a_list_like_any_other(
    load: Load, make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home(1)
    (messages,) = conversations(load())
    assert isinstance(messages, list)
    assert messages[0]["role"] == "user"
    assert json.loads(json.dumps(messages)) == messages
    assert type(pickle.loads(pickle.dumps(messages))) is list  # noqa: S301  # our own bytes
    assert copy.deepcopy(messages) == messages


def test_answers_are_judged_before_the_last_is_there_and_scoring_pays_for_the_rest_only(
    load: Load, make_home: MakeHome, judge_server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_server.script = lambda _: act.scores(5, 4, 3)
    make_home(6)
    task = load()
    for number, messages in list(enumerate(conversations(task)))[:4]:
        messages.answered(f" <think>hm</think> Caption {number}. ", among=5)
    settled(judge_server, 4)
    said = capsys.readouterr().err
    assert said.count("judging begins while answers are made") == 1
    assert "5 judgments are needed" in said, "as many as there will be answers, not clips"
    rows = scored(task, [f" <think>hm</think> Caption {number}. " for number in range(6)])
    assert [row["visual"] for row in rows] == [100.0] * 6
    assert len(judge_server.requests) == 6
    assert len({asked.raw for asked in judge_server.requests}) == 6
    stored = [each["stored"] for row in rows for each in row["judge"]["judgments"]]
    assert stored == [False] * 6, "all of it was paid for in this run"


def test_what_failed_early_is_not_paid_for_again(
    load: Load, make_home: MakeHome, judge_server: JudgeServer
) -> None:
    judge_server.script = [act.text("I cannot say.")]
    make_home(1)
    task = load()
    conversations(task)[0].answered("Caption.", among=1)
    settled(judge_server, 3)
    (row,) = scored(task, ["Caption."])
    assert row["failure"]["kind"] == "judge"
    assert len(judge_server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "generation"),
    [("", None), (" \n", {}), ("Half a caption", {"error": "the clip is broken"})],
)
def test_what_is_no_answer_is_not_judged(
    load: Load,
    make_home: MakeHome,
    judge_server: JudgeServer,
    answer: str,
    generation: dict[str, Any] | None,
) -> None:
    make_home(2)
    first, second = conversations(load())
    told = Told(answer)
    told.generation = generation or {}
    first.answered(told, among=2)
    second.answered("A caption.", among=2)
    settled(judge_server, 1)
    assert len(judge_server.requests) == 1


@pytest.mark.parametrize(
    "setting",
    [
        ("UGC_JUDGE_EARLY", "0"),
        ("UGC_JUDGE_MODE", "batch"),
        ("UGC_JUDGE_PROFILE", "offline"),
        ("UGC_JUDGE_PROFILE", "none"),
    ],
)
def test_it_can_be_switched_off_and_is_where_it_makes_no_sense(
    load: Load,
    make_home: MakeHome,
    judge_server: JudgeServer,
    monkeypatch: pytest.MonkeyPatch,
    setting: tuple[str, str],
) -> None:
    monkeypatch.setenv(*setting)
    make_home(1)
    conversations(load())[0].answered("A caption.", among=1)
    time.sleep(0.3)
    assert not judge_server.requests


def test_the_budget_holds_early_too(
    load: Load, make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_JUDGE_BUDGET", "0.015")
    make_home(20)
    task = load()
    for number, messages in enumerate(conversations(task)):
        messages.answered(f"Caption {number}.", among=20)
    rows = scored(task, [f"Caption {number}." for number in range(20)])
    judged = [row for row in rows if row["n"]]
    assert 0 < len(judged) == len(judge_server.requests) < 20
    assert len(judged) * (700 * 2.5 + 18 * 10) / 1e6 <= 0.015
    assert all("UGC_JUDGE_BUDGET" in row["failure"]["reason"] for row in rows if not row["n"])


def test_a_fault_in_judging_never_ends_the_generation(
    load: Load,
    make_home: MakeHome,
    judge_server: JudgeServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_home(1)
    (messages,) = conversations(load())
    monkeypatch.setenv("UGC_JUDGE_BUDGET", "ten")
    messages.answered("A caption.", among=1)
    assert "UGC_JUDGE_BUDGET" in caplog.text
