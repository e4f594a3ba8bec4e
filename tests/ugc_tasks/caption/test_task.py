"""The task as lmms-eval itself loads, asks and scores it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from lmms_eval.api.task import ConfigurableTask

from tests.support.judge_server import JudgeServer, scores, together
from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import QUESTION, LoadTask, MakeHome
from ugc_tasks.common.files import DataError
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.results.facts import run_facts
from ugc_tasks.sample import sample_home

Load = Callable[..., ConfigurableTask]
both = pytest.mark.parametrize("kind", ["simple", "chat"])


@pytest.fixture
def load(load_task: LoadTask) -> Load:
    """Load the task for a kind of model, ``chat`` unless told otherwise."""
    return partial(load_task, "ugc_videocap")


@both
def test_the_documents_are_the_runs(load: Load, make_home: MakeHome, kind: str) -> None:
    make_home(4)
    documents = list(load(kind).test_docs())
    assert [document["video_id"] for document in documents] == [f"PI-00{i}" for i in range(4)]
    assert documents[3]["question"] == QUESTION
    assert documents[3]["answer"] == "Reference 3."


@both
def test_the_bundled_clips_are_a_home_like_any_other(
    load: Load, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(sample_home()))
    task = load(kind)
    assert len(task.test_docs()) == 8
    for document in task.test_docs():
        assert Path(task.doc_to_visual(document)[0]).is_file()


def test_a_chat_model_gets_the_clip_before_the_question(load: Load, make_home: MakeHome) -> None:
    home = make_home()
    task = load("chat")
    assert task.doc_to_messages(task.test_docs()[1]) == [
        {
            "role": "user",
            "content": [
                {"type": "video", "url": str(home / "videos" / "PI-001.mp4")},
                {"type": "text", "text": QUESTION},
            ],
        }
    ]


def test_a_simple_model_gets_the_same_in_parts(load: Load, make_home: MakeHome) -> None:
    home = make_home()
    task = load("simple")
    document = task.test_docs()[2]
    assert task.doc_to_visual(document) == [str(home / "videos" / "PI-002.mp4")]
    assert task.doc_to_text(document) == QUESTION
    assert task.doc_to_target(document) == "Reference 2."


@both
def test_captions_are_generated_as_published(load: Load, make_home: MakeHome, kind: str) -> None:
    make_home()
    task = load(kind)
    task.build_all_requests(rank=0, world_size=1)
    settings = [request.arguments[2 if kind == "chat" else 1] for request in task.instances]
    assert settings == [{"temperature": 0.2, "max_new_tokens": 1024, "until": []}] * 3


@both
def test_what_is_missing_is_said_as_it_is_before_any_model_starts(
    load: Load, make_home: MakeHome, kind: str
) -> None:
    make_home(3, missing=[2])
    with pytest.raises(DataError, match="1 of 3 clips are missing"):
        load(kind)


def test_a_judge_without_a_key_is_said_as_it_is(
    load: Load, make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home()
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "rubric")
    with pytest.raises(JudgeConfigError, match="OPENAI_API_KEY"):
        load()


def test_hostile_annotations_are_refused_as_they_are(load: Load, make_home: MakeHome) -> None:
    home = make_home()
    path = home / "final_caption_qa.json"
    path.write_text(path.read_text().replace("PI-001", "../../etc/passwd"))
    with pytest.raises(DataError, match="no usable video_id"):
        load()


def test_changed_annotations_are_not_hidden_by_the_datasets_cache(
    load: Load, make_home: MakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(2)
    assert len(load().test_docs()) == 2
    make_home(5)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "another run"))
    assert len(load().test_docs()) == 5


def test_the_metadata_of_the_run_are_in_the_configuration(load: Load, make_home: MakeHome) -> None:
    make_home()
    metadata = load().dump_config()["metadata"]
    assert metadata["judge"]["profile"] == "offline"
    assert metadata["clips_wanted"] == 3


def test_captions_are_judged_wide_through_lmms_evals_four_threads(
    load: Load, make_home: MakeHome, judge_server: JudgeServer
) -> None:
    judge_server.script = together(8, scores(5, 4, 3))
    make_home(48)
    rows = scored(load(), [f" Caption {i}. " for i in range(48)])
    assert judge_server.most_at_once >= 8, "twice as many as lmms-eval has threads"
    assert len(judge_server.requests) == 48
    assert [row["video_id"] for row in rows] == [f"PI-{i:03}" for i in range(48)]
    assert {(row["visual"], row["audio"], row["details"]) for row in rows} == {(100, 80, 60)}


def test_a_part_of_the_documents_is_judged_wide_too(
    load: Load, make_home: MakeHome, judge_server: JudgeServer
) -> None:
    judge_server.script = together(8, scores())
    make_home(48)
    rows = scored(load(), [f"Caption {i}." for i in range(16)], offset=10, limit=16)
    assert judge_server.most_at_once >= 8
    assert len(judge_server.requests) == 16
    assert [row["video_id"] for row in rows] == [f"PI-{i:03}" for i in range(10, 26)]
    assert [row["coverage"] for row in rows] == [{"scored": True, "of": 48}] * len(rows)


def test_a_rerun_asks_the_judge_nothing(
    load: Load, make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(6)
    first = scored(load(), ["A caption."] * 6)
    monkeypatch.setenv("UGC_JUDGE_TIMEOUT", "61")  # another run, as a new process would have
    again = scored(load(), ["A caption."] * 6)
    assert len(judge_server.requests) == 6
    assert all(row["judge"]["judgments"][0]["stored"] for row in again)
    assert [row["average"] for row in again] == [row["average"] for row in first]


def test_with_repeats_a_rerun_asks_for_the_new_ones_alone(
    load: Load, make_home: MakeHome, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(6)
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "2")
    judge_server.script = lambda asked: scores(3 + asked.seen, 3, 3)
    first = scored(load(), ["A caption."] * 6)
    assert len(judge_server.requests) == 12, "no two clips have the same reference"
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "3")
    task = load()
    again = scored(task, ["A caption."] * 6)
    assert len(judge_server.requests) == 18
    assert [row["visual"] for row in first] == [70.0] * 6
    assert [row["visual"] for row in again] == [80.0] * 6
    facts = run_facts(again)
    assert (facts["noise"]["repeats"], facts["noise"]["judgments"]) == (3, 18)
    assert facts["noise"]["values"]["visual"]["judgments"] == 18
    judgments = {when: part["judgments"] for when, part in facts["spent"].items()}
    assert judgments == {"new": 6, "stored": 12}


def test_the_free_judge_gives_estimates_under_their_own_name(
    load: Load, make_home: MakeHome
) -> None:
    make_home(2)
    row, silent = scored(load(), ["Reference 0.", ""])
    assert "average" not in row
    assert 20 <= row["average_estimate"] <= 100
    assert silent["average_estimate"] is None
    assert silent["failure"]["kind"] == "caption"


def test_without_a_judge_captions_are_written_only(
    load: Load, make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(2)
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "none")
    rows = scored(load(), ["A caption.", ""])
    assert [row["failure"] and row["failure"]["kind"] for row in rows] == [None, "caption"]
    assert not any(value for row in rows for key, value in row.items() if "average" in key)


def test_each_metric_of_a_row_is_one_that_the_task_aggregates(
    load: Load, make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home(2)
    task = load()
    rows = scored(task, ["A caption.", "Another."])
    assert reported(task, rows) == {
        "visual": 80.0,
        "audio": 60.0,
        "details": 80.0,
        "average": pytest.approx(220 / 3),
        "overall": {"columns": 3, "of": 8, "mean": pytest.approx(220 / 3)},
        "n": 2,
        "coverage": 1.0,
        "failure": {},
    }
