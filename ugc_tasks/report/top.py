"""What stands at the top of a report: the figures, who judged, what is missing, cost and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.bridge.restate import Bridge
from ugc_tasks.common.display import shown
from ugc_tasks.data.published import published_captions
from ugc_tasks.report.plots import is_published_judge
from ugc_tasks.results.answers import NOT_SAVED
from ugc_tasks.results.compare import Comparison, sentence
from ugc_tasks.results.facts import figure, run_facts
from ugc_tasks.results.paragraph import flagged, lasted, money_spent, not_scored, sound_used
from ugc_tasks.results.reliability import stated
from ugc_tasks.results.rows import SCHEMA
from ugc_tasks.results.scores import ScoreFile


def facts_of(run: ScoreFile) -> Mapping[str, Any]:
    """Return the facts of a run as its rows tell them; empty where it has no rows of version 2."""
    rows = list(run.rows.values())
    if not rows or any(row.get("schema") != SCHEMA for row in rows):
        return {}
    try:
        return run_facts(rows)
    except (LookupError, TypeError, AttributeError, ValueError):
        return {}  # rows that say they are ours and are not: what can be read of them is shown


def bands(runs: Sequence[ScoreFile], comparisons: Sequence[Comparison]) -> list[str]:
    """Return what a reader must know before anything else, a sentence each."""
    said = []
    if any(run.estimate for run in runs):
        which = _which(runs, [run for run in runs if run.estimate])
        said.append(f"{which}An estimate from the texts: no judge was asked.")
    for run in runs:
        of, there = run.wanted, len(run.clips) + len(run.failed) - len(run.unanswered)
        if not run.clips:
            said.append(f"{_which(runs, [run])}No clip has a score, so there is no figure.")
        elif of and there < of:
            said.append(
                f"{_which(runs, [run])}A part of the benchmark, {there:,} of its {of:,} clips: "
                "its figures are not those of the whole."
            )
    return said + [f"{sentence(each)}." for each in comparisons if not each.figures]


def _which(runs: Sequence[ScoreFile], these: Sequence[ScoreFile]) -> str:
    """Return which of several runs something is said of; nothing where it is said of all."""
    if len(runs) == len(these):
        return ""
    return ", ".join(shown(run.name, 60) for run in these) + ": "


def remarks(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the verdicts, and what must be known of them."""
    said = []
    for each in comparisons:
        if each.figures:
            said += [f"{sentence(each)}.", *(f"Note: {note}." for note in each.notes)]
    return said


def facts_lines(run: ScoreFile, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a run, a name and a text each: the judge, coverage, cost, time."""
    scored = f"{len(run.clips):,} clips"
    if run.wanted:
        scored = f"{len(run.clips):,} of {run.wanted:,} clips ({len(run.clips) / run.wanted:.1%})"
    lines = [
        ("judged by", _judge(run)),
        ("scored", scored),
        ("not scored", not_scored(_failures(run, facts))),
        ("stored zeros", _zeros(run)),
        ("sound", sound_used(facts.get("heard"))),
        ("flags", flagged(facts.get("flags"))),
        ("cost", money_spent(facts.get("spent"))),
        ("time", _time(run.stated.get("seconds"))),
        ("date", _date(run.stated.get("date"))),
        ("model", _short_text(run.stated.get("model"))),
        ("decoding", str(facts.get("decoding") or "")),
    ]
    return [(name, shown(text)) for name, text in lines if text]


def _judge(run: ScoreFile) -> str:
    if not SPECS[run.task].judged:
        return "nobody: answers are compared with the references"
    if run.estimate:
        return f"nobody: an estimate ({run.judge})"
    if not run.judge:
        return "not stated"
    ran = ", ".join(sorted(run.ran))
    return f"{run.judge}" + (f"; its endpoint called itself {ran}" if ran else "")


def _zeros(run: ScoreFile) -> str:
    """Return how many failures stand as scores: the authors' script has stored a 0 for them."""
    if run.task != "caption" or not run.zeros:
        return ""
    counted = [clip["average"] for clip in (*run.clips.values(), *run.zeros.values())]
    return (
        f"{len(run.zeros)} clips have a 0, which no judge gives, and are left out; with them, as "
        f"scripts of the field count, the average is {fmean(counted):.1f}"
    )


def _failures(run: ScoreFile, facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what failed, also of files that do not say whose failure it was."""
    told = {each["video_id"]: each for each in facts.get("failures") or ()}
    return [
        told.get(
            video_id,
            {"video_id": video_id, "kind": "caption" if why == NOT_SAVED else "", "reason": why},
        )
        for video_id, why in run.failed.items()
    ]


def _time(seconds: Any) -> str:
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    return lasted(seconds) if known else ""


def _date(date: Any) -> str:
    if not isinstance(date, str):
        return ""
    try:
        return f"{datetime.fromisoformat(date).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return shown(date, 40)


def _short_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def bridge_remarks(runs: Sequence[ScoreFile], bridge: Bridge | None) -> list[str]:
    """Return what must be known of bridged figures, or why there are none."""
    if bridge is None:
        return []
    outside = [run for run in runs if (found := bridge.restate(run)) and found["outside"]]
    beyond = f" {_which(runs, outside)}Outside of what the bridge was measured on." * bool(outside)
    return [bridge.why_not + "." if bridge.why_not else f"{bridge.name}: restated, no judge's own "
            f"figures; the intervals have the bridge's own error in them.{beyond}"]  # fmt: skip


def table(runs: Sequence[ScoreFile], bridge: Bridge | None = None) -> list[dict[str, Any]]:
    """Return the rows of figures: the runs', and the published ones if one judge judged all.

    With a bridge, each run's raw figures have the bridged ones below them.
    """
    rows = []
    for run in runs:
        cells = [_figure(run, name) for name in run.figures]
        counts = [f"{len(run.clips):,}", f"{len(run.failed):,}"]
        rows.append({"name": shown(run.name, 80), "cells": [*cells, *counts], "ours": True})
        if bridge and (found := bridge.restate(run)):
            cells = [stated(found[name], found["ci95"][name]) for name in run.figures]
            name = f"{shown(run.name, 80)}, {shown(bridge.name, 160)}"
            rows.append({"name": name, "cells": [*cells, "", ""], "ours": True})
    if all(is_published_judge(run) for run in runs):
        for name, values in published_captions()[1].items():
            cells = [f"{value:.1f}" for value in values]
            rows.append({"name": f"{name} (published)", "cells": [*cells, "", ""], "ours": False})
    return rows


def _figure(run: ScoreFile, name: str) -> str:
    values = [clip[name] for clip in run.clips.values()]
    if not values:
        return "–"
    return stated(*figure(run.task, name, values, estimate=run.estimate)[:2])
