"""A bundle: a folder with all that a number rests on, for others to check.

``bundle.json`` states the run (model, command, versions, hardware), of each task its figures with
everything that was counted, judge and prompt digests, coverage and failures, and the digest of each
other file. ``rows/<task>.jsonl`` has the rows. Both are described by ``bundle.schema.json``. The
same run gives the same bytes: nothing in a bundle depends on when or where it was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError
from ugc_tasks.data.published import published_questions
from ugc_tasks.results.facts import overall, run_facts
from ugc_tasks.results.rows import Scale, figures_of, scale_of
from ugc_tasks.results.run_files import BUNDLE, RunFiles, rows_file

SCHEMA = 1
BENCHMARK = "UGC-VideoCap"
DATASET = "openinterx/UGC-VideoCap"

_OF_RUN = (
    *("name", "model", "model_args", "command", "limit", "date", "seconds", "throughput"),
    *("lmms_eval", "hardware"),
)
_OF_TASK = (
    *("annotations", "annotations_sha256", "clips_missing", "judge", "packages"),
    *("generation_kwargs", "note"),
)


@cache
def schema() -> Mapping[str, Any]:
    """Return the JSON schema of ``bundle.json``, with that of a row under ``$defs``."""
    text = files(__package__).joinpath("bundle.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def write_bundle(run: RunFiles, folder: Path) -> Mapping[str, Any]:
    """Write the bundle of a run into a folder that is not there yet, and return ``bundle.json``.

    Raises ``DataError`` where the folder is there, or the run's facts are not those of its rows.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already: give another folder, or remove it")
    rows = {task: [portable(row) for row in of_task] for task, of_task in run.rows.items()}
    lines = {
        rows_file(task): "".join(f"{_json(row)}\n" for row in of_task)
        for task, of_task in rows.items()
    }
    stated = manifest(run.facts, rows, {name: sha256(text) for name, text in lines.items()})
    disagreements = disagreeing(run.facts["tasks"], stated["tasks"])
    if disagreements:
        raise DataError(
            f"{run.path}: its facts are not those of its rows ({'; '.join(disagreements)}): files "
            "of one run belong together, and are not to be edited"
        )
    for name, text in {**lines, BUNDLE: json.dumps(stated, indent=1, ensure_ascii=False)}.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text if name != BUNDLE else text + "\n", "utf-8")
    return stated


def manifest(
    facts: Mapping[str, Any],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Return ``bundle.json``: what the run states, and what its rows say.

    Args:
        facts: of the run; what is computed from rows is not taken from them.
        rows: of each task, by its name in lmms-eval.
        digests: SHA-256 of the files with the rows.
    """
    tasks = {}
    for task, of_task in rows.items():
        told = facts["tasks"].get(task, {})
        found = run_facts(of_task)
        tasks[task] = {
            **found,
            "complete": found["n"] == found["of"],
            "of_benchmark": of_benchmark(
                task, found["task"], told.get("annotations_sha256"), scale_of(of_task[0])
            ),
            **{key: told[key] for key in _OF_TASK if told.get(key) is not None},
        }
    whole = overall(tasks)
    stated = {
        "schema": SCHEMA,
        "benchmark": BENCHMARK,
        "dataset": DATASET,
        **{key: facts.get(key) for key in _OF_RUN},
        "tasks": tasks,
        "overall": whole["value"],
        "overall_lacks": whole["reason"],
        "files": dict(sorted(digests.items())),
    }
    # As it will come back from the file: tuples are lists, other types texts.
    plain: dict[str, Any] = json.loads(json.dumps(stated, default=str))
    return plain


def of_benchmark(
    task: str, name: str, annotations_sha256: str | None, scale: Scale | None = None
) -> bool:
    """Tell whether a task of this name asks what the benchmark asks, about its clips.

    With the ``scale`` of a profile of one's own it asks the judge something else.
    """
    published = annotations_sha256 == published_questions(name)
    return SPECS[name].task == task and published and scale is None


def portable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bundle has of a row: our keys, and of the clip's path the name alone."""
    known = schema()["$defs"]["row"]["properties"]
    scale = scale_of(row)
    own = figures_of(row["task"], scale) if scale else ()
    kept = {key: value for key, value in row.items() if key in known or key in own}
    clip = kept.get("clip")
    return kept | ({"clip": PurePath(clip).name} if isinstance(clip, str) else {})


def disagreeing(
    stated: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return which figures and counts of each task are not what its rows say, as sentences."""
    said = []
    for task, facts in found.items():
        for name in ("n", "of", "judge_label"):
            if name in stated[task] and stated[task][name] != facts.get(name):
                said.append(f"{task}: {name} is {facts.get(name)}, stated is {stated[task][name]}")
        for name, value in (stated[task].get("figures") or {}).items():
            own = facts["figures"].get(name)
            if name in facts["figures"] and not _same(value, own):
                said.append(f"{task}: {name} is {_shown(own)}, stated is {_shown(value)}")
    return said


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    # Sums of floats, in another order: far below what any table shows.
    return isinstance(one, int | float) and abs(one - other) < 1e-9


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else str(value)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
