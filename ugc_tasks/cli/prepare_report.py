"""The report of ``prepare`` and ``status``, as text for people and as an object for programs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.data.coverage import State, tasks_covered
from ugc_tasks.data.prepare import Report

_STATES: tuple[State, ...] = ("present", "gone", "broken", "missing")
_NAMED = 10


def as_object(report: Report) -> dict[str, Any]:
    """Return the object that ``--json`` prints.

    Keys: ``complete``; ``home`` and ``videos`` (folders); ``files`` (a list of ``name``,
    ``source``, ``fault``: null, or a sentence); ``coverage`` (``wanted``, ``present``, ``gone``,
    ``broken``, ``missing``: numbers of clips); ``clips`` (by id, those that are not present:
    ``state``, ``reason``); ``tasks`` (by name: ``wanted``, ``present``, ``complete``); ``links``
    (null, or ``id_column``, ``link_column``, ``links``, ``conflicts``); ``archive`` (null, or
    ``taken``, ``present``, ``refused``: a list of ``name``, ``reason``; ``refused_count``,
    ``unknown``, ``cut``); ``downloaded`` (number of clips); ``notes`` (sentences).
    """
    links, taken, fetched = report.links, report.taken, report.fetched
    return {
        "complete": report.complete,
        "home": str(report.root),
        "videos": str(report.videos),
        "files": [{"name": f.name, "source": f.source, "fault": f.fault} for f in report.files],
        "coverage": {"wanted": len(report.wanted), **_counts(report)},
        "clips": {
            video_id: {"state": found.state, "reason": found.reason}
            for video_id in report.wanted
            if (found := report.states[video_id]).state != "present"
        },
        "tasks": {
            task: {"wanted": wanted, "present": present, "complete": wanted == present}
            for task, (wanted, present) in tasks_covered(report.tasks, report.states).items()
        },
        "links": links
        and {
            "id_column": links.id_column,
            "link_column": links.link_column,
            "links": len(links.by_id),
            "conflicts": list(links.conflicts),
        },
        "archive": taken
        and {
            "taken": len(taken.done),
            "present": len(taken.there),
            "refused": [{"name": name, "reason": reason} for name, reason in taken.refused],
            "refused_count": taken.refused_count,
            "unknown": taken.unknown,
            "cut": taken.cut,
        },
        "downloaded": len(fetched.done) if fetched else 0,
        "notes": list(report.notes),
    }


def as_lines(report: Report) -> list[str]:
    """Return the report in lines, the most important of what is wrong by name."""
    counts = _counts(report)
    good = sum(file.fault is None for file in report.files)
    lines = [
        f"home    {report.root}",
        f"videos  {report.videos}",
        f"files   {good} of {len(report.files)} as published",
        f"clips   {counts['present']} of {len(report.wanted)} present, {counts['gone']} gone, "
        f"{counts['broken']} broken, {counts['missing']} missing",
    ]
    if report.links is not None:
        lines.append(
            f"links   {len(report.links.by_id)}: column {report.links.link_column!r}, by the ids "
            f"in column {report.links.id_column!r}"
        )
    if (taken := report.taken) is not None:
        lines.append(
            f"archive {len(taken.done)} clips taken, {len(taken.there)} were there, "
            f"{taken.refused_count} members refused, {taken.unknown} other files"
        )
        lines += [f"  {shown(name)}: {shown(reason)}" for name, reason in taken.refused[:_NAMED]]
        if taken.cut:
            lines.append(f"  it was not read to its end: {taken.cut}")
    lines += ["", "tasks that can run in full:" if report.tasks else "no task can run"]
    covered = tasks_covered(report.tasks, report.states)
    width = max((len(task) for task in covered), default=0)
    for task, (wanted, present) in covered.items():
        full = "yes" if wanted == present else "no "
        lines.append(f"  {task:{width}}  {full}  {present}/{wanted}")
    if any(file.fault for file in report.files):
        lines += ["", *(file.fault for file in report.files if file.fault)]
    for state in _STATES[1:]:
        lines += _named(report, state)
    for note in report.notes:
        lines += ["", note]
    return lines


def _counts(report: Report) -> dict[str, int]:
    counts = Counter(report.states[video_id].state for video_id in report.wanted)
    return {state: counts[state] for state in _STATES}


def _named(report: Report, state: State) -> list[str]:
    found = [i for i in report.wanted if report.states[i].state == state]
    if not found:
        return []
    lines = ["", f"{state}:"]
    for video_id in found[:_NAMED]:
        reason = report.states[video_id].reason
        lines.append(f"  {shown(video_id)}{': ' + shown(reason) if reason else ''}")
    if len(found) > _NAMED:
        lines.append(f"  and {len(found) - _NAMED} more (--json names all)")
    return lines
