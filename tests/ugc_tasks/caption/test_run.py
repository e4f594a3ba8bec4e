"""A run is what the environment describes, complete before anything is spent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.caption.conftest import QUESTION, MakeHome
from ugc_tasks.caption.run import current_run
from ugc_tasks.data.home import DataError
from ugc_tasks.judge.settings import JudgeConfigError


def test_documents_are_the_clips_with_question_and_reference(make_home: MakeHome) -> None:
    make_home(2)
    assert current_run().documents() == [
        {"video_id": "PI-000", "question": QUESTION, "answer": "Reference 0."},
        {"video_id": "PI-001", "question": QUESTION, "answer": "Reference 1."},
    ]


def test_the_run_is_the_same_while_the_environment_is(make_home: MakeHome) -> None:
    make_home()
    assert current_run() is current_run()


def test_the_run_follows_the_environment(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = make_home(3)
    before = current_run()
    other = home.rename(tmp_path / "moved")
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(other))
    after = current_run()
    assert before.clip("PI-000") == home / "videos" / "PI-000.mp4"
    assert after.clip("PI-000") == other / "videos" / "PI-000.mp4"
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "none")
    assert current_run().judge.describe()["profile"] == "none"


def test_missing_clips_stop_the_run(make_home: MakeHome) -> None:
    make_home(5, missing=[1, 3])
    with pytest.raises(DataError, match=r"2 of 5 clips are missing.*PI-001, PI-003"):
        current_run()


def test_a_partial_run_has_the_clips_there_are_and_says_which_are_not(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(5, missing=[1, 3])
    monkeypatch.setenv("UGC_VIDEOCAP_ALLOW_PARTIAL", "1")
    run = current_run()
    assert [document["video_id"] for document in run.documents()] == ["PI-000", "PI-002", "PI-004"]
    metadata = run.metadata()
    assert metadata["clips_wanted"] == 5
    assert metadata["clips_missing"] == ["PI-001", "PI-003"]


def test_missing_clips_are_seen_again_once_they_are_there(make_home: MakeHome) -> None:
    make_home(2, missing=[1])
    with pytest.raises(DataError):
        current_run()
    make_home(2)
    assert len(current_run().documents()) == 2


def test_a_judge_that_cannot_be_asked_stops_the_run(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home()
    monkeypatch.delenv("UGC_JUDGE_PROFILE")  # the published judge, then
    with pytest.raises(JudgeConfigError, match="OPENAI_API_KEY"):
        current_run()


def test_the_results_state_how_the_numbers_came_about_and_not_the_key(
    make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home()
    run = current_run()
    metadata = json.loads(json.dumps(run.metadata()))
    assert metadata["annotations"] == "local"
    assert metadata["annotations_sha256"] == run.questions.sha256
    assert metadata["judge"]["profile"] == "rubric"
    assert metadata["judge"]["endpoint"] == judge_server.base_url.removeprefix("http://")
    assert {"lmms-eval", "transformers", "torch"} <= set(metadata["packages"])
    assert metadata["clips_missing"] == []
    assert "sk-loopback" not in json.dumps(metadata) + repr(run)


def test_a_run_cannot_be_changed(make_home: MakeHome) -> None:
    make_home()
    with pytest.raises(dataclasses.FrozenInstanceError):
        current_run().home = None  # type: ignore[misc, assignment]
