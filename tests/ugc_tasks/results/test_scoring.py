"""The seam between tasks and the command: who scores what, and what a report says."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.home import Home
from ugc_tasks.results.answers import SavedAnswers
from ugc_tasks.results.scoring import SCORERS, Report, Request


def report(**changed: Any) -> Report:
    facts: dict[str, Any] = {
        "n": 2,
        "failed": 0,
        "missing": (),
        "unknown": ("PI-9",),
        "metrics": {"score": 0.5},
        "ci95": {"score": (0.25, 0.75)},
        "items": ({"video_id": "PI-1", "score": 0.5},),
        "facts": {"mode": "score"},
    }
    return Report(**(facts | changed))


@pytest.mark.parametrize("task", SCORERS)
def test_every_scorer_is_a_module_of_a_known_task(task: str) -> None:
    assert callable(import_module(SCORERS[task].module).score)
    assert SCORERS[task].judged == (SPECS[task].judged is not None)


def test_a_report_is_plain_json_with_the_documented_keys() -> None:
    content = report().as_json("ocr")
    assert json.loads(json.dumps(content)) == content
    assert list(content)[:4] == ["task", "n", "failed", "metrics"]
    assert content["items"] == [{"video_id": "PI-1", "score": 0.5}]
    assert content["ci95"] == {"score": [0.25, 0.75]}
    assert (content["missing"], content["unknown"], content["mode"]) == ([], ["PI-9"], "score")


@pytest.mark.parametrize(
    ("changed", "complete"),
    [({}, True), ({"failed": 1}, False), ({"missing": ("PI-2",)}, False), ({"n": 0}, False)],
)
def test_a_report_is_complete_when_every_clip_of_the_task_was_scored(
    changed: dict[str, Any], complete: bool
) -> None:
    assert report(**changed).complete is complete


def test_a_request_does_not_show_the_key(tmp_path: Path) -> None:
    home = Home(root=None, videos=tmp_path, cache=tmp_path, allow_partial=False)
    request = Request("ocr", SavedAnswers(tmp_path, {}), home, {"OPENAI_API_KEY": "sk-secret"})
    assert "sk-secret" not in repr(request)
