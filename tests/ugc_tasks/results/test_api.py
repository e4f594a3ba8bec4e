"""The functions for notebooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas
import pytest

import ugc_tasks
from tests.support.reference import reference_dir
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.common.display import UserError
from ugc_tasks.common.files import DataError
from ugc_tasks.results.scores import ScoreFile
from ugc_tasks.results.scoring import Report


def test_answers_in_a_dictionary_are_scored(make_home: MakeHome) -> None:
    make_home(3)
    report = ugc_tasks.score("caption", {"PI-000": "A cat.", "PI-001": ""}, profile="offline")
    assert isinstance(report, Report)
    assert (report.n, report.failed, report.pairing.missing) == (1, 1, ("PI-002",))
    rows = ugc_tasks.frame(report)
    assert list(rows.index) == ["PI-000", "PI-001"]
    assert pandas.api.types.is_float_dtype(rows["visual_estimate"])


def test_a_file_of_answers_is_scored_as_the_command_does(
    make_full_home: MakeHome, tmp_path: Path
) -> None:
    make_full_home(3, videos=False)
    (tmp_path / "tone.csv").write_text("video_id,answer,pred\nPI-000,Negative,Positive\n")
    with pytest.raises(DataError, match="2 fields could be"):
        ugc_tasks.score("tone", tmp_path / "tone.csv")
    report = ugc_tasks.score("tone", tmp_path / "tone.csv", answer_field="pred")
    assert report.metrics["accuracy"] == 100.0


def test_runs_are_loaded_compared_and_put_into_a_table() -> None:
    scores = reference_dir() / "scores"
    run = ugc_tasks.load_run(scores / "gemini_2.5_flash_4o.json")
    assert isinstance(run, ScoreFile)
    assert ugc_tasks.load_run(run) is run
    [found] = ugc_tasks.compare(run, scores / "omni_baseline_4o.json")
    assert found.verdict == "better"
    table = ugc_tasks.summarize(run, str(scores / "omni_baseline_4o.json"))
    assert list(table.index) == ["gemini_2.5_flash_4o", "omni_baseline_4o"]
    average = table.loc["omni_baseline_4o"]
    assert average["average_low"] < average["average"] < average["average_high"]
    assert len(ugc_tasks.frame(run)) == len(run.clips)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ugc_tasks.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import sys; before = set(sys.modules); import ugc_tasks; "
        "print(sorted(m for m in set(sys.modules) - before if m != 'ugc_tasks'))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_frames_without_pandas_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        ugc_tasks.frame(ScoreFile(Path("x"), {}, {}))
