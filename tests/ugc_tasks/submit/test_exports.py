"""A bundle as others read it: table rows, the Hub's files, Every Eval Ever."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from jsonschema import Draft7Validator

from tests.ugc_tasks.submit.conftest import COUNT
from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.common.files import DataError
from ugc_tasks.results.run_files import RunFiles, read_run
from ugc_tasks.results.tables import render
from ugc_tasks.submit import exports
from ugc_tasks.submit.every_eval_ever import records

SCHEMAS = Path(__file__).parents[2] / "data" / "every_eval_ever"


@pytest.fixture
def found(bundle: Path) -> RunFiles:
    return read_run(bundle)


# --- the row of the published table ---


def test_a_row_has_the_columns_that_there_are_and_says_where_clips_are_missing(
    found: RunFiles,
) -> None:
    head, row = exports.table_rows([found.facts])
    assert head == ["model", *COLUMNS[:3], "tone", "ocr", "objects", "average", "clips", "judge"]
    cells = dict(zip(head, row, strict=True))
    assert cells["model"] == "lab/model-1"
    assert re.fullmatch(r"60\.0 ±\d+\.\d\*", cells["visual"]), "one clip has no caption"
    assert cells["objects"].startswith("75.0"), "all clips have an answer"
    assert not cells["objects"].endswith("*")
    assert cells["clips"] == f"{COUNT - 1}/{COUNT}"
    assert cells["judge"].startswith("rubric/gpt-4o")


def test_each_format_can_be_read_by_what_it_is_for(found: RunFiles) -> None:
    cells = exports.table_rows([found.facts])
    assert list(csv.reader(render(cells, "csv"))) == cells
    assert render(cells, "latex")[-1] == r"\end{tabular}"
    assert render(cells, "markdown")[1].startswith("| ---")


def test_an_estimate_is_marked(found: RunFiles) -> None:
    facts = json.loads(json.dumps(found.facts))
    captions = facts["tasks"]["ugc_videocap"]
    for part in ("figures", "ci95"):
        captions[part] = {f"{name}_estimate": value for name, value in captions[part].items()}
    head, row = exports.table_rows([facts])
    assert dict(zip(head, row, strict=True))["visual"] == "60.0†*"


def test_figures_of_own_clips_are_marked_and_no_result_of_the_benchmark(found: RunFiles) -> None:
    facts = json.loads(json.dumps(found.facts))
    for of_task in facts["tasks"].values():
        of_task["of_benchmark"] = False
    assert exports.table_rows([facts])[1][0] == "lab/model-1 (own clips or questions)"
    with pytest.raises(DataError, match="nor is one of clips or questions of your own"):
        exports.eval_results(facts)


# --- the Hub ---


def test_eval_results_have_an_entry_a_column_with_its_terms(found: RunFiles) -> None:
    text = exports.eval_results(found.facts)
    entries = parse_eval_result_entries(yaml.safe_load(text))
    assert [e.task_id for e in entries] == ["visual", "audio", "details", "tone", "ocr", "objects"]
    visual = entries[0]
    assert (visual.dataset_id, visual.value) == ("openinterx/UGC-VideoCap", 60.0)
    assert visual.date == found.facts["date"].replace("+00:00", "Z")
    assert visual.notes is not None
    assert re.match(r"judge rubric/gpt-4o.*; n 5 of 6, 95 % \[\d+\.\d, \d+\.\d\];", visual.notes)
    assert entries[3].notes is not None
    assert entries[3].notes.startswith("no judge; n 6 of 6")


def test_the_dataset_is_named_with_the_revision_that_was_used(found: RunFiles) -> None:
    facts = json.loads(json.dumps(found.facts))
    facts["tasks"]["ugc_videocap"]["annotations"] = "openinterx/UGC-VideoCap@ed5c374"
    entries = parse_eval_result_entries(yaml.safe_load(exports.eval_results(facts)))
    assert [e.dataset_revision for e in entries[2:4]] == ["ed5c374", None]


def test_an_estimate_is_no_result(found: RunFiles) -> None:
    facts = json.loads(json.dumps(found.facts))
    captions = facts["tasks"].pop("ugc_videocap")
    figures = {f"{name}_estimate": value for name, value in captions["figures"].items()}
    facts["tasks"] = {"ugc_videocap": {**captions, "figures": figures}}
    with pytest.raises(DataError, match="an estimate is none"):
        exports.eval_results(facts)


def test_the_owners_file_has_a_task_for_each_column() -> None:
    content = yaml.safe_load(exports.eval_yaml())
    assert [task["id"] for task in content["tasks"]] == list(COLUMNS)
    assert content["evaluation_framework"] == "lmms-eval"
    assert {(task["config"], task["split"]) for task in content["tasks"]} == {("default", "test")}


# --- Every Eval Ever ---


def schema(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8")))


def record(found: RunFiles) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    files = records(found.facts, found.rows, organization="A lab", relationship="first_party")
    [aggregate] = [text for path, text in files.items() if path.endswith(".json")]
    [lines] = [text for path, text in files.items() if path.endswith(".jsonl")]
    return json.loads(aggregate), [json.loads(line) for line in lines.splitlines()], files


def test_aggregate_and_lines_are_as_their_schemas_say(found: RunFiles) -> None:
    aggregate, lines, _ = record(found)
    assert [e.message for e in schema("eval").iter_errors(aggregate)] == []
    line_schema = schema("instance_level_eval")
    assert [e.message for line in lines for e in line_schema.iter_errors(line)] == []


def test_judge_and_uncertainty_stand_in_their_fields(found: RunFiles) -> None:
    aggregate, _, _ = record(found)
    by_id = {each["evaluation_result_id"]: each for each in aggregate["evaluation_results"]}
    visual = by_id["ugc_videocap/visual"]
    judge = visual["metric_config"]["llm_scoring"]
    assert judge["judges"][0]["model_info"]["id"].startswith("gpt-4o")
    assert judge["additional_details"]["profile"] == "rubric"
    assert "reference" in judge["input_prompt"].lower(), "our own prompt is given in full"
    sure = visual["score_details"]["uncertainty"]
    assert sure["num_samples"] == COUNT - 1
    assert sure["confidence_interval"]["method"] == "Student's t"
    assert sure["confidence_interval"]["lower"] < 60 < sure["confidence_interval"]["upper"]
    assert sure["standard_error"]["value"] == pytest.approx(sure["standard_deviation"] / 5**0.5)
    assert visual["score_details"]["details"] == {"coverage": "5/6", "failures": "1"}
    tone = by_id["ugc_videocap_tone/tone"]
    assert "llm_scoring" not in tone["metric_config"]
    assert tone["score_details"]["uncertainty"]["confidence_interval"]["method"] == "Wilson"


def test_lines_belong_to_results_and_failures_have_none(found: RunFiles) -> None:
    aggregate, lines, files = record(found)
    results = {each["evaluation_result_id"] for each in aggregate["evaluation_results"]}
    assert {line["evaluation_result_id"] for line in lines} == results
    assert {line["evaluation_id"] for line in lines} == {aggregate["evaluation_id"]}
    captions = [line for line in lines if line["evaluation_name"] == "ugc_videocap"]
    assert len(captions) == 4 * (COUNT - 1)
    assert "PI-005" not in {line["sample_id"] for line in captions}
    detail = aggregate["detailed_evaluation_results"]
    assert detail["total_rows"] == len(lines)
    assert detail["file_path"] in files
    assert detail["file_path"].startswith("data/ugc-videocap/lab/model-1/")


def test_the_same_bundle_gives_the_same_record(found: RunFiles) -> None:
    assert record(found)[2] == record(found)[2]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b/c", "lab/mo del\n", "/"])
def test_a_models_name_leads_to_no_other_folder(found: RunFiles, name: str) -> None:
    files = records({**found.facts, "name": name}, found.rows, organization="A lab")
    for path in files:
        parts = Path(path).parts
        assert (len(parts), parts[:2]) == (5, ("data", "ugc-videocap"))
        assert not {".", ".."} & set(parts)
    detail = json.loads(next(iter(files.values())))
    assert [e.message for e in schema("eval").iter_errors(detail)] == []
