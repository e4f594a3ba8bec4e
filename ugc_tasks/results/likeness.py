"""Answers of another task: captions where an option was asked for, letters where a caption was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ugc_tasks.common.files import DataError, quoted

_LONG = 80
"""Characters; the shortest recorded caption has 296, the longest option 15."""

_FEWEST = 2
_MAJORITY = 2 / 3

_CHOICE = re.compile(
    r"\W*(?:[a-h]\W+)?(?:positive|neutral|negative|in-video voice|out-video voice|narration)\W*"
    r"|\W*(?:(?:answer|option)\W+)?[a-h]\W*",
    re.IGNORECASE,
)
"""An option of the benchmark, its letter, or both; "No" may also answer other questions."""


def refuse_options(path: Path, values: Sequence[Any]) -> None:
    """Raise ``DataError`` if answers to be judged as texts are options of a choice question."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    options = [text for text in texts if len(text) < _LONG and _CHOICE.fullmatch(text.strip())]
    if len(texts) >= _FEWEST and len(options) > _MAJORITY * len(texts):
        raise DataError(
            f"{path}: {len(options)} of {len(texts)} answers are options or letters, such as "
            f"{quoted(options[0].strip())}, no descriptions: is it a file of tone or voice_source?"
        )


def refuse_descriptions(path: Path, texts: Sequence[str], options: Sequence[str]) -> None:
    """Raise ``DataError`` if answers to a choice question are long texts that name no option."""
    named = re.compile(
        "|".join(rf"\b{re.escape(option)}\b" for option in options) + r"|\b(?:answer|option)\b",
        re.IGNORECASE,
    )
    long = [text for text in texts if len(text) >= _LONG and not named.search(text)]
    if len(texts) >= _FEWEST and len(long) > _MAJORITY * len(texts):
        raise DataError(
            f"{path}: {len(long)} of {len(texts)} answers are long texts that name none of the "
            f"options ({', '.join(options)}), such as {quoted(long[0])}: is it a file of captions?"
        )
