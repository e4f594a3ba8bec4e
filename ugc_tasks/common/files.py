"""JSON, JSONL and CSV from disk, bounded in size, with errors that say which line of which file."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import UserError, shown, storable

MAX_BYTES = 256 << 20  # twenty times the largest samples file of 999 clips so far
MAX_DEPTH = 64  # levels in one value; what writes JSON again fails at a few hundred
_TABLES = {".csv", ".tsv"}
_DELIMITERS = ",\t;"
_SHOWN = 80


class DataError(UserError, ValueError):
    """The benchmark's data are missing or malformed; a sentence says what, where and what to do."""


def read_values(path: Path, *, as_is: bool = False) -> Any:
    """Return the value of a JSON file, or the list of the values of a JSONL or CSV file.

    A file is JSONL if its first line is a whole JSON value and another line follows. It is a CSV or
    TSV file by its suffix, or if its first line is not JSON and names several columns; its rows are
    objects of texts. Infinity and NaN, which are not JSON and which some write for "nothing", are
    None. Texts are storable (``display.storable``), unless they are to be left ``as_is``.
    ``DataError``: it cannot be read, or a key is there twice.
    """
    text = _read(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty")
    if path.suffix.lower() in _TABLES or _is_head(lines[0][1]):
        return _table(path, text)
    if len(lines) > 1 and _is_complete(lines[0][1]):
        return [parse_json(line, f"{path}, line {n}", as_is=as_is) for n, line in lines]
    return parse_json(text, str(path), as_is=as_is)


def rows_of(path: Path, values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``values`` with where they stand; ``DataError`` for one that is not an object."""
    for number, row in enumerate(values, 1):
        where = f"{path}, row {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: a row is an object with the clip's id; this is {kind(row)}")
        yield where, row


def kind(value: Any) -> str:
    """Return what a JSON value is, for a message, in a few words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"the number {shown(value, _SHOWN)}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "a list" if isinstance(value, list) else "an object"


def quoted(text: str) -> str:
    return shown(json.dumps(text[:_SHOWN], ensure_ascii=False), _SHOWN)


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file, and no pipe or device, for reading; raises ``DataError``."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
            what = names.get(stat.S_IFMT(mode), "a device")
            raise DataError(f"{path}: is {what}, not a file: give the path of a file")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None


def _read(path: Path) -> str:
    with open_file(path) as file:
        try:
            # Bounded, whatever the size says: a file can grow, and those of /proc state none.
            data = file.read(MAX_BYTES + 1) or b""
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: is larger than the {MAX_BYTES} bytes that are read")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8") from None


def _is_complete(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_head(line: str) -> bool:
    json_like = line.lstrip()[:1] in ("{", "[") or _is_complete(line)
    return not json_like and any(delimiter in line for delimiter in _DELIMITERS)


def _table(path: Path, text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV or TSV file; its first line shows the delimiter."""
    head = text.lstrip("\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[dict[str, str]] = []
    names: list[str] = []
    try:
        for cells in filter(any, reader):
            if not names:
                names = [cell.strip() for cell in cells]
                if (twice := _twice(names)) is not None:
                    raise DataError(f"{path}: column {quoted(twice)} is there twice: rename one")
            elif len(cells) != len(names):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but its head has "
                    f"{len(names)} columns: quote cells that hold the delimiter or a line break"
                )
            else:
                rows.append(dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from None
    return rows


def parse_json(text: str, where: str, *, as_is: bool = False) -> Any:
    """Return the value of a JSON text as ``read_values`` does; ``where`` is for messages."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = _twice([key for key, _ in pairs])
            raise DataError(f"{where}: {quoted(str(twice))} is there twice: remove one of them")
        return content

    def finite(text: str) -> float | None:
        number = float(text)
        return number if math.isfinite(number) else None

    try:
        value = json.loads(
            text, object_pairs_hook=unique, parse_float=finite, parse_constant=lambda _: None
        )
        made_storable = _storable(value, MAX_DEPTH)
        return value if as_is else made_storable
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(error, 200)
        raise DataError(f"{where}: not valid JSON ({reason})") from None


def _storable(value: Any, depth: int) -> Any:
    """Return a value whose texts can be stored; RecursionError beyond ``depth`` levels."""
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, list | dict):
        return value
    if not depth:
        raise RecursionError
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    return {storable(key): _storable(item, depth - 1) for key, item in value.items()}


def _twice(names: list[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
