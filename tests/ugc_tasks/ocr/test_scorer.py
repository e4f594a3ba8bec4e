"""Saved OCR answers, scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.data.home import DataError, Home
from ugc_tasks.ocr.scorer import score
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers
from ugc_tasks.results.scoring import Report, Request

ANSWERS = {
    "PI-1": SavedAnswer({"ocr": ["one two"]}, reference=["one two"]),
    "PI-2": SavedAnswer("", reference=["three"]),
    "PI-3": SavedAnswer('["four"]', reference=["five"]),
}


def request(folder: Path, answers: Any, mode: str = "score", **changed: Any) -> Request:
    home = Home(root=None, videos=folder, cache=folder / "cache", allow_partial=False)
    saved = SavedAnswers(folder / "saved.jsonl", answers)
    return Request(**({"task": "ocr", "answers": saved, "home": home, "environ": {},
                       "mode": mode} | changed))  # fmt: skip


def scored(folder: Path, answers: Any, mode: str = "score", **changed: Any) -> Report:
    return score(request(folder, answers, mode, **changed))


def test_an_empty_answer_counts_in_one_mode_and_is_left_out_in_the_other(tmp_path: Path) -> None:
    report = scored(tmp_path, ANSWERS)
    assert (report.n, report.facts["skipped"]) == (3, 0)
    assert report.metrics["score"] == pytest.approx(1 / 3)
    report = scored(tmp_path, ANSWERS, "skip")
    assert (report.n, report.facts["skipped"]) == (2, 1)
    assert report.metrics["score"] == pytest.approx(1 / 2)
    assert report.items[1] == {"video_id": "PI-2", "skipped": True}
    assert report.complete, "left out as the mode has it"


def test_the_score_is_the_mean_of_its_four_measures(tmp_path: Path) -> None:
    report = scored(tmp_path, ANSWERS)
    measures = [value for name, value in report.metrics.items() if name != "score"]
    assert len(measures) == 4
    assert report.metrics["score"] == pytest.approx(sum(m or 0 for m in measures) / 4)
    assert set(report.ci95) == set(report.metrics)


def test_a_failure_is_no_zero(tmp_path: Path) -> None:
    broken = ANSWERS | {"PI-3": SavedAnswer("", error="blocked", reference=["five"])}
    report = scored(tmp_path, broken)
    assert (report.n, report.failed) == (2, 1)
    assert report.metrics["score"] == pytest.approx(1 / 2)
    assert report.items[0]["score"] == 1.0
    assert report.items[2] == {"video_id": "PI-3", "failure": "blocked"}
    assert not report.complete


def test_references_in_the_answers_file_stand_in_for_annotations_and_that_is_said(
    tmp_path: Path,
) -> None:
    report = scored(tmp_path, ANSWERS)
    assert report.facts["references"] == "the answers' own file"
    assert "saved.jsonl itself; --references names others" in report.notes[0]


def test_annotations_at_hand_go_before_what_the_answers_file_says(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-3", "ocr": ["four"]}, {"video_id": "PI-4", "ocr": ["six"]}]
    (tmp_path / "ocr.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for where in (
        {"references": tmp_path},
        {"home": Home(root=tmp_path, videos=tmp_path, cache=tmp_path, allow_partial=False)},
    ):
        report = scored(tmp_path, ANSWERS, **where)
        assert (report.n, report.unknown, report.missing) == (1, ("PI-1", "PI-2"), ("PI-4",))
        # One word alike: three measures of 1, and ROUGE-2 has no pair of words to find.
        assert report.metrics["score"] == 0.75


def test_references_that_were_asked_for_and_are_not_there_are_missed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ocr\.jsonl is not in .*: put it there as published"):
        scored(tmp_path, ANSWERS, references=tmp_path)


def test_without_any_reference_there_is_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"ocr\.jsonl: the dataset .* could not be asked for it"):
        scored(tmp_path, ANSWERS | {"PI-4": SavedAnswer("x")})


def test_a_reference_in_the_answers_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"saved\.jsonl: PI-1 needs a list of texts in 'ocr'"):
        scored(tmp_path, {"PI-1": SavedAnswer("x", reference="text")})
