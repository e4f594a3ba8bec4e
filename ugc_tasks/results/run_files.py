"""The files of one run: what it states of itself, and the rows of each task.

A run is a folder of lmms-eval's results (the newest run in it, or in a folder below), the
``run.json`` or a samples file of one, a bundle (``submit/bundle.py``), or what ``ugc-videocap score
--json`` prints. Files belong together by their date: those of two runs are never mixed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError, kind, read_values, rows_of
from ugc_tasks.results.rows import SCHEMA

BUNDLE = "bundle.json"
_FACTS, _SAMPLES = "_run.json", "_samples_"
_TASK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # a part of a file's name


@dataclass(frozen=True)
class RunFiles:
    """A run.

    Attributes:
        path: the file that states its facts.
        facts: what the run states of itself, as ``docs/results.md`` has it under ``run.json``.
        rows: the rows of each task, by its name in lmms-eval. A task of the benchmark's kind may
            have another name than the benchmark's; which kind it is, its rows say.
    """

    path: Path
    facts: Mapping[str, Any]
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)


def read_run(path: Path) -> RunFiles:
    """Read the files of a run; raises ``DataError`` where one is missing or is not of version 2."""
    facts_at = _facts_file(path)
    facts = read_values(facts_at)
    if isinstance(facts, dict) and isinstance(facts.get("items"), list):
        return _scored(facts_at, facts)
    tasks = facts.get("tasks") if isinstance(facts, dict) else None
    if not isinstance(tasks, dict) or not tasks or not all(map(_TASK_NAME.fullmatch, tasks)):
        raise DataError(
            f"{facts_at}: is neither the facts of a run (run.json) nor what `score --json` prints"
        )
    rows = {}
    for task in sorted(tasks, key=_place):
        if facts_at.name == BUNDLE:
            file = facts_at.parent / rows_file(task)
        else:
            date = facts_at.name.removesuffix(_FACTS)
            file = facts_at.with_name(f"{date}{_SAMPLES}{task}.jsonl")
        if not file.is_file():
            raise DataError(
                f"{file}: is not there, but {facts_at.name} states figures of {task}: "
                "lmms-eval writes the rows with --log_samples"
            )
        rows[task] = read_rows(file)
    return RunFiles(facts_at, facts, rows)


def rows_file(task: str) -> str:
    """Return where a bundle has the rows of a task, given its name in lmms-eval."""
    return f"rows/{task}.jsonl"


def _place(task: str) -> tuple[int, str]:
    """Return the order of tasks: the benchmark's as it has them, then others by name."""
    ours = [spec.task for spec in SPECS.values()]
    return (ours.index(task) if task in ours else len(ours), task)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a task, one at least; ``DataError`` where one is not of version 2."""
    content = read_values(path)
    return list(_checked(path, content if isinstance(content, list) else [content]))


def _checked(path: Path, content: list[Any]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    task = None
    for where, row in rows_of(path, content):
        if row.get("schema") != SCHEMA:
            raise DataError(
                f"{where}: is a row of version {kind(row.get('schema', 1))}, not {SCHEMA}: score "
                "the answers again; judgments that are on disk cost nothing"
            )
        video_id = row.get("video_id")
        known = isinstance(row.get("task"), str) and row["task"] in SPECS
        if not known or not isinstance(video_id, str):
            raise DataError(f"{where}: is not a row of a clip of a task of ours")
        if (task := task or row["task"]) != row["task"]:
            raise DataError(f"{where}: is a row of the task {row['task']}, others are of {task}")
        if video_id in seen:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        seen.add(video_id)
        yield row


def _facts_file(path: Path) -> Path:
    if path.is_dir():
        if (path / BUNDLE).is_file():
            return path / BUNDLE
        found = [*path.glob(f"*{_FACTS}"), *path.glob(f"*/*{_FACTS}")]
        if not found:
            raise DataError(
                f"{path}: there is no run in it: lmms-eval writes one (*{_FACTS}) with "
                "--output_path"
            )
        return max(found, key=lambda each: (each.stat().st_mtime, each.name))
    if _SAMPLES in path.name and path.suffix == ".jsonl":
        return path.with_name(path.name.partition(_SAMPLES)[0] + _FACTS)
    return path


def _scored(path: Path, content: Mapping[str, Any]) -> RunFiles:
    """Return the run of saved answers that ``ugc-videocap score`` has scored."""
    task = content.get("task")
    if not isinstance(task, str) or task not in SPECS:
        raise DataError(f"{path}: scores of the task {kind(task)}, which is none of ours")
    stated = {
        "figures": content.get("metrics"),
        "annotations": content.get("references"),
        "annotations_sha256": content.get("references_sha256"),
        "judge": content.get("judge"),
        "packages": content.get("packages"),
        "clips_missing": content.get("missing"),
    }
    facts = {
        "schema": 1,
        "name": path.stem,
        "model": "saved answers",
        "command": content.get("command"),
        "tasks": {SPECS[task].task: {k: v for k, v in stated.items() if v is not None}},
    }
    return RunFiles(path, facts, {SPECS[task].task: list(_checked(path, list(content["items"])))})
