"""JSON and JSONL from disk, bounded in size, with errors that say which line of which file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ugc_tasks.data.home import DataError
from ugc_tasks.data.questions import is_video_id

MAX_BYTES = 256 << 20
"""Twenty times the largest samples file that 999 clips have come to."""


def read_json_or_lines(path: Path) -> Any:
    """Return the value of a JSON file, or the list of the values of a JSONL file.

    Which of the two it is, its first line tells: in JSONL it is a value of its own, and another
    one follows.

    Raises:
        DataError: the file cannot be read, is too large, or is neither; an object of it has the
            same key twice.
    """
    text = _read(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty")
    if len(lines) > 1 and _is_complete(lines[0][1]):
        return [_parsed(line, f"{path}, line {number}") for number, line in lines]
    return _parsed(text, str(path))


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a JSONL file or of a JSON list, each with where it stands.

    Raises ``DataError`` as above, and for a row without a usable ``video_id``.
    """
    content = read_json_or_lines(path)
    yield from rows_of(path, content if isinstance(content, list) else [content])


def rows_of(path: Path, values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``values`` with where they stand; ``DataError`` for one that is no row of a clip."""
    for number, row in enumerate(values, 1):
        where = f"{path}, row {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: a row is an object with a video_id; this is not one")
        if not is_video_id(row.get("video_id")):
            raise DataError(f"{where}: there is no usable video_id: {row.get('video_id')!r:.80}")
        yield where, row


def _read(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: {size} bytes are more than the {MAX_BYTES} that are read")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8") from None


def _is_complete(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(text: str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in content if keys.count(key) > 1)
            raise DataError(f"{where}: {twice!r:.80} is there twice: remove one of the two")
        return content

    try:
        return json.loads(text, object_pairs_hook=unique)
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise DataError(f"{where}: not valid JSON ({reason})") from None
