"""What is asked of each clip, from the annotation file of each layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.annotations import TONES, ocr_texts, video_ids, write_annotations
from tests.support.reference import reference_dir
from ugc_tasks.benchmark import OCR_QUESTION, SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.prompts import Asked, ask, with_options


def asked(folder: Path, name: str, clips: int = 3) -> Asked:
    write_annotations(folder, clips)
    return ask(SPECS[name], folder / SPECS[name].annotations)


def test_options_stand_lettered_under_the_question() -> None:
    assert with_options("Which one?", ("Red", "Blue")) == "Which one?\nA. Red\nB. Blue"


def test_a_choice_question_offers_its_options_and_expects_one_of_them(tmp_path: Path) -> None:
    document = asked(tmp_path, "tone").document("PI-002")
    assert document == {
        "question": "What about tone?\nA. Positive\nB. Neutral\nC. Negative",
        "answer": "Negative",  # "negative" in the file: spelled as the option is
        "options": TONES,
    }


def test_a_text_question_is_asked_as_it_is_written(tmp_path: Path) -> None:
    assert asked(tmp_path, "objects").document("PI-001") == {
        "question": "What about object?",
        "answer": "Reference 1 of object.",
        "options": [],
    }


def test_ocr_is_asked_in_our_words_and_expects_the_list_of_texts(tmp_path: Path) -> None:
    document = asked(tmp_path, "ocr").document("PI-001")
    assert document == {"question": OCR_QUESTION, "answer": ocr_texts(1), "options": []}


@pytest.mark.parametrize("name", SPECS)
def test_every_task_has_its_clips_in_the_files_order(tmp_path: Path, name: str) -> None:
    questions = asked(tmp_path, name, 4)
    assert list(questions.references) == video_ids(4)
    assert questions.question


@pytest.mark.parametrize("name", ["caption", "tone", "ocr"])
def test_the_digest_tells_other_references_and_not_another_layout(
    tmp_path: Path, name: str
) -> None:
    before = asked(tmp_path, name)
    path = tmp_path / SPECS[name].annotations
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    again = "\n".join(json.dumps(line, indent=None, sort_keys=True) for line in lines)
    path.write_text(again)
    assert ask(SPECS[name], path).sha256 == before.sha256
    assert asked(tmp_path, name, 4).sha256 != before.sha256


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    write_annotations(tmp_path, 2)
    with pytest.raises(DataError, match="options"):
        ask(SPECS["tone"], tmp_path / "object.json")
    with pytest.raises(DataError):
        ask(SPECS["caption"], tmp_path / "ocr.jsonl")


PUBLISHED_COUNTS = {
    "caption": 999,
    "voice_source": 669,
    "tone": 999,
    "ocr": 826,
    "background": 311,
    "objects": 997,
    "audio_caption": 999,
    "visual_caption": 999,
    "bgm": 999,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED_COUNTS.items())
def test_the_published_files_have_the_published_counts(name: str, count: int) -> None:
    questions = ask(SPECS[name], reference_dir() / "questions" / SPECS[name].annotations)
    assert len(questions.references) == count
    if name == "bgm":
        assert set(questions.references.values()) == {"No"}
