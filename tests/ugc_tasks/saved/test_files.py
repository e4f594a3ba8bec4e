"""JSON and JSONL from disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugc_tasks.data.home import DataError
from ugc_tasks.saved import files
from ugc_tasks.saved.files import read_json_or_lines, read_rows


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{\n "a": 1\n}\n', {"a": 1}),
        ("[\n1,\n2\n]", [1, 2]),
        ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('\n{"a": 1}\n\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("\ufeff[1]", [1]),
        ('{"a": "one\u2028line"}\r\n{"a": 2}\r\n', [{"a": "one\u2028line"}, {"a": 2}]),
    ],
)
def test_the_first_line_tells_json_from_jsonl(tmp_path: Path, text: str, content: object) -> None:
    assert read_json_or_lines(written(tmp_path, text)) == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        (" \n \n", "the file is empty"),
        ('{"a": 1}\n{"a": ', "line 2: not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": 1}\n{"b": {"c": 1, "c": 2}}', "line 2: 'c' is there twice"),
        ("1" * 10_000, "not valid JSON"),
    ],
)
def test_what_is_neither_is_refused_with_the_place(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=reason) as error:
        read_json_or_lines(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: cannot be read \(No such file"):
        read_json_or_lines(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        read_json_or_lines(tmp_path)


def test_a_file_beyond_all_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="12 bytes are more than the 10"):
        read_json_or_lines(written(tmp_path, "[1, 2, 3, 4]"))


@pytest.mark.parametrize("row", ["1", "[]", "{}", '{"video_id": 1}', '{"video_id": "../x"}'])
def test_a_row_without_a_usable_id_is_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataError, match="row 2: "):
        list(read_rows(written(tmp_path, '{"video_id": "PI-1"}\n' + row)))
