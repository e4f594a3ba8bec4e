"""The YAML files of all tasks, as lmms-eval itself reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.annotations import video_ids
from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.benchmark import SPECS, Spec
from ugc_tasks.common.files import DataError
from ugc_tasks.lmms.hooks import fields
from ugc_tasks.run import current_run

COUNTED = {"n", "coverage", "failure"}
each = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
both = pytest.mark.parametrize("kind", ["simple", "chat"])


@both
@each
def test_every_task_loads_with_its_own_questions(
    load_task: LoadTask, make_full_home: MakeHome, spec: Spec, kind: str
) -> None:
    home = make_full_home(3)
    task = load_task(spec.task, kind)
    documents = list(task.test_docs())
    assert documents == current_run(spec.name).documents()
    assert [document["video_id"] for document in documents] == video_ids(3)
    first = documents[0]
    clip = str(home / "videos" / "PI-000.mp4")
    assert task.doc_to_visual(first) == [clip]
    assert task.doc_to_text(first) == first["question"]
    if kind == "chat":
        content = [{"type": "video", "url": clip}, {"type": "text", "text": first["question"]}]
        assert task.doc_to_messages(first) == [{"role": "user", "content": content}]


@each
def test_every_task_says_what_it_measured_with(
    load_task: LoadTask, make_full_home: MakeHome, spec: Spec
) -> None:
    make_full_home(3)
    task = load_task(spec.task)
    metrics = set(task.aggregation())
    assert metrics >= COUNTED | set(spec.columns)
    # Only what fills a column of the published table has a part in its mean.
    assert ("overall" in metrics) == bool(spec.columns)
    metadata = task.dump_config()["metadata"]
    assert metadata["annotations"] == "local"
    assert metadata["clips_wanted"] == 3
    assert metadata.get("note", "") == spec.note
    assert ("judge" in metadata) == spec.judged
    assert metadata.get("mode") == ("score" if spec.name == "ocr" else None)


@each
def test_every_question_is_put_as_the_published_runs_put_it(
    load_task: LoadTask, make_full_home: MakeHome, spec: Spec
) -> None:
    make_full_home(1)
    task = load_task(spec.task)
    task.build_all_requests(rank=0, world_size=1)
    (request,) = task.instances
    assert request.arguments[2] == {"temperature": 0.2, "max_new_tokens": 1024, "until": []}


def test_a_reference_that_is_a_list_is_a_text_in_the_samples_file(
    load_task: LoadTask, make_full_home: MakeHome
) -> None:
    make_full_home(2)
    task = load_task("ugc_videocap_ocr")
    document = task.test_docs()[1]
    assert json.loads(task.doc_to_target(document)) == document["answer"]
    assert task.doc_to_target({"answer": ["Grüße", "你好"]}) == '["Grüße", "你好"]'
    caption = load_task("ugc_videocap")
    assert caption.doc_to_target(caption.test_docs()[1]) == "Reference 1 of final_caption_qa."


@each
def test_missing_annotations_are_said_by_name_before_any_model_starts(
    load_task: LoadTask,
    make_full_home: MakeHome,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spec: Spec,
) -> None:
    path = make_full_home(1) / spec.annotations
    path.write_text("{}")
    with pytest.raises(DataError, match=spec.annotations):
        load_task(spec.task)


def test_a_task_file_has_the_fields_of_its_own_tasks_only(make_full_home: MakeHome) -> None:
    make_full_home(2)
    attribute = fields("tone", "bgm")
    assert attribute("tone__metadata")["clips_wanted"] == 2
    assert attribute("bgm__dataset_kwargs")["field"] == "samples"
    for unknown in ("ocr__metadata", "tone__nothing", "tone", "tone__", "__path__"):
        with pytest.raises(AttributeError, match=unknown):
            attribute(unknown)


def test_a_task_that_is_loaded_again_after_an_interruption_has_a_judge_that_asks(
    make_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_home()
    attribute = fields("caption")
    attribute("caption__dataset_kwargs")
    judge = current_run("caption").judge
    assert judge is not None
    judge.interrupt()
    attribute("caption__dataset_kwargs")
    again = current_run("caption").judge
    assert again is not None
    assert not again.interrupted
