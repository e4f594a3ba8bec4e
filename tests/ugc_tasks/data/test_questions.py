"""An annotation file is read as what it claims to be, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.data.questions import (
    Questions,
    clip_ids,
    clip_rows,
    read_choice_questions,
    read_ocr_references,
    read_questions,
)

QUESTION = "What happens in the clip?"
Read = Callable[[Any], Questions]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a file of this content: text, bytes, or anything else as JSON."""

    def read_content(content: Any) -> Questions:
        path = tmp_path / "qa.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, "utf-8")
        return read_questions(path)

    return read_content


def sample(video_id: Any = "PI-1", answer: Any = "A cat sleeps.", **more: Any) -> dict[str, Any]:
    return {"video_id": video_id, "answer": answer, **more}


def a_file_of(*samples: Any, **changed: Any) -> dict[str, Any]:
    return {"question": QUESTION, "samples": list(samples)} | changed


def test_the_published_file_has_999_captions() -> None:
    published = read_questions(reference_dir() / "questions" / "final_caption_qa.json")
    assert len(published.references) == 999
    assert all(video_id.startswith("PI-") for video_id in published.references)
    assert published.question.strip()


def test_question_ids_and_answers_are_kept_as_they_are_in_the_files_order(read: Read) -> None:
    found = read(a_file_of(sample("b", "Später.\n"), sample("a", " Früher."), valid_count=7))
    assert found.question == QUESTION
    assert list(found.references.items()) == [("b", "Später.\n"), ("a", " Früher.")]


def test_the_authors_own_paths_are_passed_over(read: Read) -> None:
    assert read(a_file_of(sample(path="/etc/passwd"))).references == {"PI-1": "A cat sleeps."}


def test_the_digest_tells_contents_apart_and_not_layouts(read: Read) -> None:
    one, two = sample("a", "One."), sample("b", "Two.")
    digest = read(a_file_of(one, two)).sha256
    assert read(a_file_of(two | {"path": "elsewhere"}, one, valid_count=2)).sha256 == digest
    assert read(json.dumps(a_file_of(one, two), indent=4)).sha256 == digest
    others = [
        a_file_of(one),
        a_file_of(one, sample("b", "Two")),
        a_file_of(one, sample("c", "Two.")),
        a_file_of(sample("a", "Two."), sample("b", "One.")),
        a_file_of(one, two, question=QUESTION + " "),
    ]
    assert len({read(other).sha256 for other in others} | {digest}) == len(others) + 1


@pytest.mark.parametrize(
    "video_id",
    [
        "../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "..",
        ".hidden",
        "-rf",
        "",
        " ",
        "a b",
        "a\n",
        "a\x00",
        "ä",
        "a" * 129,
        7,
        None,
        ["a"],
    ],
)
def test_an_id_that_is_no_plain_file_name_is_refused(read: Read, video_id: Any) -> None:
    with pytest.raises(DataError, match=r"row 2: there is no usable video_id") as caught:
        read(a_file_of(sample(), sample(video_id)))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("answer", ["", " \n", None, 3, ["text"], "half \ud800"])
def test_a_sample_without_an_answer_is_named(read: Read, answer: Any) -> None:
    with pytest.raises(DataError, match=r"qa\.json, row 2: PI-2 has no answer"):
        read(a_file_of(sample(), sample("PI-2", answer)))


def test_a_clip_that_is_there_twice_is_named(read: Read) -> None:
    with pytest.raises(DataError, match=r"qa\.json, row 3: PI-1 is there twice"):
        read(a_file_of(sample(), sample("PI-2"), sample(answer="Another.")))


@pytest.mark.parametrize(
    "content",
    [
        [],
        [sample()],
        "null",
        {"samples": [sample()]},
        {"question": QUESTION},
        a_file_of(sample(), question=" "),
        a_file_of(sample(), question=["?"]),
        a_file_of(sample(), question="\udfff?"),
        a_file_of(samples={"PI-1": "A cat sleeps."}),
    ],
)
def test_another_kind_of_file_is_refused_with_the_form_expected(read: Read, content: Any) -> None:
    with pytest.raises(DataError, match=r'\{"question": text, "samples": \[...\]\}'):
        read(content)


def test_a_file_without_samples_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match="there is no clip in it"):
        read(a_file_of())


def test_what_is_not_json_is_refused_in_a_sentence(read: Read) -> None:
    with pytest.raises(DataError, match=r"qa\.json: not valid JSON") as caught:
        read(json.dumps(a_file_of(sample()))[:-5])
    assert len(str(caught.value)) < 400


OPTIONS = ["Positive", "Negative"]


def choice(folder: Path, *samples: dict[str, Any]) -> Path:
    path = folder / "tone.json"
    path.write_text(json.dumps({"question": "Which tone?", "samples": samples}), "utf-8")
    return path


def test_labels_are_spelled_as_the_options_are(tmp_path: Path) -> None:
    questions = read_choice_questions(
        choice(
            tmp_path,
            sample("PI-1", "negative", options=OPTIONS),
            sample("PI-2", " Positive ", options=OPTIONS[::-1]),
        )
    )
    assert questions.question == "Which tone?"
    assert questions.references == {"PI-1": "Negative", "PI-2": "Positive"}
    assert questions.options == {"PI-1": tuple(OPTIONS), "PI-2": tuple(OPTIONS[::-1])}


def test_a_label_that_is_no_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answer of PI-1 is none of its options: 'Sad'"):
        read_choice_questions(choice(tmp_path, sample(answer="Sad", options=OPTIONS)))


@pytest.mark.parametrize(
    "options", [None, "Yes", [], ["Yes"], ["Yes", "yes "], ["Yes", 1], ["Yes", " "], ["a"] * 27]
)
def test_options_that_cannot_be_told_apart_are_refused(tmp_path: Path, options: Any) -> None:
    with pytest.raises(DataError, match="PI-1 needs 2 to 26 different options"):
        read_choice_questions(choice(tmp_path, sample(answer="Yes", options=options)))


def test_there_may_be_as_many_options_as_letters(tmp_path: Path) -> None:
    letters = [f"Option {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    path = choice(tmp_path, sample(answer="option z", options=letters))
    assert read_choice_questions(path).references == {"PI-1": "Option Z"}
    path = choice(tmp_path, sample(answer="option z", options=[*letters, "one more"]))
    with pytest.raises(DataError, match="PI-1 needs 2 to 26 different options"):
        read_choice_questions(path)


def ocr(folder: Path, *rows: Any) -> Path:
    path = folder / "ocr.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def test_ocr_references_are_lists_of_texts_by_clip(tmp_path: Path) -> None:
    path = ocr(
        tmp_path, {"video_id": "PI-1", "ocr": ["a", "b"]}, {"video_id": "PI-2", "ocr": ["c"]}
    )
    assert read_ocr_references(path) == {"PI-1": ["a", "b"], "PI-2": ["c"]}


@pytest.mark.parametrize("texts", [None, "text", [], [""], ["a", 1], {"ocr": ["a"]}])
def test_an_ocr_reference_without_text_is_refused(tmp_path: Path, texts: Any) -> None:
    with pytest.raises(DataError, match="row 1: PI-1 needs a list of texts in 'ocr'"):
        read_ocr_references(ocr(tmp_path, {"video_id": "PI-1", "ocr": texts}))


def test_a_clip_named_twice_is_refused(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "ocr": ["a"]}
    with pytest.raises(DataError, match="row 2: PI-1 is there twice"):
        read_ocr_references(ocr(tmp_path, row, row))


def test_an_ocr_reference_may_be_long_but_not_without_limit(tmp_path: Path) -> None:
    long = {"video_id": "PI-1", "ocr": ["a" * 2000, "b" * 2094]}  # and a blank after each
    assert read_ocr_references(ocr(tmp_path, long)) == {"PI-1": long["ocr"]}
    longer = {"video_id": "PI-1", "ocr": ["a" * 2000, "b" * 2095]}
    with pytest.raises(DataError, match="more than 4096 characters"):
        read_ocr_references(ocr(tmp_path, longer))


def test_a_blank_among_texts_is_a_text_and_alone_is_none(tmp_path: Path) -> None:
    path = ocr(tmp_path, {"video_id": "PI-1", "ocr": ["a", ""]})
    assert read_ocr_references(path) == {"PI-1": ["a", ""]}
    with pytest.raises(DataError, match="at least one of them not blank"):
        read_ocr_references(ocr(tmp_path, {"video_id": "PI-1", "ocr": [" ", "\n"]}))


def test_a_file_without_ocr_references_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no clip in it"):
        read_ocr_references(ocr(tmp_path, []))


def test_the_clips_of_a_file_of_any_form_are_told(tmp_path: Path) -> None:
    one = {"video_id": "PI-1", "ocr": ["a"]}
    assert clip_ids(ocr(tmp_path, one)) == ("PI-1",)
    assert clip_ids(ocr(tmp_path, one, one, one | {"video_id": "PI-2"})) == ("PI-1", "PI-2")
    assert clip_ids(choice(tmp_path, sample("PI-2"), sample())) == ("PI-2", "PI-1")
    for wrong in ({"samples": {}}, {"samples": [{}]}, {"samples": [{"video_id": ".."}]}, "text"):
        with pytest.raises(DataError):
            clip_ids(ocr(tmp_path, wrong))


@pytest.mark.parametrize("row", [1, [], {}, {"video_id": 1}, {"video_id": ".."}])
def test_a_row_without_a_usable_id_is_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(DataError, match="row 2: "):
        list(clip_rows(tmp_path / "rows", [{"video_id": "PI-1"}, row]))
