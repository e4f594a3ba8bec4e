"""JSON and JSONL from disk."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from ugc_tasks.common import files
from ugc_tasks.common.files import DataError, read_values


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
        (
            '{"a": NaN, "b": [Infinity, -Infinity, 1e999, 1e3]}',
            {"a": None, "b": [None] * 3 + [1e3]},
        ),
        ("1" + "0" * 400, 10**400),
        ("[" * 64 + "]" * 64, eval("[" * 64 + "]" * 64)),  # noqa: S307
        ("a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("\n\na\tb\n1\t2,3;4\n", [{"a": "1", "b": "2,3;4"}]),
        ('"a";"b"\n"x;\n""y""";2', [{"a": 'x;\n"y"', "b": "2"}]),
        ("1,2", []),
        ("a, b\n,\n1,2\n", [{"a": "1", "b": "2"}]),
        ('\r\na,b\r\n"x\r\ny",2\r\n', [{"a": "x\ny", "b": "2"}]),
        ('"one, two"', "one, two"),
        ('{"a": "one\u2028line"}\r\n{"a": 2}\r\n', [{"a": "one\u2028line"}, {"a": 2}]),
    ],
)
def test_the_first_line_distinguishes_json_from_jsonl(
    tmp_path: Path, text: str, content: object
) -> None:
    assert read_values(written(tmp_path, text)) == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        (" \n \n", "the file is empty"),
        ('{"a": 1}\n{"a": ', "line 2: not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON .nested too deeply"),
        ("[" * 65 + "]" * 65, "not valid JSON .nested too deeply"),
        ('{"a": 1}\n' + '{"a":' * 70 + "1" + "}" * 70, "line 2: not valid JSON .nested too deeply"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        ('{"a": 1, "a": 2}', '"a" is there twice'),
        ('{"a": 1}\n{"b": {"c": 1, "c": 2}}', 'line 2: "c" is there twice'),
        ("1" * 10_000, "not valid JSON"),
        ('a,b\n"x"y,2\n', "line 2: not valid CSV"),
    ],
)
def test_what_is_neither_is_refused_with_the_place(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=reason) as error:
        read_values(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: cannot be read \(No such file"):
        read_values(tmp_path / "nowhere")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    with listener:
        for path, what in {
            tmp_path: "is a folder, not a file",
            tmp_path / "pipe": "is a pipe, not a file",
            tmp_path / "socket": "is a socket, not a file",
            Path("/dev/zero"): "is a device, not a file",
            tmp_path / "link": "is a device, not a file",
        }.items():
            with pytest.raises(DataError, match=what):
                read_values(path)
    with pytest.raises(DataError, match=r"cannot be read \(embedded null"):
        read_values(Path("a\0b"))


@pytest.mark.timeout(20)
def test_a_pipe_that_takes_a_file_s_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a file when it was looked at."""
    os.mkfifo(tmp_path / "pipe")
    looked_at = written(tmp_path, "[1]").stat()
    monkeypatch.setattr(Path, "stat", lambda path, **_: looked_at)
    with pytest.raises(DataError, match="the file is empty"):
        read_values(tmp_path / "pipe")


def test_a_table_with_one_column_is_known_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "answers.CSV"
    path.write_text("[a]\n1\n")
    assert read_values(path) == [{"[a]": "1"}]


def test_a_file_without_a_size_is_read_to_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="/proc/self/smaps: is larger than the 1000 bytes"):
        read_values(Path("/proc/self/smaps"))
    with pytest.raises(DataError, match=r"/proc/self/mem: cannot be read"):
        read_values(Path("/proc/self/mem"))


def test_a_file_beyond_all_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.MAX_BYTES == 256 << 20
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="is larger than the 10 bytes that are read"):
        read_values(written(tmp_path, "[1, 2, 3, 4]"))
    assert read_values(written(tmp_path, "[1, 2, 34]")) == [1, 2, 34], "as many bytes are read"


def test_of_a_file_that_has_grown_since_no_more_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = written(tmp_path, "[1]").stat()
    os.truncate(tmp_path / "file", 64 << 20)
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    monkeypatch.setattr(Path, "stat", lambda path, **_: small)
    monkeypatch.setattr(os, "fstat", lambda descriptor: small)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="is larger than the 1000 bytes that are read"):
            read_values(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
