"""Reading choice questions: labels are options, whatever their case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.data.choice_questions import read_choice_questions

OPTIONS = ["Positive", "Negative"]


def written(folder: Path, *samples: dict[str, Any]) -> Path:
    path = folder / "tone.json"
    path.write_text(json.dumps({"question": "Which tone?", "samples": samples}), "utf-8")
    return path


def test_labels_are_spelled_as_the_options_are(tmp_path: Path) -> None:
    questions = read_choice_questions(
        written(
            tmp_path,
            {"video_id": "PI-1", "answer": "negative", "options": OPTIONS},
            {"video_id": "PI-2", "answer": " Positive ", "options": OPTIONS[::-1]},
        )
    )
    assert questions.question == "Which tone?"
    assert questions.labels == {"PI-1": "Negative", "PI-2": "Positive"}
    assert questions.options == {"PI-1": tuple(OPTIONS), "PI-2": tuple(OPTIONS[::-1])}


def test_a_label_that_is_no_option_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"video_id": "PI-1", "answer": "Sad", "options": OPTIONS})
    with pytest.raises(DataError, match="answer of PI-1 is none of its options: 'Sad'"):
        read_choice_questions(path)


@pytest.mark.parametrize(
    "options", [None, "Yes", [], ["Yes"], ["Yes", "yes "], ["Yes", 1], ["Yes", " "], ["a"] * 27]
)
def test_options_that_cannot_be_told_apart_are_refused(tmp_path: Path, options: Any) -> None:
    path = written(tmp_path, {"video_id": "PI-1", "answer": "Yes", "options": options})
    with pytest.raises(DataError, match="PI-1 needs 2 to 26 different options"):
        read_choice_questions(path)


def test_there_may_be_as_many_options_as_letters(tmp_path: Path) -> None:
    letters = [f"Option {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    path = written(tmp_path, {"video_id": "PI-1", "answer": "option z", "options": letters})
    assert read_choice_questions(path).labels == {"PI-1": "Option Z"}
    path = written(
        tmp_path, {"video_id": "PI-1", "answer": "option z", "options": [*letters, "one more"]}
    )
    with pytest.raises(DataError, match="PI-1 needs 2 to 26 different options"):
        read_choice_questions(path)
