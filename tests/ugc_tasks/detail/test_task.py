"""Background and objects as lmms-eval loads them and a judge on loopback judges them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.judge_server import Act, Asked, JudgeServer, junk, text
from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome

BACKGROUND, OBJECTS = "ugc_videocap_background", "ugc_videocap_objects"


def replies(key: str, *values: object) -> dict[str, Act]:
    """Return the judge's replies to ``answer 0.``, ``answer 1.``, ..."""
    return {f"answer {i}.": text(json.dumps({key: value})) for i, value in enumerate(values)}


def by_answer(acts: dict[str, Act]) -> Callable[[Asked], Act]:
    def script(asked: Asked) -> Act:
        (act,) = [act for answer, act in acts.items() if answer in asked.user]
        return act

    return script


def answers(count: int) -> list[str]:
    return [f"This is answer {i}." for i in range(count)]


def test_the_background_is_right_or_not(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_full_home(4)
    judge_server.script = by_answer(replies("consistent", "yes", "no", "YES", "yes"))
    task = load_task(BACKGROUND)
    rows = scored(task, answers(4))
    assert [row["background"] for row in rows] == [100, 0, 100, 100]
    metrics = reported(task, rows)
    assert metrics["background"] == 75.0
    assert metrics["overall"] == {"columns": 1, "of": 8, "mean": 75.0}
    assert (metrics["n"], metrics["failure"], metrics["coverage"]) == (4, {}, 1.0)
    assert len(judge_server.requests) == 4


def test_objects_have_the_share_that_was_found(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_full_home(4)
    judge_server.script = by_answer(replies("match_score", 0.5, "3/4", 0, 1))
    task = load_task(OBJECTS)
    rows = scored(task, answers(4))
    assert [row["objects"] for row in rows] == [50, 75, 0, 100]
    assert reported(task, rows)["objects"] == 56.25


@pytest.fixture
def load_soon_failing(load_task: LoadTask, monkeypatch: pytest.MonkeyPatch) -> LoadTask:
    """Load a task whose judge gets one attempt."""
    monkeypatch.setenv("UGC_JUDGE_ATTEMPTS", "1")
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "2")
    return load_task


@pytest.mark.parametrize(
    ("task_name", "acts"),
    [
        (BACKGROUND, (text('{"consistent": "yes"}'), text('{"consistent": "maybe"}'))),
        (OBJECTS, (text('{"match_score": 1}'), text('{"match_score": 1.5}'))),
        (OBJECTS, (text('{"match_score": 1}'), junk())),
    ],
    ids=["no yes and no no", "no fraction", "no reply"],
)
def test_what_the_judge_failed_on_has_no_score_and_is_counted(
    load_soon_failing: LoadTask,
    make_full_home: MakeHome,
    judge_server: JudgeServer,
    task_name: str,
    acts: tuple[Act, Act],
) -> None:
    make_full_home(3)
    good, bad = acts
    metric = task_name.removeprefix("ugc_videocap_")
    judge_server.script = by_answer({"answer 0.": good, "answer 1.": bad, "answer 2.": good})
    task = load_soon_failing(task_name)
    rows = scored(task, answers(3))
    assert [row[metric] for row in rows] == [100, None, 100]
    assert [row["failure"] and row["failure"]["kind"] for row in rows] == [None, "judge", None]
    metrics = reported(task, rows)
    assert (metrics[metric], metrics["n"], metrics["failure"]) == (100.0, 2, {"judge": 1})
    assert metrics["coverage"] == pytest.approx(2 / 3)
    assert metrics["overall"] == {"columns": 1, "of": 8, "mean": 100.0}


def test_an_answer_that_there_is_none_of_is_the_models_failure_and_costs_nothing(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_full_home(2)
    judge_server.script = by_answer(replies("consistent", "yes"))
    task = load_task(BACKGROUND)
    rows = scored(task, ["This is answer 0.", "  "])
    metrics = reported(task, rows)
    assert (metrics["failure"], metrics["n"]) == ({"answer": 1}, 1)
    assert len(judge_server.requests) == 1


@pytest.mark.parametrize("task_name", [BACKGROUND, OBJECTS])
def test_the_free_judge_leaves_them_unscored_and_says_why(
    load_task: LoadTask, make_full_home: MakeHome, task_name: str
) -> None:
    make_full_home(2)
    task = load_task(task_name)
    rows = scored(task, answers(2))
    metrics = reported(task, rows)
    question = task_name.removeprefix("ugc_videocap_")
    assert rows[0]["judge"]["label"] == f"none: no offline estimate of {question}"
    assert (metrics["n"], metrics["failure"]) == (0, {})
    assert metrics[question] is metrics["overall"] is None
