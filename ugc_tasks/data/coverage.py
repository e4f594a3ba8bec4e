"""Which clips are there, which are not and why, and which tasks can run in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ugc_tasks.data.check import ClipFault, check_clip
from ugc_tasks.data.ledger import Ledger
from ugc_tasks.data.videos import clip_file

State = Literal["present", "gone", "broken", "missing"]


@dataclass(frozen=True)
class ClipState:
    """A clip's state, and a clause that says why where it is not present."""

    state: State
    reason: str = ""


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
