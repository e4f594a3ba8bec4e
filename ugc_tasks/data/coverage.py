"""Which clips are there, which are not and why, and which tasks can run in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ugc_tasks.common.files import DataError
from ugc_tasks.data.check import ClipFault, check_clip
from ugc_tasks.data.ledger import Ledger
from ugc_tasks.data.published import FILES
from ugc_tasks.data.questions import MAX_BYTES, is_video_id
from ugc_tasks.data.videos import clip_file

State = Literal["present", "gone", "broken", "missing"]


@dataclass(frozen=True)
class ClipState:
    """A clip's state, and a clause that says why where it is not present."""

    state: State
    reason: str = ""


def task_ids(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the clips that each task asks for, by task, of the annotation files in ``root``.

    Raises:
        DataError: a file cannot be read, or has an id that cannot be a file's name.
    """
    return {
        file.task: _ids(path)
        for file in FILES.values()
        if file.task is not None and (path := root / file.name).is_file()
    }


def survey(
    video_ids: Iterable[str],
    folder: Path,
    ledger: Ledger,
    *,
    workers: int,
    step: Callable[[str], None],
) -> dict[str, ClipState]:
    """Return each clip's state; a file that was not checked before, as it is now, is checked.

    ``step`` is called with each id when it is through.
    """

    def look(video_id: str) -> tuple[str, ClipState]:
        state = _state(video_id, clip_file(folder, video_id), ledger)
        step(video_id)
        return video_id, state

    pool = ThreadPoolExecutor(workers)
    try:
        return dict(pool.map(look, video_ids))
    finally:
        pool.shutdown(cancel_futures=True)


def tasks_covered(
    tasks: Mapping[str, tuple[str, ...]], states: Mapping[str, ClipState]
) -> dict[str, tuple[int, int]]:
    """Return by task how many clips it wants and how many of them are present."""
    absent = ClipState("missing")
    return {
        task: (len(ids), sum(states.get(i, absent).state == "present" for i in ids))
        for task, ids in tasks.items()
    }


def _state(video_id: str, path: Path, ledger: Ledger) -> ClipState:
    try:
        known, fault = ledger.checked(path)
        if not known:
            try:
                check_clip(path)
            except ClipFault as error:
                fault = str(error)
            ledger.note_checked(path, fault)
    except OSError:  # there is no such file
        dead = ledger.dead(video_id)
        return ClipState(dead.kind, dead.reason) if dead else ClipState("missing")
    return ClipState("broken", f"{path.name}: {fault}") if fault else ClipState("present")


def _ids(path: Path) -> tuple[str, ...]:
    """Return the ids of an annotation file, JSON or JSON Lines; the rest is not looked at."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: too large for an annotation file")
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            samples = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            samples = json.loads(text)["samples"]
        found = [sample["video_id"] for sample in samples]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: not an annotation file as published; remove it and run `ugc-videocap prepare`"
        ) from None
    if bad := next((video_id for video_id in found if not is_video_id(video_id)), None):
        raise DataError(f"{path}: {bad!r:.80} cannot be the id of a clip")
    return tuple(dict.fromkeys(found))
