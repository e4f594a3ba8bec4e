"""``ugc_replay``: saved answers given again, to the clips that they were given for."""

from __future__ import annotations

import gc
import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model
from loguru import logger

from ugc_tasks.data.home import DataError
from ugc_tasks.run import WITHOUT_CLIPS
from ugc_tasks.saved.answers import NOT_SAVED
from ugc_tasks.saved.replay import Replayed, UgcReplay, replayed

TONE, OCR = "ugc_videocap_tone", "ugc_videocap_ocr"


@pytest.fixture(autouse=True)
def clips_wanted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()  # models of other tests
    monkeypatch.setenv(WITHOUT_CLIPS, "")  # remembered, and put back whatever a test leaves
    monkeypatch.delenv(WITHOUT_CLIPS)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    yield said
    logger.remove(sink)


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def answers(model: UgcReplay, asked: Mapping[str, Sequence[str]]) -> list[Replayed]:
    """Ask for clips, by task, as lmms-eval asks a chat model."""
    requests = []
    for task, ids in asked.items():
        model.task_dict[task] = {"test": [{"video_id": video_id} for video_id in ids]}
        requests += [
            Instance(
                request_type="generate_until",
                arguments=("?", lambda doc: [], {}, index, task, "test"),
                idx=0,
                metadata={"task": task, "doc_id": index, "repeats": 1},
            )
            for index in range(len(ids))
        ]
    return [result.text for result in model.generate_until(requests)]


def test_lmms_eval_finds_the_model_by_name() -> None:
    assert get_model("ugc_replay") is UgcReplay
    assert UgcReplay.is_simple is False


def test_one_file_answers_every_task(tmp_path: Path) -> None:
    model = UgcReplay(str(write(tmp_path / "all.json", {"PI-1": "one", "PI-2": "two"})))
    assert answers(model, {TONE: ["PI-2", "PI-1"], OCR: ["PI-1"]}) == ["two", "one", "one"]


def test_a_folder_has_a_file_for_each_task(tmp_path: Path) -> None:
    write(tmp_path / f"{TONE}.json", {"PI-1": "Positive"})
    write(tmp_path / f"{OCR}.jsonl", {"video_id": "PI-1", "predict_ocr": ["a", "é"]})
    (tmp_path / "notes.txt").write_text("not answers")
    model = UgcReplay(str(tmp_path))
    assert answers(model, {TONE: ["PI-1"], OCR: ["PI-1"]}) == ["Positive", '["a", "é"]']


@pytest.mark.parametrize("as_text", [True, False], ids=["as on the command line", "as in Python"])
def test_a_mapping_names_the_file_of_each_task(tmp_path: Path, as_text: bool) -> None:
    files = {
        TONE: str(write(tmp_path / "a.json", {"PI-1": "Positive"})),
        OCR: str(write(tmp_path / "b.json", {"PI-1": "text"})),
    }
    model = UgcReplay(json.dumps(files) if as_text else files)
    assert answers(model, {OCR: ["PI-1"], TONE: ["PI-1"]}) == ["text", "Positive"]


def test_a_clip_without_a_saved_answer_is_a_failure_and_reported(
    tmp_path: Path, warnings: list[str]
) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one"})))
    first, second = answers(model, {TONE: ["PI-1", "PI-2"]})
    assert (first, first.generation) == ("one", None)
    assert (second, second.generation) == ("", {"error": NOT_SAVED})
    assert warnings == [f"{TONE}: 1 clips without a saved answer: PI-2"]


def test_answers_to_unknown_clips_are_reported(tmp_path: Path, warnings: list[str]) -> None:
    saved = {f"PI-{i}": "x" for i in range(9)}
    model = UgcReplay(str(write(tmp_path / "a.json", saved)))
    answers(model, {TONE: ["PI-0"]})
    assert warnings == [f"{TONE}: 8 clips unknown: PI-1, PI-2, PI-3, PI-4, PI-5, …"]


def test_a_task_without_a_file_is_a_task_without_answers(
    tmp_path: Path, warnings: list[str]
) -> None:
    write(tmp_path / f"{TONE}.json", {"PI-1": "Positive"})
    model = UgcReplay(str(tmp_path))
    (answer,) = answers(model, {OCR: ["PI-1"]})
    assert answer.generation == {"error": NOT_SAVED}
    assert warnings == [f"{OCR}: no file of answers was given for it"]


def test_a_failure_that_was_saved_is_a_failure_again(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "caption": "", "error": "quota"}]
    model = UgcReplay(str(write(tmp_path / "a.json", rows)))
    (answer,) = answers(model, {TONE: ["PI-1"]})
    assert (answer, answer.generation) == ("", {"error": "quota"})


def test_what_was_saved_of_how_an_answer_came_about_is_given_again(tmp_path: Path) -> None:
    told = {"heard": True, "decoding": "greedy"}
    rows = [{"video_id": "PI-1", "filtered_resps": ["one"], "target": "", "generation": told}]
    model = UgcReplay(str(write(tmp_path / "a.json", rows)))
    (answer,) = answers(model, {TONE: ["PI-1"]})
    assert (answer, answer.generation) == ("one", told)


def test_an_answer_crosses_to_other_ranks_with_its_story() -> None:
    copied = pickle.loads(pickle.dumps(replayed("one", {"heard": True})))  # noqa: S301
    assert (copied, copied.generation) == ("one", {"heard": True})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"video_id": "PI-1", "caption": "a"}, {"video_id": "PI-1", "caption": "b"}], "PI-1"),
        ({"evaluations": []}, "scores, not answers"),
        ([], "no answer"),
    ],
    ids=["a clip answered twice", "scores", "nothing"],
)
def test_a_bad_file_is_refused_before_any_task_is_loaded(
    tmp_path: Path, content: Any, reason: str
) -> None:
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(DataError, match=reason):
        UgcReplay(str(path))
    with pytest.raises(DataError, match=reason):
        UgcReplay(json.dumps({TONE: str(path)}))
    assert WITHOUT_CLIPS not in os.environ


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "cannot be read"),
        ("nowhere.jsonl", "nowhere.jsonl: cannot be read"),
        ("", "no .json or .jsonl file"),
        ("{}", 'is not {"TASK": FILE, ...}'),
        ('{"ugc_videocap_tone": 3}', "is not {"),
    ],
)
def test_what_names_no_answers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=reason):
        UgcReplay(given)


def test_tasks_need_no_clips_as_long_as_the_model_is_there(tmp_path: Path) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one"})))
    model.clean()  # after the answers and before the scores, for which tasks are asked again
    assert os.environ[WITHOUT_CLIPS] == "1"
    del model
    gc.collect()
    assert WITHOUT_CLIPS not in os.environ


def test_the_end_of_one_model_leaves_the_next_without_clips_too(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.json", {"PI-1": "one"}))
    first = UgcReplay(path)
    second = UgcReplay(path)
    del first
    gc.collect()
    assert os.environ[WITHOUT_CLIPS] == "1"
    del second
    gc.collect()
    assert WITHOUT_CLIPS not in os.environ


def test_there_is_nothing_else_to_be_had(tmp_path: Path) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one"})))
    with pytest.raises(NotImplementedError, match="one round"):
        model.generate_until_multi_round([])
    with pytest.raises(NotImplementedError, match="no likelihoods"):
        model.loglikelihood([])
