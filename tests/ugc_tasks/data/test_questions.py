"""An annotation file is read as what it claims to be, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.data import questions
from ugc_tasks.data.questions import Questions, read_questions

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
    assert len(published.answers) == 999
    assert all(video_id.startswith("PI-") for video_id in published.answers)
    assert published.question.strip()


def test_question_ids_and_answers_are_kept_as_they_are_in_the_files_order(read: Read) -> None:
    found = read(a_file_of(sample("b", "Später.\n"), sample("a", " Früher."), valid_count=7))
    assert found.question == QUESTION
    assert list(found.answers.items()) == [("b", "Später.\n"), ("a", " Früher.")]


def test_the_authors_own_paths_are_passed_over(read: Read) -> None:
    assert read(a_file_of(sample(path="/etc/passwd"))).answers == {"PI-1": "A cat sleeps."}


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
    with pytest.raises(DataError, match=r"sample 1 has no usable video_id") as caught:
        read(a_file_of(sample(), sample(video_id)))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("answer", ["", " \n", None, 3, ["text"], "half \ud800"])
def test_a_sample_without_an_answer_is_named(read: Read, answer: Any) -> None:
    with pytest.raises(DataError, match=r"qa\.json: PI-2 has no answer"):
        read(a_file_of(sample(), sample("PI-2", answer)))


def test_a_clip_that_is_there_twice_is_named(read: Read) -> None:
    with pytest.raises(DataError, match=r"qa\.json: PI-1 is there twice"):
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
    with pytest.raises(DataError, match="there is no sample in it"):
        read(a_file_of())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<html>",
        b"\x00\x01",
        b'{"question": "\xff"}',
        json.dumps(a_file_of(sample()))[:-5],
        "[" * 100_000,
        '{"question": ' + "9" * 10_000 + "}",
    ],
    ids=["empty", "a web page", "binary", "not UTF-8", "cut off", "deep", "a number too long"],
)
def test_what_is_not_json_is_refused_in_a_sentence(read: Read, content: Any) -> None:
    with pytest.raises(DataError, match=r"qa\.json: not valid JSON") as caught:
        read(content)
    assert len(str(caught.value)) < 400


def test_a_file_beyond_all_measure_is_not_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(json.dumps(a_file_of(sample())))
    monkeypatch.setattr(questions, "MAX_BYTES", size)
    assert read(a_file_of(sample())).answers
    monkeypatch.setattr(questions, "MAX_BYTES", size - 1)
    with pytest.raises(DataError, match=f"{size} bytes are too many"):
        read(a_file_of(sample()))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: cannot be read \(No such file"):
        read_questions(tmp_path / "absent.json")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_questions(tmp_path)
