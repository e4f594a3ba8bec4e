"""A bundle as others read it: a row of a table, and the files of the Hugging Face Hub.

Sources: ``.eval_results/*.yaml`` of a model's repository and ``eval.yaml`` of a dataset's are
described in the Hub's documentation (hub-docs, ``docs/hub/eval-results.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ugc_tasks.benchmark import COLUMNS, SPECS
from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError
from ugc_tasks.results.reliability import stated
from ugc_tasks.results.rows import ESTIMATE
from ugc_tasks.submit.bundle import BENCHMARK, DATASET

EVAL_RESULTS = ".eval_results/ugc-videocap.yaml"
EVAL_YAML = "eval.yaml"
_CAPTIONS = SPECS["caption"].task
_DIGEST = re.compile("/[0-9a-f]{12}(?=@|$)")  # of the question's prompt: it differs between tasks
_SOURCES = ("openinterx/UGC-VideoCap@",)


def table_rows(bundles: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the rows of the published table for bundles, under a head, as text cells.

    Columns that no bundle has are left out. A figure of which clips are missing is followed by
    ``*``, and an estimate by ``†``.
    """
    present = [c for c in COLUMNS if any(_figure(b, c) is not None for b in bundles)]
    captions = [facts for b in bundles for name, facts in b["tasks"].items() if name == _CAPTIONS]
    # The values of a profile of one's own are parts of its average: all of them, or none.
    names = dict.fromkeys(name.removesuffix(ESTIMATE) for c in captions for name in c["figures"])
    present += [name for name in names if name not in {*COLUMNS, "average"}]
    average = ["average"] if captions else []
    lines = [["model", *present, *average, "clips", "judge"]]
    for bundle in bundles:
        cells = [_cell(bundle, column) for column in [*present, *average]]
        own = any(not facts["of_benchmark"] for facts in bundle["tasks"].values())
        name = shown(bundle["name"], 60) + (" (own clips or questions)" if own else "")
        lines.append([name, *cells, _clips(bundle), _judge(bundle)])
    return lines


def _figure(bundle: Mapping[str, Any], column: str) -> tuple[float, Mapping[str, Any]] | None:
    """Return a column's value and the facts of its task."""
    for facts in bundle["tasks"].values():
        for name in (column, f"{column}_estimate"):
            if (value := facts["figures"].get(name)) is not None:
                return value, facts
    return None


def _cell(bundle: Mapping[str, Any], column: str) -> str:
    found = _figure(bundle, column)
    if found is None:
        return "–"
    value, facts = found
    estimate = "†" if f"{column}_estimate" in facts["figures"] else ""
    marks = f"{estimate}{'' if facts['complete'] else '*'}"
    return f"{stated(value, facts['ci95'].get(column))}{marks}"


def _clips(bundle: Mapping[str, Any]) -> str:
    main = bundle["tasks"].get(_CAPTIONS) or next(iter(bundle["tasks"].values()))
    return f"{main['n']}/{main['of']}"


def _judge(bundle: Mapping[str, Any]) -> str:
    labels = {facts.get("judge_label") for facts in bundle["tasks"].values()} - {None}
    return ", ".join(sorted({shown(_DIGEST.sub("", str(label)), 80) for label in labels})) or "–"


def eval_results(bundle: Mapping[str, Any]) -> str:
    """Return ``.eval_results/ugc-videocap.yaml``: an entry a published column, with its terms.

    Raises ``DataError`` where the bundle has no figure that may stand on a leaderboard.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = []
    for column in COLUMNS:
        found = _figure(bundle, column)
        if found is None or f"{column}_estimate" in found[1]["figures"]:
            continue
        if not found[1]["of_benchmark"]:
            continue
        value, facts = found
        entries.append(
            EvalResultEntry(
                dataset_id=DATASET,
                task_id=column,
                value=round(value, 2),
                dataset_revision=_revision(facts),
                date=run_date(bundle),
                notes=_notes(column, facts),
            )
        )
    if not entries:
        raise DataError(
            "the bundle has no figure of the benchmark (an estimate is none, nor is one of clips "
            "or questions of your own): judge a run of the published clips"
        )
    return yaml.safe_dump(
        eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=120
    )


def _notes(column: str, facts: Mapping[str, Any]) -> str:
    pair = facts["ci95"].get(column)
    interval = f", 95 % [{pair[0]:.1f}, {pair[1]:.1f}]" if pair else ""
    judge = facts.get("judge_label")
    by = f"judge {shown(judge, 120)}" if judge else "no judge"
    return f"{by}; n {facts['n']} of {facts['of']}{interval}; lmms-eval plugin ugc-videocap"


def _revision(facts: Mapping[str, Any]) -> str | None:
    source = str(facts.get("annotations", ""))
    return next((source.removeprefix(s) for s in _SOURCES if source.startswith(s)), None)


def run_date(bundle: Mapping[str, Any]) -> str | None:
    """Return when the run ended, as ISO 8601 in UTC; None where it does not say."""
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(str(bundle.get("date")))
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return None


def eval_yaml() -> str:
    """Return ``eval.yaml``, with which the dataset's owners register it as a benchmark."""
    import yaml

    content = {
        "name": BENCHMARK,
        "description": (
            "Captions of 999 short clips with sound, scored by a judge on picture, sound and "
            "details, and questions about voices, tone, background, objects and on-screen text."
        ),
        "evaluation_framework": "lmms-eval",
        "tasks": [
            {"id": column, "config": "default", "split": "test"}
            for spec in SPECS.values()
            for column in spec.columns
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, width=100)
