"""What each task asks of its clips, and what the published captions were asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.annotations import TONES, ocr_texts, video_ids, write_annotations
from tests.support.reference import reference_dir
from ugc_tasks import benchmark
from ugc_tasks.benchmark import OCR_QUESTION, SPECS, published_system_prompt, questions_of
from ugc_tasks.common.files import DataError
from ugc_tasks.data.questions import Questions


def asked(folder: Path, name: str, clips: int = 3) -> Questions:
    write_annotations(folder, clips)
    return questions_of(SPECS[name], folder / SPECS[name].annotations)


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
def test_the_digest_changes_with_the_references_and_not_with_the_layout(
    tmp_path: Path, name: str
) -> None:
    before = asked(tmp_path, name)
    path = tmp_path / SPECS[name].annotations
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    again = "\n".join(json.dumps(line, indent=None, sort_keys=True) for line in lines)
    path.write_text(again)
    assert questions_of(SPECS[name], path).sha256 == before.sha256
    assert asked(tmp_path, name, 4).sha256 != before.sha256


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    write_annotations(tmp_path, 2)
    with pytest.raises(DataError, match="options"):
        questions_of(SPECS["tone"], tmp_path / "object.json")
    with pytest.raises(DataError):
        questions_of(SPECS["caption"], tmp_path / "ocr.jsonl")


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
    questions = questions_of(SPECS[name], reference_dir() / "questions" / SPECS[name].annotations)
    assert len(questions.references) == count
    if name == "bgm":
        assert set(questions.references.values()) == {"No"}


# Of what stands between the marks in inference_prompt.txt.
DIGEST = "c93bfe1082e2b24b4b93b21cf73db1d43ae13230b80d7820a0bff4cf90de495f"


def test_the_system_prompt_is_the_first_turn_of_the_official_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    official = reference_dir() / "prompts" / "inference_prompt.txt"
    (prompts / official.name).write_bytes(official.read_bytes())
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(tmp_path))
    text = published_system_prompt()
    assert "<|" not in text
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_a_system_prompt_that_cannot_be_had_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path))
    monkeypatch.delenv("UGC_VIDEOCAP_HOME", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"inference_prompt.* HF_HUB_OFFLINE forbids downloading"):
        published_system_prompt()


def test_the_system_turn_ends_where_the_prompt_says(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = "<|im_start|>system\nBe long.<|im_end|>\n<|im_start|>user\nHi"
    monkeypatch.setattr(benchmark, "official_text", lambda *_, **__: prompt)
    assert published_system_prompt() == "Be long."
