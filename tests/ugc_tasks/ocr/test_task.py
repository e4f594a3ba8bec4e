"""The OCR task as lmms-eval loads and scores it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.annotations import ocr_texts, video_ids
from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.ocr.overlap import MEASURES, score
from ugc_tasks.results.answers import read_answers
from ugc_tasks.results.scoring import SavedRun

TASK = "ugc_videocap_ocr"
ANSWERS = [
    json.dumps({"ocr": ocr_texts(0)}),  # as asked for
    "```json\n" + json.dumps(["sign", "open daily"]) + "\n```",
    "I can read a sign that says open daily.",  # a list of nothing
    "",
]


def run_task(
    load_task: LoadTask, answers: list[Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    task = load_task(TASK)
    rows = scored(task, answers)
    return rows, reported(task, rows)


def test_every_answer_counts_by_default(load_task: LoadTask, make_full_home: MakeHome) -> None:
    make_full_home(4)
    rows, metrics = run_task(load_task, ANSWERS)
    assert rows[0]["ocr"] == 100.0
    assert 0 < rows[2]["ocr"] < rows[1]["ocr"] < 100
    assert rows[3]["ocr"] == 0.0
    assert (metrics["n"], metrics["skipped"], metrics["failure"]) == (4, 0, {})
    assert {row["mode"] for row in rows} == {"score"}
    assert metrics["ocr"] == pytest.approx(sum(metrics[m] for m in MEASURES) / 4)
    assert metrics["overall"] == {"columns": 1, "of": 8, "mean": pytest.approx(metrics["ocr"])}


def test_the_other_published_mode_leaves_out_answers_without_a_list(
    load_task: LoadTask, make_full_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_full_home(4)
    monkeypatch.setenv("UGC_OCR_MODE", "skip")
    rows, metrics = run_task(load_task, ANSWERS)
    assert [row["ocr"] is not None for row in rows] == [True, True, False, False]
    assert [bool(row["skipped"]) for row in rows] == [False, False, True, True]
    assert (metrics["n"], metrics["skipped"], metrics["failure"]) == (2, 2, {})
    assert ({row["mode"] for row in rows}, metrics["coverage"]) == ({"skip"}, 0.5)
    assert load_task(TASK).dump_config()["metadata"]["mode"] == "skip"


def test_a_mode_that_there_is_not_stops_the_run_before_any_model_starts(
    load_task: LoadTask, make_full_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_full_home(1)
    monkeypatch.setenv("UGC_OCR_MODE", "both")
    with pytest.raises(DataError, match="UGC_OCR_MODE=both: it is one of score, skip"):
        load_task(TASK)


@pytest.mark.parametrize("mode", ["score", "skip"])
def test_an_answer_that_failed_is_not_the_answer_that_there_is_no_text(
    load_task: LoadTask, make_full_home: MakeHome, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    class Told(str):
        generation = {"error": "the clip is broken"}  # noqa: RUF012

    make_full_home(2)
    monkeypatch.setenv("UGC_OCR_MODE", mode)
    rows, metrics = run_task(load_task, [ANSWERS[0], Told("")])
    assert rows[1]["failure"] == {"kind": "answer", "reason": "the clip is broken"}
    assert not rows[1]["skipped"]
    assert (metrics["ocr"], metrics["n"], metrics["failure"]) == (100.0, 1, {"answer": 1})


@pytest.mark.parametrize("mode", ["score", "skip"])
def test_lmms_eval_and_the_command_come_to_the_same_figures(
    load_task: LoadTask,
    make_full_home: MakeHome,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: str,
) -> None:
    home = make_full_home(4)
    monkeypatch.setenv("UGC_OCR_MODE", mode)
    _, metrics = run_task(load_task, ANSWERS)
    saved = tmp_path / "saved.jsonl"
    rows = zip(video_ids(4), ANSWERS, strict=True)
    saved.write_text("\n".join(json.dumps({"video_id": v, "predict_ocr": a}) for v, a in rows))
    there = Home(root=home, videos=home, cache=tmp_path / "cache", allow_partial=False)
    report = score(SavedRun("ocr", read_answers(saved), there, {}, mode=mode))
    assert report.n == metrics["n"]
    assert report.facts["skipped"] == metrics["skipped"]
    for measure in ("ocr", *MEASURES):
        assert report.metrics[measure] == pytest.approx(metrics[measure], abs=1e-12)
