"""When lmms-eval saves its results: facts of the run beside them, and a paragraph for a person.

lmms-eval has no hook there, so its ``EvaluationTracker`` is extended (``register.py``). What is
written: ``<date>_run.json`` beside ``<date>_results.json``, one file a run, schema below. Where
lmms-eval is given no ``--output_path``, only the paragraph is shown.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import logger, say, shown
from ugc_tasks.common.machine import command, hardware
from ugc_tasks.judge.settings import interval_of
from ugc_tasks.results.facts import overall, run_facts
from ugc_tasks.results.paragraph import paragraph
from ugc_tasks.run import current_run

SCHEMA = 1
GROUP = "ugc_videocap_full"
_log = logger(__name__)


def extend(tracker: Any) -> None:
    """Have lmms-eval's ``EvaluationTracker`` keep and show the facts of our tasks as well."""
    original = tracker.save_results_aggregated

    def save_results_aggregated(
        self: Any, results: dict[str, Any], samples: Any, *args: Any, **kwargs: Any
    ) -> Any:
        found = None
        try:
            found = facts_of(results, samples or {})
            if found["tasks"]:
                tidy(results, found)
        except Exception as error:  # lmms-eval's own files must be written all the same
            _log.warning("the facts of this run cannot be collected (%r)", error)
        done = original(self, results, samples, *args, **kwargs)
        if found and found["tasks"]:
            _keep_and_show(self, found)
        return done

    tracker.save_results_aggregated = save_results_aggregated


def facts_of(
    results: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return the facts of a run of lmms-eval, plain JSON values.

    Args:
        results: lmms-eval's results.
        samples: its rows by task; those of a task that is not there are taken from this process,
            which has its own share of them alone where there are several.
    """
    config, tasks = results.get("config", {}), {}
    for task in sorted(results.get("results", {})):
        stated = results.get("configs", {}).get(task, {})
        metadata = stated.get("metadata") or {}
        if "annotations_sha256" not in metadata:
            continue  # a group, or a task of others
        rows = samples.get(task) or list(current_run(metadata["task"]).rows.values())
        if rows:
            tasks[task] = {
                **run_facts(rows, interval=interval_of(os.environ)),
                **metadata,
                "generation_kwargs": stated.get("generation_kwargs"),
            }
    whole = GROUP in results.get("results", {})
    return {
        "schema": SCHEMA,
        "model": config.get("model"),
        "model_args": config.get("model_args"),
        "limit": config.get("limit"),
        # lmms-eval's own, in the names of its files, is that of a zone it does not state.
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "lmms_eval": results.get("lmms_eval_version"),
        "command": command(sys.argv),
        "hardware": hardware(),
        "throughput": results.get("throughput"),
        "tasks": tasks,
        **({"overall": overall(tasks)} if whole else {}),
    }


def tidy(results: dict[str, Any], facts: Mapping[str, Any]) -> None:
    """Leave in lmms-eval's results of our tasks the metrics alone.

    It has an empty list or array for each key of a row that is no metric, and errors of each.
    """
    for part in ("results", "groups"):
        for name, values in results.get(part, {}).items():
            if name in facts["tasks"] or name == GROUP:
                for key, value in list(values.items()):
                    kinds = float if "_stderr" in key else str | float | dict | None
                    of_group = key.startswith("overall,") and name != GROUP
                    if of_group or not isinstance(value, kinds | int):
                        del values[key]
            if name == GROUP and (reason := facts["overall"]["reason"]):
                values["overall_lacks"] = reason


def _keep_and_show(tracker: Any, facts: dict[str, Any]) -> None:
    config = tracker.general_config_tracker
    name = str(config.model_name or facts["model"])
    # A checkpoint on disk is called by its folder: where that is says nothing to a reader.
    facts["name"] = (Path(name).name or name) if Path(name).is_absolute() else name
    facts["seconds"] = float(config.total_evaluation_time_seconds or 0)
    folder = None
    try:
        if tracker.output_path:
            folder = Path(tracker.output_path) / config.model_name_sanitized
            text = json.dumps(facts, indent=1, ensure_ascii=False, default=str)
            (folder / f"{tracker.date_id}_run.json").write_text(text + "\n", "utf-8")
    except OSError as error:
        _log.warning("run.json cannot be written beside the results (%s)", shown(error))
    say(*paragraph(facts, folder))
