"""A bundle as Every Eval Ever has it: an aggregate record, and a line for each clip and figure.

Source: the schemas of ``evaleval/every_eval_ever`` (``every_eval_ever/schemas/``, version 0.3.0).
Clips that failed are in the counts of the aggregate and not among the lines: a line has to have a
score, and a failure has none.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from statistics import stdev
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.judge.protocol.profiles import QUESTIONS, ChatProfile, load_profile
from ugc_tasks.results.rows import ESTIMATE, figures_of, scale_of
from ugc_tasks.submit.bundle import BENCHMARK, DATASET
from ugc_tasks.submit.exports import run_date

VERSION = "0.3.0"
_COLLECTION = "ugc-videocap"
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


def records(
    bundle: Mapping[str, Any],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    organization: str,
    relationship: str = "other",
) -> dict[str, str]:
    """Return the files of a bundle's record, by their paths in Every Eval Ever's repository.

    Args:
        bundle: ``bundle.json``.
        rows: its rows, by the task's name in lmms-eval.
        organization: who evaluated.
        relationship: of the evaluator to the model: ``first_party``, ``third_party``,
            ``collaborative`` or ``other``.
    """
    model_id = _model_id(bundle)
    at = run_date(bundle)
    stamp = str(int(datetime.fromisoformat(at).timestamp())) if at else "0"
    identity = f"{_COLLECTION}/{model_id}/{stamp}"
    folder = PurePosixPath("data", _COLLECTION, *map(_path_safe, model_id.split("/", 1)))
    name = _uuid4(json.dumps(bundle, sort_keys=True))
    lines = "".join(
        json.dumps(line, ensure_ascii=False) + "\n"
        for task, of_task in rows.items()
        for line in _lines(identity, model_id, task, of_task)
    )
    samples = folder / f"{name}_samples.jsonl"
    aggregate: dict[str, Any] = {
        "schema_version": VERSION,
        "evaluation_id": identity,
        **({"evaluation_timestamp": at} if at else {}),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": BENCHMARK,
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
        },
        "eval_library": {"name": "lmms_eval", "version": str(bundle.get("lmms_eval") or "unknown")},
        "model_info": {
            "name": bundle["name"],
            "id": model_id,
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": [
            result for task, of_task in rows.items() for result in _results(task, of_task, bundle)
        ],
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": str(samples),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(lines.encode()).hexdigest(),
            "total_rows": lines.count("\n"),
        },
    }
    text = json.dumps(aggregate, indent=2, ensure_ascii=False) + "\n"
    return {str(folder / f"{name}.json"): text, str(samples): lines}


def _results(
    task: str, rows: Sequence[Mapping[str, Any]], bundle: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    facts = bundle["tasks"][task]
    judge = facts.get("judge") or {}
    for figure, value in facts["figures"].items():
        if value is None:
            continue
        values = [row[figure] for row in rows if row["n"] is not None]
        pair = facts["ci95"].get(figure)
        uncertainty: dict[str, Any] = {"num_samples": len(values)}
        if pair:
            method = facts["ci95_method"].get(figure, "")
            bounds = {"lower": pair[0], "upper": pair[1], "confidence_level": 0.95}
            uncertainty["confidence_interval"] = {**bounds, "method": method}
        if len(values) > 1:
            spread = stdev(values)
            error = {"value": spread / len(values) ** 0.5, "method": "analytic"}
            uncertainty |= {"standard_deviation": spread, "standard_error": error}
        yield {
            "evaluation_result_id": f"{task}/{figure}",
            "evaluation_name": task,
            "source_data": {
                "dataset_name": BENCHMARK,
                "source_type": "hf_dataset",
                "hf_repo": DATASET,
                "hf_split": "test",
                "samples_number": facts["of"],
            },
            "metric_config": {
                "evaluation_description": f"{figure} of {facts['task']}",
                "metric_id": f"ugc_videocap.{figure}",
                "metric_name": figure,
                "metric_kind": "llm_judge_score" if judge else "accuracy_or_overlap",
                "metric_unit": "points",
                "lower_is_better": False,
                "score_type": "continuous",
                "min_score": 0,
                "max_score": 100,
                **({"llm_scoring": _scoring(facts["task"], judge)} if "model" in judge else {}),
                **({"additional_details": {"estimate": "true"}} if ESTIMATE in figure else {}),
            },
            "score_details": {
                "score": value,
                "details": {
                    "coverage": f"{facts['n']}/{facts['of']}",
                    "failures": str(len(facts["failures"])),
                },
                "uncertainty": uncertainty,
            },
            "generation_config": {"additional_details": _generation(facts, bundle)},
        }


def _scoring(task: str, judge: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a judge scored. The authors' prompt is theirs: it is named by its digest."""
    model = str(judge["model"])
    temperature = judge.get("temperature", 0)  # None where none is sent
    return {
        "judges": [
            {
                "model_info": {
                    "name": model,
                    "id": model,
                    "additional_details": {
                        "deployment_type": "unknown",
                        "model_availability": "unknown",
                    },
                },
                **({} if temperature is None else {"temperature": temperature}),
                "additional_details": {
                    "endpoint": str(judge.get("endpoint")),
                    "repeats": str(judge.get("repeats")),
                },
            }
        ],
        "input_prompt": _prompt(task, judge),
        "aggregation_method": "average",
        "additional_details": {
            "profile": str(judge.get("profile")),
            "prompt_sha256": str(judge.get("prompt_sha256")),
            "system_sha256": str(judge.get("system_sha256")),
        },
    }


def _prompt(task: str, judge: Mapping[str, Any]) -> str:
    if judge.get("profile") == "rubric":
        from pathlib import Path

        profile = load_profile("rubric", home=None, cache=Path(), question=QUESTIONS[task].name)
        if isinstance(profile, ChatProfile) and profile.prompt_sha256 == judge.get("prompt_sha256"):
            return f"{profile.system}\n\n{profile.user_template}"
    return f"profile {judge.get('profile')}, SHA-256 {judge.get('prompt_sha256')}"


def _generation(facts: Mapping[str, Any], bundle: Mapping[str, Any]) -> dict[str, str]:
    """Return how answers were made, as Every Eval Ever wants further details: texts."""
    said = {
        "decoding": facts.get("decoding"),
        "generation_kwargs": facts.get("generation_kwargs"),
        "model": bundle.get("model"),
        "model_args": bundle.get("model_args"),
        "packages": facts.get("packages"),
        "hardware": bundle.get("hardware"),
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in said.items()
        if value is not None
    }


def _lines(
    identity: str, model_id: str, task: str, rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield a line for each figure of each clip that has a score."""
    name = rows[0]["task"]
    method = "llm_judge" if SPECS[name].judged else "custom"
    for row in rows:
        if row["n"] is None:
            continue
        reference = row["reference"] if isinstance(row["reference"], list) else [row["reference"]]
        question = {"raw": f"{task}: {row['video_id']}", "reference": reference}
        canonical = json.dumps(question, sort_keys=True, separators=(",", ":"))
        figures = figures_of(name, scale_of(row))
        suffix = ESTIMATE if figures[0] + ESTIMATE in row else ""
        for figure in figures:
            value = row[figure + suffix]
            yield {
                "schema_version": VERSION,
                "evaluation_id": identity,
                "model_id": model_id,
                "evaluation_name": task,
                "evaluation_result_id": f"{task}/{figure + suffix}",
                "sample_id": row["video_id"],
                "sample_hash": hashlib.sha256(canonical.encode()).hexdigest(),
                "interaction_type": "single_turn",
                "input": question,
                "output": {"raw": [row["prediction"]]},
                "answer_attribution": [
                    {
                        "turn_idx": 0,
                        "source": "output.raw",
                        "extracted_value": row["prediction"],
                        "extraction_method": method,
                        "is_terminal": True,
                    }
                ],
                # Only a right choice is right or wrong; of the others it says the highest score.
                "evaluation": {"score": value, "is_correct": value == 100},
            }


def _model_id(bundle: Mapping[str, Any]) -> str:
    name = str(bundle["name"]).strip("/") or "unknown"
    return name if "/" in name else f"unknown/{name}"


def _path_safe(part: str) -> str:
    kept = "".join(c if c in _SAFE else "-" for c in part).strip(".")
    return kept or "unknown"


def _uuid4(text: str) -> str:
    """Return a UUID of version 4's form which is always the same for one text."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x40, digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))
