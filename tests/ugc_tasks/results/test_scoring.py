"""The seam between tasks and the command: who scores what, and what a report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import published
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.results.answers import SavedAnswers
from ugc_tasks.results.pairing import Pairing
from ugc_tasks.results.scoring import Report, SavedRun, means


def report(**changed: Any) -> Report:
    facts: dict[str, Any] = {
        "pairing": Pairing({}, {}, unknown=("PI-9",)),
        "n": 1,
        "metrics": {"score": 0.5},
        "ci95": {"score": (0.25, 0.75)},
        "items": ({"video_id": "PI-1", "score": 0.5},),
        "facts": {"mode": "score"},
    }
    return Report(**(facts | changed))


def test_a_report_is_plain_json_with_the_documented_keys() -> None:
    content = report().as_json("ocr")
    assert json.loads(json.dumps(content)) == content
    assert list(content)[:4] == ["task", "n", "failed", "metrics"]
    assert content["items"] == [{"video_id": "PI-1", "score": 0.5}]
    assert content["ci95"] == {"score": [0.25, 0.75]}
    assert (content["missing"], content["unknown"], content["mode"]) == ([], ["PI-9"], "score")


@pytest.mark.parametrize(
    ("changed", "complete"),
    [
        ({}, True),
        ({"n": 0}, False),
        ({"n": 0, "items": ()}, False),
        ({"items": ({"video_id": "PI-1"},) * 2}, False),
        ({"items": ({"video_id": "PI-1"},) * 2, "facts": {"skipped": 1}}, True),
    ],
)
def test_a_report_is_complete_when_every_clip_of_the_task_was_scored(
    changed: dict[str, Any], complete: bool
) -> None:
    assert report(**changed).complete() is complete
    missing = report(**changed, pairing=Pairing({}, {}, missing=("PI-2",)))
    assert not missing.complete()
    assert missing.complete(allow_missing=True) is complete


def test_a_request_does_not_show_the_key(tmp_path: Path) -> None:
    home = Home(root=None, videos=tmp_path, cache=tmp_path, allow_partial=False)
    request = SavedRun("ocr", SavedAnswers(tmp_path, {}), home, {"OPENAI_API_KEY": "sk-secret"})
    assert "sk-secret" not in repr(request)


def request(cache: Path, *, root: Path | None = None, references: Path | None = None) -> SavedRun:
    home = Home(root=root, videos=cache, cache=cache, allow_partial=False)
    return SavedRun("tone", SavedAnswers(cache, {}), home, {}, references)


def test_the_references_that_a_user_names_go_before_those_of_the_home(tmp_path: Path) -> None:
    home, named = tmp_path / "home", tmp_path / "named"
    for folder in (home, named):
        folder.mkdir()
        (folder / "tone.json").write_text("{}")
    asked = request(tmp_path, root=home, references=named)
    assert asked.annotation("tone.json") == (named / "tone.json", str(named))
    assert request(tmp_path, root=home).annotation("tone.json") == (home / "tone.json", "local")


def test_a_file_that_the_named_references_lack_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    home, named = tmp_path / "home", tmp_path / "named"
    home.mkdir()
    named.mkdir()
    (home / "tone.json").write_text("{}")
    with pytest.raises(DataError, match=r"tone\.json is not in .*named: put it there as published"):
        request(tmp_path, root=home, references=named).annotation("tone.json")


def test_annotations_are_at_hand_where_they_are_named_at_home_or_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.install(monkeypatch)
    home, empty = tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    (home / "tone.json").write_text("{}")
    assert request(empty, references=home).has_annotation("tone.json")
    assert request(empty, root=home).has_annotation("tone.json")
    assert not request(empty, root=home).has_annotation("ocr.jsonl")
    assert not request(home).has_annotation("tone.json"), "another file than the published one"
    (home / "tone.json").write_bytes(published.HUB["tone.json"])
    assert request(home).has_annotation("tone.json")


def test_a_figure_that_no_clip_has_is_none_and_has_no_interval() -> None:
    assert means({"score": [], "one": [0.5]}) == ({"score": None, "one": 0.5}, {"one": None})
