"""Saved answers in every layout that they are found in."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.results.answers import NO_ANSWER, SavedAnswer, read_answers


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


NAMES_OF_A_TEXT = """answer answers caption captions completion completions content description
generated generation hyp hypothesis output outputs pred predict predicted prediction predictions
preds reply response responses resps result summary text"""
NAMES_ABOUT_A_TEXT = """accuracy chars code confidence correct count date duration error failed file
format gold ground gt hash id ids index judge kind label lang language latency len length level
logprob logprobs name num path probability prompt question reason ref reference score scores source
status target time token tokens truth type url usage version words"""


@pytest.mark.parametrize("name", NAMES_OF_A_TEXT.split())
def test_a_field_with_such_a_word_in_its_name_is_the_text(tmp_path: Path, name: str) -> None:
    for key in (name, f"model_{name}", f"model{name.title()}"):
        row = {"video_id": "PI-1", key: "said"}
        assert values(written(tmp_path, [row])) == {"PI-1": "said"}


@pytest.mark.parametrize("word", NAMES_ABOUT_A_TEXT.split())
def test_a_field_with_such_a_word_in_its_name_is_about_the_text(tmp_path: Path, word: str) -> None:
    row = {"video_id": "PI-1", f"caption_{word}": "right", "caption": "said"}
    assert values(written(tmp_path, [row])) == {"PI-1": "said"}


TWO_TEXTS = [
    ("answer", "pred"),
    ("answer", "prediction"),
    ("answer", "response"),
    ("answer", "responses"),
    ("answer", "output"),
    ("answer", "model_output"),
    ("answer", "modelOutput"),
    ("answer", "text"),
    ("answer", "generated_text"),
    ("answer", "completion"),
    ("answer", "model_answer"),
    ("answer", "caption"),
    ("caption", "predict"),
    ("caption", "predicted_caption"),
    ("answer", "Qwen-Response"),
    ("answer", "generation"),
    ("text", "output"),
    ("answer", "predict_ocr"),
]


@pytest.mark.parametrize(("first", "second"), TWO_TEXTS)
def test_the_truth_is_not_taken_for_the_prediction(tmp_path: Path, first: str, second: str) -> None:
    """One of two fields that could be the model's text may be the reference."""
    row = {"video_id": "PI-1", "question": "?", first: "right", second: "said"}
    names = f'row 1: 2 fields could be the model\'s text, "{first}" and "{second}"; say which with'
    for content in ([row], lines(row, row | {"video_id": "PI-2"}), {"PI-1": row}, {"rows": [row]}):
        path = written(tmp_path, content)
        with pytest.raises(DataError) as error:
            read_answers(path)
        assert names.removeprefix("row 1: ") in str(error.value)
        assert "--answer-field" in str(error.value)
        assert read_answers(path, second).answers["PI-1"].value == "said"
        assert read_answers(path, first).answers["PI-1"].value == "right"


def test_a_third_field_beside_answer_and_predict_makes_it_unclear(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "answer": "right", "predict": "said", "caption": "also"}
    with pytest.raises(DataError, match="3 fields could be the model's text"):
        read_answers(written(tmp_path, [row]))


def test_the_field_that_was_chosen_is_not_its_own_reference(tmp_path: Path) -> None:
    path = written(tmp_path, [{"video_id": "PI-1", "ocr": "right", "predict_ocr": "said"}])
    assert read_answers(path, "ocr").answers["PI-1"] == SavedAnswer("right")
    assert read_answers(path, "predict_ocr").answers["PI-1"] == SavedAnswer("said", "", "right")


def test_a_row_without_the_field_that_was_chosen_has_no_answer(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "answer": "right"}, {"video_id": "PI-2", "pred": "said"}]
    answers = read_answers(written(tmp_path, rows), "pred").answers
    assert answers == {"PI-1": SavedAnswer(None, NO_ANSWER), "PI-2": SavedAnswer("said")}


def test_how_an_answer_came_about_is_not_its_text(tmp_path: Path) -> None:
    how = {"finish_reason": "stop"}
    path = written(tmp_path, [{"video_id": "PI-1", "caption": "said", "generation": how}])
    assert read_answers(path).answers["PI-1"] == SavedAnswer("said", generation=how)


def test_a_number_beside_the_truth_may_be_the_prediction_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"answer" and "pred"'):
        read_answers(written(tmp_path, [{"video_id": "PI-1", "answer": "positive", "pred": 2}]))
    with pytest.raises(DataError, match='"answer" and "pred"'):
        read_answers(written(tmp_path, [{"video_id": "PI-1", "answer": "positive", "pred": None}]))


def test_a_row_without_the_field_of_the_others_has_no_answer(tmp_path: Path) -> None:
    """Its reference is not taken for one."""
    rows = [
        {"video_id": "PI-1", "answer": "right", "predict": "said"},
        {"video_id": "PI-2", "answer": "right"},
    ]
    answers = read_answers(written(tmp_path, rows)).answers
    assert answers["PI-1"] == SavedAnswer("said", reference="right")
    assert answers["PI-2"] == SavedAnswer(None, NO_ANSWER, reference="right")


def test_rows_that_disagree_on_the_field_are_refused_at_the_second_one(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "answer": "a"}, {"video_id": "PI-2", "pred": "b"}]
    with pytest.raises(DataError, match=r"row 2: 2 fields could be .* \"answer\" and \"pred\""):
        read_answers(written(tmp_path, rows))


def test_fields_about_a_text_are_not_the_text(tmp_path: Path) -> None:
    row = {
        "video_id": "PI-1", "caption": "said", "output_tokens": 3,
        "answer_type": "x", "prompt_text": "?", "text_file": "a.txt", "answerId": 7,
        "reference_answer": "right", "gt_caption": "right", "error": None, "caption_score": 3,
    }  # fmt: skip
    assert values(written(tmp_path, [row])) == {"PI-1": "said"}


def test_a_field_that_no_row_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, [{"video_id": "PI-1", "caption": "a"}])
    with pytest.raises(DataError, match='no row has the field "pred"; there are video_id, caption'):
        read_answers(path, "pred")
    with pytest.raises(DataError, match="its answers have no fields"):
        read_answers(written(tmp_path, {"PI-1": "a"}), "pred")


@pytest.mark.parametrize(
    "spelled",
    [
        "PI-1", " PI-1 ", "PI-1.mp4", "PI-1.MP4", "PI-1.webm", "/data/clips/PI-1.mp4",
        "./PI-1.mov", "..\\clips\\PI-1.mp4", "C:\\clips\\PI-1.MP4", "../PI-1",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "key", ["video_id", "video", "id", "video_path", "path", "file", "videoId", "Video_ID"]
)
def test_a_clip_is_named_as_people_name_it(tmp_path: Path, key: str, spelled: str) -> None:
    assert values(written(tmp_path, [{key: spelled, "caption": "a"}])) == {"PI-1": "a"}
    assert values(written(tmp_path, {spelled: "a"})) == {"PI-1": "a"}


NAMES_OF_A_CLIP = """video_id clip_id video clip video_name video_file video_filename video_path
clip_path custom_id filename file file_path path id"""


@pytest.mark.parametrize(("name", "later"), pairwise([*NAMES_OF_A_CLIP.split(), "number"]))
def test_the_first_of_these_fields_names_the_clip(tmp_path: Path, name: str, later: str) -> None:
    row = {later: "PI-2", name: "PI-1", "caption": "a"}
    assert values(written(tmp_path, [row])) == {"PI-1": "a"}


def test_the_field_that_says_it_is_the_clip_s_id_is_believed_before_others(tmp_path: Path) -> None:
    row = {"path": "/x/PI-3.mp4", "id": "7", "video": "PI-2.mp4", "video_id": "PI-1", "answer": "a"}
    assert values(written(tmp_path, [row])) == {"PI-1": "a"}
    del row["video_id"]
    assert values(written(tmp_path, [row])) == {"PI-2": "a"}


def test_two_spellings_of_one_clip_are_two_answers_to_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answered more than once: PI-1"):
        read_answers(written(tmp_path, {"PI-1": "a", "PI-1.mp4": "b"}))


def test_a_reference_that_lmms_eval_wrote_as_json_is_the_list_again(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "filtered_resps": "said", "target": '["one", "two"]'}
    deep = "[" * 900 + "]" * 900
    for target, reference in {'["one"]': ["one"], "[one": "[one", deep: deep}.items():
        answers = read_answers(written(tmp_path, [row | {"target": target}])).answers
        assert answers["PI-1"].reference == reference


def test_samples_with_a_field_that_names_no_clip_have_their_number(tmp_path: Path) -> None:
    row = {"doc_id": 3, "target": "right", "path": ["a", "b"], "filtered_resps": ["said"]}
    (answer,) = read_answers(written(tmp_path, [row])).unnamed
    assert (answer.document, answer.target, answer.answer.value) == (3, "right", "said")


def test_samples_without_an_id_keep_their_number_and_reference(tmp_path: Path) -> None:
    """As ``lmms-eval --predict_only`` writes them."""
    row = {"doc_id": 3, "target": "right", "filtered_resps": "said", "bypass": [["x"], ["y"]]}
    saved = read_answers(written(tmp_path, lines(row)))
    assert not saved.answers
    (unnamed,) = saved.unnamed
    assert (unnamed.document, unnamed.target, unnamed.answer.value) == (3, "right", "said")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_is_read_if_its_columns_are_clear(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(("video", "prediction", "error"))
    text += "\r\n" + delimiter.join(("PI-1.mp4", '"a, ""b"";\nc"', "")) + "\r\n\r\n"
    text += delimiter.join(("PI-2.mp4", "", "blocked")) + "\r\n"
    answers = read_answers(written(tmp_path, "\ufeff" + text)).answers
    assert answers["PI-1"] == SavedAnswer('a, "b";\nc')
    assert answers["PI-2"] == SavedAnswer("", error="blocked")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,caption\nPI-1,a\n", "row 1: no field names the clip .*; there are name, caption"),
        ("video_id,x\nPI-1,a\n", "no field is known to hold the model's text.*video_id, x"),
        ("video_id,answer,pred\nPI-1,a,b\n", '2 fields could be .*"answer" and "pred"'),
        ("video_id,caption\nPI-1,a, b\n", "line 2: 3 cells, but its head has 2 columns: quote"),
        ("video_id,caption\nPI-1,a\nPI-2\n", "line 3: 1 cells, but its head has 2 columns: quote"),
        ("video_id,caption,caption\nPI-1,a,b\n", 'column "caption" is there twice'),
        ('video_id,caption\nPI-1,"a\n', "line 2: not valid CSV"),
        ("video_id,caption\nPI-1," + "a" * 140_000, "not valid CSV .field larger than"),
        ("video_id,caption\n", "there is no answer in it"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_answers(written(tmp_path, text))


ODD = [5, 1.5, True, None, "text", [], [[1]], {}, {"a": {"b": None}}, int("1" + "0" * 400)]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize(
    "key", ["generation", "error", "filtered_resps", "caption", "target", "doc_id", "video_id"]
)
def test_a_value_of_any_type_is_read_or_refused_in_a_sentence(
    tmp_path: Path, key: str, odd: Any
) -> None:
    row = {"video_id": "PI-1", "filtered_resps": "a", "target": "b", "doc_id": 0}
    if key == "caption":
        del row["filtered_resps"]
    try:
        saved = read_answers(written(tmp_path, [row | {key: odd}]))
    except DataError as error:
        assert len(str(error)) < 400
        assert "row 1" in str(error)
    else:
        (answer,) = (*saved.answers.values(), *(each.answer for each in saved.unnamed))
        assert isinstance(answer.error, str)
        json.dumps([answer.value, answer.generation], allow_nan=False)


def test_what_a_model_reported_is_kept_and_its_error_is_a_text(tmp_path: Path) -> None:
    told = {"error": 0, "flags": ["cut", 5, None], "seconds": float("inf"), "x": "a\ud800"}
    row = {"video_id": "PI-1", "filtered_resps": "a", "generation": told}
    answer = read_answers(written(tmp_path, [row])).answers["PI-1"]
    assert answer.generation == told | {"seconds": None, "x": "a?"}
    assert (answer.error, answer.read("caption").failure) == ("", "")
    row["generation"] = {"error": {"code": 5}, "flags": "cut"}
    answer = read_answers(written(tmp_path, [row])).answers["PI-1"]
    assert answer.error == answer.read("caption").failure == '{"code": 5}'


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "error": "x" * 5000}]
    assert read_answers(written(tmp_path, rows)).answers["PI-1"].error == "x" * 1000


def test_an_annotation_file_is_answers_where_the_user_says_so(tmp_path: Path) -> None:
    content = {"question": "?", "samples": [{"video_id": "PI-1", "answer": "a"}]}
    path = written(tmp_path, content)
    assert read_answers(path, "answer").answers["PI-1"].value == "a"


def test_two_lists_in_an_object_are_not_taken_for_the_answers(tmp_path: Path) -> None:
    rows = [{"video_id": "PI-1", "caption": "a"}]
    path = written(tmp_path, {"old": rows, "new": rows})
    assert {i: a.value for i, a in read_answers(path).answers.items()} == {"old": rows, "new": rows}


def test_the_responses_of_lmms_eval_can_be_chosen_by_name(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "filtered_resps": ["cut"], "resps": [["whole"]]}
    path = written(tmp_path, [row])
    assert read_answers(path, "resps").answers["PI-1"].value == "whole"
    assert read_answers(path, "filtered_resps").answers["PI-1"].value == "cut"


@pytest.mark.parametrize("nothing", ["", "None", "null", "NaN", "False", 0, False, [], {}])
def test_an_error_that_says_nothing_is_none(tmp_path: Path, nothing: Any) -> None:
    rows = [{"video_id": "PI-1", "caption": "a", "error": nothing}]
    assert read_answers(written(tmp_path, rows)).answers["PI-1"] == SavedAnswer("a")


def test_a_row_of_ours_says_why_there_is_no_answer(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "filtered_resps": "", "target": "x", "caption_failed": "cut off"}
    assert read_answers(written(tmp_path, [row])).answers["PI-1"].error == "cut off"
    row = {"video_id": "PI-1", "filtered_resps": "", "target": "x", "answer_failed": "blocked"}
    assert read_answers(written(tmp_path, [row])).answers["PI-1"].error == "blocked"
    row = {"video_id": "PI-1", "text": "", "finish_reason": "content_filter"}
    answer = read_answers(written(tmp_path, [row])).answers["PI-1"]
    assert answer.generation == {"finish_reason": "content_filter"}
    assert "content_filter" in answer.read("ocr").failure


def test_nan_is_no_answer(tmp_path: Path) -> None:
    """Programs write NaN where nothing is."""
    path = written(tmp_path, '[{"video_id": "PI-1", "caption": NaN, "error": NaN}]')
    assert read_answers(path).answers["PI-1"] == SavedAnswer(None, NO_ANSWER)


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


def test_a_failure_has_its_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines(
            {"video_id": "PI-1", "caption": "fine", "error": None},
            {"video_id": "PI-2", "caption": "", "error": "blocked"},
            {"video_id": "PI-3", "error": {"code": 500}},
        ),
    )
    errors = {i: answer.error for i, answer in read_answers(path).answers.items()}
    assert errors == {"PI-1": "", "PI-2": "blocked", "PI-3": '{"code": 500}'}


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
        ('{"PI-1": "a", "PI-1": "b"}', '"PI-1" is there twice'),
        ([], "there is no answer in it"),
        (
            [{"video_id": "PI-1"}],
            "row 1: no field is known .*; there are video_id; is it a file of",
        ),
        ({"evaluations": {}}, "these are scores, not answers"),
        ({"question": "?", "samples": [{"video_id": "PI-1", "answer": "a"}]}, "annotation file"),
        ({"question": "?", "rows": [{"id": "PI-1", "answer": "a"}]}, "as annotation files do"),
        ({"task": "tone", "metrics": {}, "items": []}, "these are scores, not answers"),
        ({"..": "a"}, '".." is no video_id'),
        ([{"caption": "a", "x": 1}], "row 1: no field names the clip .*; there are caption, x"),
        ([{"video_id": 5, "caption": "a"}], "row 1: the number 5 is no id of a clip"),
        ([{"video_id": {}, "caption": "a"}], "row 1: an object is no id of a clip"),
        ([{"doc_id": [], "target": "b", "caption": "a"}], "row 1: no field names the clip"),
        ([{"doc_id": 0, "target": 5, "caption": "a"}], "row 1: no field names the clip"),
        ([{"doc_id": 0, "caption": "a"}], "row 1: no field names the clip"),
        ([[]], "row 1: a row is an object with the clip's id; this is a list"),
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
