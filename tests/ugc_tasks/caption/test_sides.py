"""Captions of one side alone: judged as captions are, and no part of the published table."""

from __future__ import annotations

import pytest

from tests.support.judge_server import JudgeServer, scores
from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome

SIDES = {"audio": 40.0, "visual": 100.0}
each = pytest.mark.parametrize("side", SIDES)


@each
def test_one_dimension_is_the_tasks_figure_and_no_other_is_there(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer, side: str
) -> None:
    make_full_home(2)
    judge_server.script = lambda _: scores(5, 2, 1)
    task = load_task(f"ugc_videocap_{side}_caption")
    rows = scored(task, ["A caption.", "Another."])
    metrics = reported(task, rows)
    assert metrics[f"{side}_caption"] == SIDES[side]
    assert (metrics["n"], metrics["coverage"], metrics["failure"]) == (2, 1.0, {})
    assert not {"visual", "audio", "details", "average", "overall"} & set(metrics | rows[0])


@each
def test_it_is_judged_against_the_reference_of_its_side(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer, side: str
) -> None:
    make_full_home(1)
    scored(load_task(f"ugc_videocap_{side}_caption"), ["A caption."])
    (asked,) = judge_server.requests
    assert f"Reference 0 of {side}_caption_qa." in asked.user
    assert "A caption." in asked.user


@each
def test_it_is_marked_as_ours(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer, side: str
) -> None:
    make_full_home(1)
    task = load_task(f"ugc_videocap_{side}_caption")
    assert "published no score" in task.dump_config()["metadata"]["note"]
    [row] = scored(task, ["A caption."])
    assert "ours" in row["judge"]["label"]


@each
def test_a_caption_that_there_is_none_of_has_no_score(
    load_task: LoadTask, make_full_home: MakeHome, judge_server: JudgeServer, side: str
) -> None:
    make_full_home(2)
    task = load_task(f"ugc_videocap_{side}_caption")
    metrics = reported(task, scored(task, ["A caption.", ""]))
    assert (metrics["n"], metrics["failure"], metrics["coverage"]) == (1, {"caption": 1}, 0.5)
    assert len(judge_server.requests) == 1


@each
def test_there_is_no_free_estimate_of_it(
    load_task: LoadTask, make_full_home: MakeHome, side: str
) -> None:
    make_full_home(1)
    task = load_task(f"ugc_videocap_{side}_caption")
    [row] = scored(task, ["A caption."])
    assert row["judge"]["label"] == f"none: no offline estimate of {side}_caption"
    assert reported(task, [row])[f"{side}_caption"] is None
