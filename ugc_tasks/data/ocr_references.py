"""Reading the OCR annotations: the texts that are seen in each clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugc_tasks.common.files import DataError, read_values
from ugc_tasks.data.questions import clip_rows

MAX_CHARS = 4096
"""The longest published reference has 1,347; with the bound on answers it bounds a comparison."""


def read_ocr_references(path: Path) -> dict[str, list[str]]:
    """Read ``{"video_id": ..., "ocr": [text, ...]}`` a line, in the file's order.

    Raises:
        DataError: the file cannot be read, names a clip twice, or has a reference without text.
    """
    references: dict[str, list[str]] = {}
    content = read_values(path)
    for where, video_id, row in clip_rows(
        path, content if isinstance(content, list) else [content]
    ):
        if video_id in references:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        references[video_id] = ocr_reference(row.get("ocr"), f"{where}: {video_id}")
    if not references:
        raise DataError(f"{path}: there is no reference in it")
    return references


def ocr_reference(value: Any, where: str) -> list[str]:
    """Return ``value`` if it is a list of texts that can be compared with; else ``DataError``."""
    usable = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if not usable or not any(text.strip() for text in value):
        raise DataError(f"{where} needs a list of texts in 'ocr', at least one of them not blank")
    if sum(len(text) + 1 for text in value) > MAX_CHARS:
        raise DataError(f"{where} has a reference of more than {MAX_CHARS} characters")
    return list(value)
