"""What is in a bundle, and which runs none is made of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ugc_tasks.submit.conftest import COUNT, TASKS
from ugc_tasks.common.files import DataError
from ugc_tasks.results.run_files import read_run
from ugc_tasks.submit.bundle import portable, write_bundle


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_states_the_run_and_of_each_task_the_figures_with_all_they_rest_on(bundle: Path) -> None:
    content = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert (content["schema"], content["name"], content["model"]) == (
        1,
        "lab/model-1",
        "ugc_replay",
    )
    assert content["hardware"]["cores"] == os.cpu_count()
    assert content["command"].startswith(Path(sys.argv[0]).name)
    assert set(content["tasks"]) == set(TASKS)
    captions = content["tasks"]["ugc_videocap"]
    assert (captions["n"], captions["of"], captions["complete"]) == (COUNT - 1, COUNT, False)
    assert captions["figures"]["audio"] == 60.0
    assert [each["video_id"] for each in captions["failures"]] == ["PI-005"]
    assert captions["judge"]["profile"] == "rubric"
    assert len(captions["judge"]["prompt_sha256"]) == len(captions["annotations_sha256"]) == 64
    assert "lmms-eval" in captions["packages"]
    assert captions["noise"]["judgments"] == 2 * (COUNT - 1)
    assert content["tasks"]["ugc_videocap_tone"]["complete"] is True
    assert content["overall"] is None
    assert "voice_source" in content["overall_lacks"]


def test_the_same_run_gives_the_same_bytes(results: Path, bundle: Path, tmp_path: Path) -> None:
    write_bundle(read_run(results), tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(bundle)
    assert set(files_of(bundle)) == {"bundle.json", *(f"rows/{task}.jsonl" for task in TASKS)}


def test_rows_are_ours_alone_without_paths_of_the_machine(bundle: Path, results: Path) -> None:
    [line, *_] = (bundle / "rows/ugc_videocap.jsonl").read_text("utf-8").splitlines()
    [sample] = results.glob("*_samples_ugc_videocap.jsonl")
    of_lmms_eval = {"doc_id", "arguments", "resps"} & set(json.loads(sample.open().readline()))
    assert of_lmms_eval, "lmms-eval has keys of its own in the line"
    assert not of_lmms_eval & set(json.loads(line))
    row: dict[str, Any] = {"video_id": "PI-1", "clip": "/home/someone/videos/PI-1.mp4", "doc": {}}
    assert portable(row) == {"video_id": "PI-1", "clip": "PI-1.mp4"}


def test_a_folder_that_is_there_is_left_alone(results: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken: is there already"):
        write_bundle(read_run(results), tmp_path / "taken")


def test_the_newest_run_of_a_folder_is_taken_with_its_own_rows(
    results: Path, second: Path, tmp_path: Path
) -> None:
    for path in list(second.iterdir()):
        path.with_name(path.name.replace("2026-11-28", "2026-11-29")).write_bytes(path.read_bytes())
        os.utime(path, (1, 1))
    assert read_run(second).path.name.startswith("2026-11-29")
    assert read_run(second.parent).path == read_run(second).path, "also in a folder below"
    [old] = second.glob("2026-11-28*_samples_ugc_videocap.jsonl")
    assert read_run(old).path.name.startswith("2026-11-28")


def test_rows_that_are_not_there_are_named(second: Path) -> None:
    [rows] = second.glob("*_samples_ugc_videocap_ocr.jsonl")
    rows.unlink()
    with pytest.raises(DataError, match=r"_samples_ugc_videocap_ocr\.jsonl: is not there"):
        read_run(second)


def test_facts_of_another_run_are_refused(second: Path, tmp_path: Path) -> None:
    [facts] = second.glob("*_run.json")
    content = json.loads(facts.read_text("utf-8"))
    content["tasks"]["ugc_videocap"]["figures"]["visual"] = 71.5
    facts.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"visual is 60\.0000, stated is 71\.5000"):
        write_bundle(read_run(second), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"tasks": {}}, "is neither the facts of a run"),
        ([1, 2], "is neither the facts of a run"),
        ({"tasks": {"mmlu": {}}}, r"_samples_mmlu\.jsonl: is not there"),
        ({"task": "caption", "items": [{"video_id": "a", "visual": 1}]}, "row of version"),
        ({"task": "mmlu", "items": []}, "none of ours"),
    ],
)
def test_what_is_no_run_is_said_in_a_sentence(tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        read_run(tmp_path / "x.json")


def test_a_folder_without_a_run_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--output_path"):
        read_run(tmp_path)


def test_a_task_of_ones_own_name_is_in_it_and_is_not_the_benchmarks(
    second: Path, published: None, tmp_path: Path
) -> None:
    [facts] = second.glob("*_run.json")
    content = json.loads(facts.read_text("utf-8"))
    content["tasks"] = {"my_captions": content["tasks"]["ugc_videocap"]}
    facts.write_text(json.dumps(content))
    [rows] = second.glob("*_samples_ugc_videocap.jsonl")
    rows.rename(rows.with_name(rows.name.replace("ugc_videocap", "my_captions")))
    stated = write_bundle(read_run(second), tmp_path / "bundle")
    assert (tmp_path / "bundle/rows/my_captions.jsonl").is_file()
    assert stated["tasks"]["my_captions"]["of_benchmark"] is False
    assert stated["tasks"]["my_captions"]["task"] == "caption"


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".x", "a/b", ""])
def test_a_tasks_name_leads_to_no_other_folder(second: Path, name: str) -> None:
    [facts] = second.glob("*_run.json")
    content = json.loads(facts.read_text("utf-8"))
    content["tasks"] = {name: content["tasks"]["ugc_videocap"]}
    facts.write_text(json.dumps(content))
    with pytest.raises(DataError, match="is neither the facts of a run"):
        read_run(second)
