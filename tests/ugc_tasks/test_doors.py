"""One answer, one number: by ``ugc-videocap score`` and through lmms-eval, whatever it cuts."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.instance import Instance

from tests.support.annotations import ocr_texts, video_ids
from tests.support.judge_server import JudgeServer
from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.home import Home
from ugc_tasks.results.answers import read_answers
from ugc_tasks.results.replay import UgcReplay
from ugc_tasks.results.scoring import Report, SavedRun, score

FAILED = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Error code: 429"
TEXTS = json.dumps({"ocr": ocr_texts(0)})
CAPTION = (
    "A man in a red coat sings in a kitchen; a calm voice and a guitar are heard. A sign says 3."
)
ANSWERS: dict[str, list[Any]] = {
    "caption": [
        CAPTION,
        f"<think>{CAPTION * 3}</think>{CAPTION}",
        f"{CAPTION * 3}</think> {CAPTION}",
        f"<THINK>Hm.</THINK>{CAPTION}",
        f"<think>{CAPTION}",
        FAILED,
        "Error: Connection error.",
        ["a list"],
        "",
        None,
    ],
    "tone": [
        "Positive",
        "<think>A or B? Negative, B.</think>A",
        "Not negative. B?</think>Positive",
        "<analysis>Neutral</analysis>Positive",
        "<think>Positive",
        FAILED,
        "Error: Connection error.",
        {"answer": "Positive"},
        "",
        None,
    ],
    "ocr": [
        TEXTS,
        f"<think>sign number? {TEXTS}</think>{TEXTS}",
        f"sign </think>\n```json\n{TEXTS}\n```",
        ["sign number 3", 10**400, math.nan, None, 1.5],
        f"<think>{TEXTS}",
        FAILED,
        "Error: Connection error.",
        {"error": "blocked"},
        "",
        None,
    ],
}
"""By task: four answers, three failures, then what only some tasks take for an answer, and none."""

NUMBERS = {"caption": (4, "average_estimate"), "tone": (5, "accuracy"), "ocr": (5, "ocr")}
TAGS = [None, [["<think>", "</think>"], ["<analysis>", "</analysis>"]]]


def by_the_command(task: str, saved: Path, home: Path, cache: Path) -> Report:
    there = Home(root=home, videos=home, cache=cache, allow_partial=False)
    return score(SavedRun(task, read_answers(saved), there, os.environ, mode="score"))


def replayed(path: Path, task: str, count: int) -> list[Any]:
    model = UgcReplay(str(path))
    name = SPECS[task].task
    model.task_dict[name] = {"test": [{"video_id": video_id} for video_id in video_ids(count)]}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("?", lambda doc: [], {}, index, name, "test"),
            idx=0,
            metadata={"task": name, "doc_id": index, "repeats": 1},
        )
        for index in range(count)
    ]
    return [result.text for result in model.generate_until(requests)]


@pytest.mark.parametrize("tags", TAGS, ids=["as it is", "cut by lmms-eval too"])
@pytest.mark.parametrize("task_name", ANSWERS)
def test_the_same_answers_have_the_same_number_by_both_doors(
    load_task: LoadTask, make_full_home: MakeHome, tmp_path: Path, task_name: str, tags: Any
) -> None:
    answers = ANSWERS[task_name]
    home = make_full_home(len(answers))
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(dict(zip(video_ids(len(answers)), answers, strict=True))))
    report = by_the_command(task_name, saved, home, tmp_path / "cache")
    task = load_task(SPECS[task_name].task)
    rows = scored(task, replayed(saved, task_name, len(answers)), reasoning_tags=tags)
    metrics = reported(task, rows)
    n, figure = NUMBERS[task_name]
    subject = "caption" if task_name == "caption" else "answer"
    assert (report.n, report.failed) == (metrics["n"], metrics["failure"][subject]) == (n, 10 - n)
    assert report.metrics[figure] == pytest.approx(
        metrics["tone" if n == 5 and figure == "accuracy" else figure], abs=1e-9
    )
    assert [{**item, "clip": None} for item in report.items] == [
        {**row, "clip": None, "generation": item["generation"]}
        for row, item in zip(rows, report.items, strict=True)
    ]
    reasons = [row["failure"]["reason"] if row["failure"] else "" for row in rows]
    assert reasons[4:7] == [
        "the model's reasoning was cut off before any answer", FAILED, ANSWERS[task_name][6]
    ]  # fmt: skip
    assert all(reasons[i] == "" for i in range(4))


def test_reasoning_does_not_move_an_estimate(make_full_home: MakeHome, tmp_path: Path) -> None:
    home = make_full_home(1)
    figures = []
    for caption in ANSWERS["caption"][:4]:
        saved = tmp_path / "saved.json"
        saved.write_text(json.dumps({"PI-000": caption}))
        figures.append(by_the_command("caption", saved, home, tmp_path / "cache").metrics)
    assert figures[1:] == figures[:1] * 3


@pytest.mark.parametrize("task_name", ["caption", "background", "objects", "audio_caption"])
def test_no_judge_is_paid_for_a_failure_by_any_door(
    load_task: LoadTask,
    make_full_home: MakeHome,
    tmp_path: Path,
    judge_server: JudgeServer,
    task_name: str,
) -> None:
    failures = [
        *ANSWERS["caption"][4:],
        "[SAFETY_BLOCKED:unknown]",
        "[LMMS_EVAL_BUDGET_EXCEEDED]",
        "<think>",
    ]
    home = make_full_home(len(failures))
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(dict(zip(video_ids(len(failures)), failures, strict=True))))
    task = load_task(SPECS[task_name].task)
    for document, answer in zip(task.test_docs(), failures, strict=True):
        task.doc_to_messages(document).answered(answer, among=len(failures))
    rows = scored(task, replayed(saved, task_name, len(failures)))
    report = by_the_command(task_name, saved, home, tmp_path / "cache")
    subject = "caption" if "caption" in task_name else "answer"
    assert {row["failure"]["kind"] for row in rows} == {subject}
    assert (report.n, report.failed) == (0, len(failures))
    assert judge_server.requests == []


def test_the_estimate_of_costs_counts_only_answers(
    load_task: LoadTask,
    make_full_home: MakeHome,
    judge_server: JudgeServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_full_home(4)
    task = load_task("ugc_videocap")
    rows = scored(task, [FAILED, "Caption 1.", "<think>Hm.", "Caption 3."])
    assert [bool(row["n"]) for row in rows] == [False, True, False, True]
    assert len(judge_server.requests) == 2
    assert "2 judgments are needed" in capsys.readouterr().err


def test_a_samples_file_of_ours_fails_where_the_run_failed(tmp_path: Path) -> None:
    rows = [
        {"video_id": "PI-0", "filtered_resps": "", "answer_failed": "the model gave no answer"},
        {"video_id": "PI-1", "filtered_resps": "", "answer_failed": "", "generation": None},
        {"video_id": "PI-2", "filtered_resps": "half", "generation": {"error": "broken"}},
        {"video_id": "PI-3", "filtered_resps": "", "finish_reason": "content_filter"},
        {"video_id": "PI-4", "filtered_resps": "", "finish_reason": "stop"},
        {"video_id": "PI-5", "filtered_resps": "a", "caption_failed": "cut", "generation": 5},
        {"video_id": "PI-6", "filtered_resps": "", "failure": {"kind": "answer", "reason": "no"}},
        {"video_id": "PI-7", "filtered_resps": "a", "failure": {"kind": "judge", "reason": "no"}},
        {"video_id": "PI-8", "filtered_resps": "a", "failure": None},
    ]
    saved = tmp_path / "samples.jsonl"
    saved.write_text("\n".join(map(json.dumps, rows)))
    read = {i: answer.read("ocr") for i, answer in read_answers(saved).answers.items()}
    assert [answer.failure for answer in read.values()] == [
        "the model gave no answer",
        "",
        "broken",
        "the model gave no answer (finish reason: content_filter)",
        "",
        "cut",
        "no",
        "",
        "",
    ]
