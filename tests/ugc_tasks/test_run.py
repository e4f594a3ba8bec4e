"""A run is what the environment describes, complete before anything is spent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.conftest import QUESTION, MakeHome
from ugc_tasks.benchmark import COLUMNS, SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.run import answer_from_files, current_run, new_run


def test_documents_are_the_clips_with_question_and_reference(make_home: MakeHome) -> None:
    make_home(2)
    assert current_run("caption").documents() == [
        {
            "video_id": f"PI-00{i}",
            "task": "caption",
            "question": QUESTION,
            "answer": f"Reference {i}.",
            "options": [],
        }
        for i in range(2)
    ]


def test_the_run_is_the_same_while_the_environment_is(make_home: MakeHome) -> None:
    make_home()
    assert current_run("caption") is current_run("caption")


def test_a_new_run_has_a_judge_of_its_own_where_the_last_was_interrupted(
    make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home()
    before = new_run("caption")
    assert new_run("caption") is before
    assert before.judge is not None
    before.judge.interrupt()
    assert current_run("caption") is before, "what is left of that run sends nothing"
    after = new_run("caption")
    assert after.judge is not None
    assert not after.judge.interrupted
    assert current_run("caption") is after


def test_the_run_follows_the_environment(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = make_home(3)
    before = current_run("caption")
    other = home.rename(tmp_path / "moved")
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(other))
    after = current_run("caption")
    assert before.clip("PI-000") == home / "videos" / "PI-000.mp4"
    assert after.clip("PI-000") == other / "videos" / "PI-000.mp4"
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "none")
    assert current_run("caption").judge is None
    assert current_run("caption").judging["label"] == "none"


@pytest.mark.parametrize("name", ["UGC_VIDEOCAP_CACHE", "XDG_CACHE_HOME"])
def test_the_run_keeps_things_where_the_environment_says_now(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    make_home()
    monkeypatch.delenv("UGC_VIDEOCAP_CACHE")
    for folder in (tmp_path / "a", tmp_path / "b"):
        monkeypatch.setenv(name, str(folder))
        assert current_run("caption").home.cache.is_relative_to(folder)


def test_the_run_asks_the_endpoint_that_the_environment_names_now(
    make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home()
    current_run("caption")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert current_run("caption").judging["endpoint"] == "127.0.0.1:9/v1"


def test_each_question_has_its_own_annotations_and_judge(
    make_home: MakeHome, judge_server: JudgeServer
) -> None:
    home = make_home(3)
    sample = {"video_id": "PI-001", "answer": "A red cup."}
    content = {"question": "Which objects?", "samples": [sample]}
    (home / "object.json").write_text(json.dumps(content))
    objects = current_run("objects")
    own = {"task": "objects", "question": "Which objects?", "options": []}
    assert objects.documents() == [sample | own]
    assert objects.metadata()["judge"]["question"] == "objects"
    assert objects is current_run("objects")
    assert current_run("caption") is not objects
    assert current_run("caption").metadata()["judge"]["question"] == "caption"


def test_every_question_of_the_judge_is_a_task() -> None:
    assert {name for name, spec in SPECS.items() if spec.judged} == set(QUESTIONS)


def test_the_published_table_has_eight_columns() -> None:
    assert sorted(COLUMNS) == sorted(
        ["visual", "audio", "details", "voice_source", "tone", "ocr", "background", "objects"]
    )


def test_an_estimate_that_there_is_not_leaves_the_task_unjudged_and_says_so(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(1)
    content = {"question": "?", "samples": [{"video_id": "PI-000", "answer": "A red cup."}]}
    (home / "object.json").write_text(json.dumps(content))
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "offline")
    objects = current_run("objects")
    assert objects.judge is None
    assert objects.judging["label"] == "none: no offline estimate of objects"


class Backwards:
    """Stands in for a model that answers from files."""

    def order(self, task: str, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return documents[::-1]


def test_a_model_that_answers_from_files_needs_no_clips_while_it_lives(make_home: MakeHome) -> None:
    make_home(3, missing=[0, 1, 2])
    model = Backwards()
    answer_from_files(model.order)
    ids = [document["video_id"] for document in current_run("caption").documents()]
    assert ids == ["PI-002", "PI-001", "PI-000"]
    del model
    with pytest.raises(DataError, match="3 of 3 clips are missing"):
        current_run("caption")


def test_missing_clips_stop_the_run(make_home: MakeHome) -> None:
    make_home(5, missing=[1, 3])
    with pytest.raises(DataError, match=r"2 of 5 clips are missing.*PI-001, PI-003"):
        current_run("caption")


def test_a_partial_run_has_the_clips_there_are_and_says_which_are_not(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(5, missing=[1, 3])
    monkeypatch.setenv("UGC_VIDEOCAP_ALLOW_PARTIAL", "1")
    run = current_run("caption")
    assert [document["video_id"] for document in run.documents()] == ["PI-000", "PI-002", "PI-004"]
    metadata = run.metadata()
    assert metadata["clips_wanted"] == 5
    assert metadata["clips_missing"] == ["PI-001", "PI-003"]


def test_missing_clips_are_seen_again_once_they_are_there(make_home: MakeHome) -> None:
    make_home(2, missing=[1])
    with pytest.raises(DataError):
        current_run("caption")
    make_home(2)
    assert len(current_run("caption").documents()) == 2


def test_a_judge_that_cannot_be_asked_stops_the_run(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home()
    monkeypatch.delenv("UGC_JUDGE_PROFILE")  # the published judge, then
    with pytest.raises(JudgeConfigError, match="OPENAI_API_KEY"):
        current_run("caption")


def test_a_prompt_of_the_home_that_is_not_the_official_one_stops_the_run(
    make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_home() / "prompts" / "caption_judge_system.txt"
    own.parent.mkdir()
    own.write_text("Be kind.")
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "paper")
    with pytest.raises(DataError, match=f"{own} is not the official prompt"):
        current_run("caption")
    assert not judge_server.requests


def test_the_results_state_how_the_numbers_came_about_and_not_the_key(
    make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home()
    run = current_run("caption")
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
        current_run("caption").home = None  # type: ignore[misc, assignment]


def test_a_judge_that_has_ended_hands_out_what_is_on_disk_and_is_not_asked(
    make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home()
    item = JudgeItem("PI-000", "A caption.", "Reference 0.")
    before = current_run("caption").judge
    assert before is not None
    assert before.submit(item).result().scores
    monkeypatch.setenv("UGC_JUDGE_TODAY", "2026-11-28")
    judge_server.models["gpt-4o-2024-08-06"] = {"shutdown_date": "2026-11-21"}
    after = current_run("caption").judge
    assert after is not None
    assert after is not before
    assert after.ended.startswith("gpt-4o-2024-08-06 was shut down on 2026-11-21: choose another")
    assert after.submit(item).result().scores
    missing = after.submit(JudgeItem("PI-001", "A caption.", "Reference 1.")).result()
    assert "was shut down on 2026-11-21" in str(missing.failure)
    assert len(judge_server.requests) == 1
