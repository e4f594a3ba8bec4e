"""``ugc_replay``: saved answers given again, to the clips that they were given for."""

from __future__ import annotations

import gc
import json
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache
from lmms_eval.loggers.evaluation_tracker import GeneralConfigTracker
from lmms_eval.models import get_model
from loguru import logger

from ugc_tasks.common.files import DataError
from ugc_tasks.results.answers import NOT_SAVED
from ugc_tasks.results.replay import Replayed, UgcReplay
from ugc_tasks.run import current_run

CAPTION, TONE, OCR = "ugc_videocap", "ugc_videocap_tone", "ugc_videocap_ocr"


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """What lmms-eval and torch have made is looked through once, not for every test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


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


def test_a_clip_without_a_saved_answer_is_a_failure_and_reported(
    tmp_path: Path, warnings: list[str]
) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one"})))
    first, second = answers(model, {TONE: ["PI-1", "PI-2"]})
    assert (first, first.generation) == ("one", None)
    assert (second, second.generation) == ("", {"error": NOT_SAVED})
    assert warnings == [f"{TONE}: 1 of 2 clips have none: PI-2"]


def test_answers_to_unknown_clips_are_reported(tmp_path: Path, warnings: list[str]) -> None:
    saved = {f"PI-{i}": "x" for i in range(9)}
    model = UgcReplay(str(write(tmp_path / "a.json", saved)))
    answers(model, {TONE: ["PI-0"]})
    assert warnings == [
        f"{TONE}: 8 answers are to no clip that it asks about: "
        "PI-1, PI-2, PI-3, PI-4, PI-5 and 3 more"
    ]


def test_a_task_without_a_file_is_a_task_without_answers(
    tmp_path: Path, warnings: list[str]
) -> None:
    write(tmp_path / f"{TONE}.json", {"PI-1": "Positive"})
    model = UgcReplay(str(tmp_path))
    (answer,) = answers(model, {OCR: ["PI-1"]})
    assert answer.generation == {"error": "no file of answers was given for this task"}
    assert warnings == [f"{OCR}: no file of answers was given for this task"]


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
    answer = Replayed("one")
    answer.generation = {"heard": True}
    copied = pickle.loads(pickle.dumps(answer))  # noqa: S301
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


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("[1]", "cannot be read"),
        ("nowhere.jsonl", "nowhere.jsonl: cannot be read"),
        ("", "no file of answers (.json, .jsonl, .csv) in it"),
    ],
)
def test_what_names_no_answers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=re.escape(reason)):
        UgcReplay(given)


def test_tasks_need_no_clips_as_long_as_the_model_is_there(
    tmp_path: Path, make_full_home: Any
) -> None:
    make_full_home(3, videos=False)
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-001": "A"})))
    model.clean()  # after the answers and before the scores, for which tasks are asked again
    assert len(current_run("tone").documents()) == 3
    del model
    gc.collect()
    with pytest.raises(DataError, match="clips are missing"):
        current_run("tone")


def asked(task: str, index: int = 0, **generation: Any) -> Instance:
    """A request about a document."""
    return Instance(
        request_type="generate_until",
        arguments=("?", None, generation, index, task, "test"),
        idx=0,
        metadata={"task": task, "doc_id": index, "repeats": 1},
    )


def test_a_task_of_the_user_s_own_about_these_clips_is_answered(tmp_path: Path) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one"})))
    assert answers(model, {"my_variant": ["PI-1"]}) == ["one"]


def test_clips_that_have_an_answer_come_first(tmp_path: Path, make_full_home: Any) -> None:
    """``--limit`` takes the first documents."""
    make_full_home(4)
    rows = [{"video_id": f"{i}.mp4", "prediction": "A"} for i in ("PI-001", "PI-003")]
    model = UgcReplay(str(write(tmp_path / "a.json", rows)))
    tone = current_run("tone")
    ids = [document["video_id"] for document in tone.documents()]
    assert ids == ["PI-001", "PI-003", "PI-000", "PI-002"]
    del model
    gc.collect()
    assert [document["video_id"] for document in tone.documents()] == sorted(ids)


def test_known_clips_that_were_not_asked_about_are_not_called_unknown(
    tmp_path: Path, warnings: list[str]
) -> None:
    """With ``--limit``, or on another rank."""
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "one", "PI-2": "two"})))
    model.task_dict[TONE] = {"test": [{"video_id": "PI-1"}, {"video_id": "PI-2"}]}
    request = asked(TONE)
    assert [result.text for result in model.generate_until([request])] == ["one"]
    assert warnings == []


def test_samples_without_an_id_are_given_to_their_clips(tmp_path: Path) -> None:
    rows = [{"doc_id": i, "target": f"t{i}", "filtered_resps": f"a{i}"} for i in (1, 0)]
    model = UgcReplay(str(write(tmp_path / "a.json", rows)))
    model.task_dict[TONE] = {"test": [{"video_id": f"PI-{i}", "answer": f"t{i}"} for i in (0, 1)]}
    requests = [asked(TONE, i) for i in (0, 1)]
    assert [result.text for result in model.generate_until(requests)] == ["a0", "a1"]


def test_a_file_that_does_not_fit_a_task_costs_that_task_alone(
    tmp_path: Path, warnings: list[str]
) -> None:
    caption = "A man in a red coat walks along a beach with his dog while soft music plays there."
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": caption, "PI-2": caption})))
    documents = [{"video_id": f"PI-{i}", "options": ["Positive", "Negative"]} for i in (1, 2)]
    model.task_dict[TONE] = {"test": documents}
    model.task_dict[CAPTION] = {"test": [{"video_id": f"PI-{i}", "answer": "x"} for i in (1, 2)]}
    model.task_dict[OCR] = {"test": [{"video_id": "PI-7", "answer": ["x"]}]}
    requests = [asked(task, 0) for task in (TONE, CAPTION, OCR)]
    tone, said, ocr = [result.text for result in model.generate_until(requests)]
    assert (said, said.generation) == (caption, None)
    assert tone == ocr == ""
    assert "long texts that name none of the options" in tone.generation["error"]
    assert "none of its clips is one that this task asks about" in ocr.generation["error"]
    assert warnings == [f"{TONE}: {tone.generation['error']}", f"{OCR}: {ocr.generation['error']}"]


def test_letters_are_no_captions_here_either(tmp_path: Path) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": "A", "PI-2": "B"})))
    first, _ = answers(model, {CAPTION: ["PI-1", "PI-2"]})
    assert "options or letters" in (first.generation or {})["error"]


def test_answers_that_equal_their_references_are_noted(tmp_path: Path, warnings: list[str]) -> None:
    model = UgcReplay(str(write(tmp_path / "a.json", {f"PI-{i}": "Positive" for i in range(3)})))
    documents = [{"video_id": f"PI-{i}", "answer": "Positive"} for i in range(3)]
    model.task_dict[TONE] = {"test": documents}
    request = asked(TONE)
    model.generate_until([request])
    assert "3 of 3 answers are the same as their references" in warnings[0]


def test_the_field_of_the_answer_can_be_named(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.json", [{"video_id": "PI-1", "answer": "x", "pred": "one"}]))
    with pytest.raises(DataError, match=r"say which .* .ugc_replay: answer_field="):
        UgcReplay(path)
    assert answers(UgcReplay(path, answer_field="pred"), {TONE: ["PI-1"]}) == ["one"]


def test_two_files_of_one_task_are_refused(tmp_path: Path) -> None:
    for suffix in ("json", "jsonl"):
        write(tmp_path / f"{TONE}.{suffix}", {"PI-1": "A"})
    with pytest.raises(DataError, match=f"both {TONE}.json and {TONE}.jsonl are in it"):
        UgcReplay(str(tmp_path))


def tracked(model: Any, arguments: str) -> GeneralConfigTracker:
    tracker = GeneralConfigTracker()
    tracker.log_experiment_args(model, arguments, "", "", False)
    return tracker


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({}, "captions of a model"),
        ({"name": "org/a model"}, "org/a model"),
        ({"name": 7}, "7"),
    ],
)
def test_results_are_filed_under_the_model_s_name(
    tmp_path: Path, given: dict[str, Any], called: str
) -> None:
    path = write(tmp_path / "captions of a model.json", {"PI-1": "one"})
    model = UgcReplay(str(path), **given)
    tracker = tracked("ugc_replay", f"answers={path}")
    assert tracker.model_name == called
    assert tracker.model_name_sanitized == called.replace("/", "__")
    assert tracked(model, "").model_name == called
    assert tracked("another", "model=b").model_name == "b"
    assert tracked("another", "").model_name == ""


def test_several_files_are_called_after_their_folder(tmp_path: Path) -> None:
    write(tmp_path / f"{TONE}.json", {"PI-1": "one"})
    assert UgcReplay(str(tmp_path)).name == tmp_path.name
    odd = write(tmp_path / ("x\x1b[31m" + "y" * 150 + ".json"), {"PI-1": "one"})
    assert UgcReplay(str(odd)).name.startswith("x\\x1b[31my")
    assert len(UgcReplay(str(odd)).name) == 100


@pytest.mark.parametrize("name", ["..", " ", ".", "a\nb", "x" * 101])
def test_what_cannot_be_a_folder_is_no_name(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.json", {"PI-1": "one"})
    with pytest.raises(DataError, match="this cannot be the name of a folder"):
        UgcReplay(str(path), name=name)


def test_the_cache_by_document_number_does_not_answer(tmp_path: Path) -> None:
    """Another file of answers, or another limit, has other clips under the same numbers."""
    cache = ResponseCache.create(
        cache_root=str(tmp_path / "cache"),
        model="ugc_replay",
        model_args="",
        task_dict={},
        world_size=1,
        global_rank=0,
    )
    said = []
    for text in ("one", "two"):
        model = UgcReplay(str(write(tmp_path / "a.json", {"PI-1": text})))
        model.task_dict[TONE] = {"test": [{"video_id": "PI-1"}]}
        said += [
            result.text
            for result in cache.execute(model, "generate_until", [asked(TONE, temperature=0)])
        ]
    assert said == ["one", "two"]
