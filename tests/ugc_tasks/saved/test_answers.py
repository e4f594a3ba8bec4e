"""Saved answers in every layout that they are found in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.data.home import DataError
from ugc_tasks.saved.answers import NO_ANSWER, SavedAnswer, read_answers


def written(folder: Path, content: Any) -> Path:
    path = folder / "answers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def lines(*rows: Any) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def values(path: Path) -> dict[str, Any]:
    return {i: answer.value for i, answer in read_answers(path).answers.items()}


@pytest.mark.parametrize("key", ["caption", "predict", "predict_ocr", "prediction", "answer"])
def test_rows_hold_the_answer_under_one_of_several_names(tmp_path: Path, key: str) -> None:
    rows = [{"video_id": "PI-1", key: "one"}, {"video_id": "PI-2", key: "two"}]
    assert values(written(tmp_path, rows)) == {"PI-1": "one", "PI-2": "two"}
    assert values(written(tmp_path, lines(*rows))) == {"PI-1": "one", "PI-2": "two"}


def test_an_object_may_map_ids_to_answers(tmp_path: Path) -> None:
    content = {"PI-1": "one", "PI-2": {"ocr": ["two"]}, "PI-3": None}
    assert values(written(tmp_path, content)) == content


def test_lmms_evals_samples_hold_what_its_filters_left(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines(
            {"doc_id": 0, "video_id": "PI-1", "resps": " one ", "filtered_resps": "one",
             "target": "right", "generation": {"error": None, "heard": True}},
            {"doc_id": 1, "video_id": "PI-2", "resps": [["two"]], "filtered_resps": ["two"]},
            {"doc_id": 2, "video_id": "PI-3", "resps": [["three"]]},
            {"doc_id": 3, "video_id": "PI-4", "filtered_resps": "",
             "generation": {"error": "broken clip"}},
        ),
    )  # fmt: skip
    answers = read_answers(path).answers
    assert answers["PI-1"] == SavedAnswer(
        "one", reference="right", generation={"error": None, "heard": True}
    )
    assert (answers["PI-2"].value, answers["PI-3"].value) == ("two", "three")
    assert answers["PI-4"].error == "broken clip"


def test_the_authors_files_have_the_reference_beside_the_answer(tmp_path: Path) -> None:
    samples = [{"video_id": "PI-1", "answer": "right", "predict": "said"}]
    answer = read_answers(written(tmp_path, {"question": "?", "samples": samples})).answers["PI-1"]
    assert answer == SavedAnswer("said", reference="right")
    row = {"video_id": "PI-1", "ocr": ["right"], "predict_ocr": {"ocr": ["said"]}}
    answer = read_answers(written(tmp_path, lines(row))).answers["PI-1"]
    assert answer == SavedAnswer({"ocr": ["said"]}, reference=["right"])


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines(
            {"video_id": "PI-1", "caption": "fine", "error": None},
            {"video_id": "PI-2", "caption": "", "error": "blocked"},
            {"video_id": "PI-3", "error": {"code": 500}},
        ),
    )
    errors = {i: answer.error for i, answer in read_answers(path).answers.items()}
    assert errors == {"PI-1": "", "PI-2": "blocked", "PI-3": "{'code': 500}"}


def test_null_is_a_failure_and_a_blank_text_is_an_answer(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "predict": None}, {"video_id": "PI-2", "predict": ""}]
    for content in (rows, {"PI-1": None, "PI-2": ""}):
        answers = read_answers(written(tmp_path, content)).answers
        assert (answers["PI-1"].error, answers["PI-2"].error) == (NO_ANSWER, "")


def test_half_of_a_surrogate_pair_does_not_get_past_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[{"video_id": "PI-1", "caption": ["a\\ud83d", "\\ud83d\\ude00"]}]')
    assert values(path) == {"PI-1": ["a?", "\U0001f600"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"video_id": "PI-1", "caption": "a"}] * 2, "answered more than once: PI-1; leave one"),
        ('{"PI-1": "a", "PI-1": "b"}', "'PI-1' is there twice"),
        ([], "there is no answer in it"),
        ([{"video_id": "PI-1"}], "row 1: PI-1 has no answer; it is looked for in caption"),
        ([{"video_id": "PI-1", "caption": "a", "predict": "b"}], "which is the answer"),
        ({"evaluations": {}}, "these are scores, not answers"),
        ({"question": "?", "samples": [{"video_id": "PI-1", "answer": "a"}]}, "annotation file"),
        ({"../PI-1": "a"}, "'../PI-1' is no video_id"),
        ([{"caption": "a"}], "row 1: there is no usable video_id: None"),
        ("7", "row 1: a row is an object"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, content: Any, reason: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=reason) as error:
        read_answers(path)
    assert str(error.value).startswith(str(path))


def test_of_many_duplicates_a_few_are_named(tmp_path: Path) -> None:
    rows = [{"video_id": f"PI-{i}", "caption": "a"} for i in range(8)] * 2
    with pytest.raises(DataError, match="PI-0, PI-1, PI-2, PI-3, PI-4 and 3 more"):
        read_answers(written(tmp_path, rows))


@pytest.mark.parametrize(
    ("file", "n", "with_reference"),
    [
        ("captions/gemini_2.5_flash.jsonl", 996, False),
        ("captions/minicpm_captions.jsonl", 1000, False),
        ("captions/omni_baseline.jsonl", 999, False),
        ("captions/UGC_VideoCaptioner_inference.jsonl", 999, False),
        ("ocr/gemini-2.5-flash.jsonl", 826, True),
        ("ocr/gemma_e2b_ocr_output_cleaned.jsonl", 826, True),
        ("ocr/ocr_omni3b.jsonl", 826, True),
        ("objects/omni3b_object.json", 997, True),
        ("background/omni3b_output.json", 311, True),
    ],
)
def test_every_recorded_file_is_read(file: str, n: int, with_reference: bool) -> None:
    answers = read_answers(reference_dir() / file).answers
    assert len(answers) == n
    assert all((a.reference is not None) == with_reference for a in answers.values())
    failed = [i for i, answer in answers.items() if answer.error]
    assert len(failed) == (file == "background/omni3b_output.json"), "one null is recorded"
