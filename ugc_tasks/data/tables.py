"""Rows out of a CSV, JSON, JSON Lines or Parquet file of unknown layout.

Which of them a file is, is read from its content: a name says little. A row comes out flat, as
(column, text) pairs; nested values get dotted column names, list items the name of their list.
"""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError

Row = list[tuple[str, str]]

_MAX_BYTES = 64 << 20
_MAX_ROWS = 1_000_000
_MAX_DEPTH = 8


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table.

    Raises:
        DataError: the file cannot be read, is too large, or is no table of a known kind.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise DataError(f"{path}: cannot be read: it is no ordinary file")
        if info.st_size > _MAX_BYTES:
            raise DataError(f"{path}: {info.st_size} bytes are too many for a list of links")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    rows = _parquet(path) if content.startswith(b"PAR1") else _text_rows(path, content)
    flat: list[Row] = []
    for row in rows:
        if len(flat) >= _MAX_ROWS:
            raise DataError(f"{path}: more than {_MAX_ROWS} rows are too many for a list of links")
        flat.append(list(_flat(row, "", 0)))
    return flat


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({shown(error, 200)})") from None


def _text_rows(path: Path, content: bytes) -> Iterable[Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: neither Parquet nor UTF-8 text") from None
    if text.lstrip().startswith(("{", "[")):
        return _json_rows(path, text)
    return _csv_rows(path, text)


def _json_rows(path: Path, text: str) -> Iterable[Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise DataError(f"{path}: nested too deeply") from None
    except ValueError:
        return _json_lines(path, text)
    if isinstance(value, list):
        return value
    # {"anything": [rows]}, or {id: link} and {id: {...}}; or a single line of JSON Lines.
    lists = [item for item in value.values() if isinstance(item, list)]
    rows = max(lists, key=len, default=[])
    if any(isinstance(row, dict) for row in rows):
        return rows
    return [value, *({"key": key, "value": item} for key, item in value.items())]


def _json_lines(path: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                raise DataError(f"{path}: line {number} is not valid JSON") from None


def _csv_rows(path: Path, text: str) -> Iterator[Any]:
    """Yield rows with the first line's names; that line too, as it may be no header at all."""
    # Not csv.Sniffer, which takes minutes over a few thousand quotes.
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    names: list[str] = []
    try:
        for row in csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        ):
            names = names or [name.strip() or f"column {i}" for i, name in enumerate(row, 1)]
            spare = (f"column {i}" for i in range(len(names) + 1, len(row) + 1))
            yield dict(zip([*names, *spare], row, strict=False))
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV file ({error})") from None


def _flat(value: Any, column: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{column}.{key}" if column else str(key), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item, column, depth + 1)
    elif isinstance(value, str):
        yield column, value.strip()
    elif isinstance(value, int):
        yield column, str(value)
