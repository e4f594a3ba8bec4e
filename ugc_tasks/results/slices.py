"""Parts of the clips that one asks about: short and long, silent, with text on screen, by tone.

What the rows say of a clip (length, sound, length of the caption) is read from both runs; voice,
tone and text on screen from the benchmark's own annotations, where they are on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import is_published
from ugc_tasks.data.questions import read_choice_questions, read_ocr_references
from ugc_tasks.results.answer_text import subject_of
from ugc_tasks.results.scores import ScoreFile

SECONDS = (10, 30)  # of a clip
WORDS = (80, 160)  # of a caption

Groups = dict[str, list[str]]


def slices_of(runs: Sequence[ScoreFile], home: Home) -> dict[str, Groups]:
    """Return by kind of slice the clips of each part, as far as known; no slice of one part."""
    ids = list(dict.fromkeys(i for run in runs for i in run.clips))
    rows = {i: [run.rows[i] for run in runs if i in run.rows] for i in ids}
    found = {
        "length of the clip": _grouped(
            ids, lambda i: _span(_told(rows[i], "seconds"), SECONDS, "s")
        ),
        "sound": _grouped(ids, lambda i: _sound(rows[i])),
        f"length of the {subject_of(runs[0].task)}": _grouped(
            ids, lambda i: _span(_words(runs[0], i), WORDS, "words")
        ),
    }
    for name, task in (("voice", "voice_source"), ("tone", "tone")):
        if (path := _at_hand(home, task)) is not None:
            with suppress(DataError):  # a comparison needs none of it
                found[name] = _grouped(ids, read_choice_questions(path).references.get)
    if (path := _at_hand(home, "ocr")) is not None:
        with suppress(DataError):
            seen = read_ocr_references(path)
            found["text on screen"] = _grouped(ids, lambda i: "some" if i in seen else "none")
    return {kind: groups for kind, groups in found.items() if len(groups) > 1}


def _grouped(ids: Iterable[str], part: Callable[[str], str | None]) -> Groups:
    groups: Groups = {}
    for video_id in ids:
        if (name := part(video_id)) is not None:
            groups.setdefault(name, []).append(video_id)
    return dict(sorted(groups.items(), key=lambda each: _order(each[0])))


def _order(part: str) -> tuple[int, str]:
    """Return where a part stands: spans from the shortest to the longest, others by name."""
    return {"under": 0, "over": 2}.get(part.partition(" ")[0], 1), part


def _told(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return a number that one of the models told of its clip."""
    for row in rows:
        told = row.get("generation")
        value = told.get(name) if isinstance(told, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _words(run: ScoreFile, video_id: str) -> float | None:
    text = run.rows.get(video_id, {}).get("prediction")
    return float(len(text.split())) if isinstance(text, str) else None


def _span(value: float | None, bounds: tuple[int, int], unit: str) -> str | None:
    if value is None:
        return None
    low, high = bounds
    if value < low:
        return f"under {low} {unit}"
    return f"{low} to {high} {unit}" if value <= high else f"over {high} {unit}"


def _sound(rows: Sequence[Mapping[str, Any]]) -> str | None:
    seconds = _told(rows, "sound_seconds")
    return None if seconds is None else "with sound" if seconds else "silent"


def _at_hand(home: Home, task: str) -> Path | None:
    name = SPECS[task].annotations
    if home.root is not None and (home.root / name).is_file():
        return home.root / name
    return home.cache / name if is_published(home.cache / name) else None
