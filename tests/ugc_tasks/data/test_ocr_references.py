"""Reading the OCR annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.common.files import DataError
from ugc_tasks.data.ocr_references import read_ocr_references


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "ocr.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def test_references_are_lists_of_texts_by_clip(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"video_id": "PI-1", "ocr": ["a", "b"]}, {"video_id": "PI-2", "ocr": ["c"]}
    )
    assert read_ocr_references(path) == {"PI-1": ["a", "b"], "PI-2": ["c"]}


def test_the_published_file_is_read() -> None:
    assert len(read_ocr_references(reference_dir() / "questions" / "ocr.jsonl")) == 826


@pytest.mark.parametrize("ocr", [None, "text", [], [""], ["a", 1], {"ocr": ["a"]}])
def test_a_reference_without_text_is_refused(tmp_path: Path, ocr: Any) -> None:
    with pytest.raises(DataError, match="row 1: PI-1 needs a list of texts in 'ocr'"):
        read_ocr_references(written(tmp_path, {"video_id": "PI-1", "ocr": ocr}))


def test_a_clip_named_twice_is_refused(tmp_path: Path) -> None:
    row = {"video_id": "PI-1", "ocr": ["a"]}
    with pytest.raises(DataError, match="row 2: PI-1 is there twice"):
        read_ocr_references(written(tmp_path, row, row))


def test_an_endless_reference_is_refused(tmp_path: Path) -> None:
    long = {"video_id": "PI-1", "ocr": ["a" * 2000, "b" * 2094]}  # and a blank after each
    assert read_ocr_references(written(tmp_path, long)) == {"PI-1": long["ocr"]}
    longer = {"video_id": "PI-1", "ocr": ["a" * 2000, "b" * 2095]}
    with pytest.raises(DataError, match="more than 4096 characters"):
        read_ocr_references(written(tmp_path, longer))


def test_a_blank_among_texts_is_a_text_and_alone_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, {"video_id": "PI-1", "ocr": ["a", ""]})
    assert read_ocr_references(path) == {"PI-1": ["a", ""]}
    with pytest.raises(DataError, match="at least one of them not blank"):
        read_ocr_references(written(tmp_path, {"video_id": "PI-1", "ocr": [" ", "\n"]}))


def test_a_file_without_references_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no reference in it"):
        read_ocr_references(written(tmp_path, []))
