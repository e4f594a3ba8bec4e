"""``ugc-videocap summarize``: what it prints where, and its exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.cli.main import main


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("UGC_")]:
        monkeypatch.delenv(name)


def authors(path: Path, grades: dict[str, int]) -> Path:
    evaluations = {
        i: {"visual_score": g, "audio_score": g, "details_score": g} for i, g in grades.items()
    }
    path.write_text(json.dumps({"evaluations": evaluations}))
    return path


def ours(path: Path, *rows: dict[str, Any]) -> Path:
    whole = [{"judge": "a judge", "coverage": {"scored": 1, "of": 2}, **row} for row in rows]
    path.write_text("\n".join(map(json.dumps, whole)))
    return path


SCORED = {"video_id": "PI-1", "visual": 60.0, "audio": 60.0, "details": 60.0}


def summarize(*arguments: str | Path) -> int:
    return main(["summarize", *map(str, arguments)])


def test_json_is_a_list_with_an_object_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = authors(tmp_path / "one.json", {"PI-1": 3, "PI-2": 4})
    two = authors(tmp_path / "two.json", {"PI-1": 5, "PI-2": 4})
    assert summarize(one, two, "--json") == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [(row["file"], row["n"], row["average"]) for row in rows] == [
        (str(one), 2, 70.0),
        (str(two), 2, 90.0),
    ]
    keys = ["file", "n", "coverage", "visual", "audio", "details", "average", "ci95"]
    assert list(rows[0])[: len(keys)] == keys
    assert printed.err == ""


def test_a_table_has_one_row_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = authors(tmp_path / "one.json", {"PI-1": 4, "PI-2": 4})
    assert summarize(path) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "file", "n", "coverage", "visual", "audio", "details", "average", "judge"
    ]  # fmt: skip
    assert row.split() == [str(path), "2", "0.002", *["80.00", "±0.00"] * 4, "not", "stated"]


def test_a_file_name_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summarize(authors(tmp_path / "a\x1b[31m\nb.json", {"PI-1": 4}))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len(printed.splitlines()) == 2


def test_annotations_decide_which_clips_have_a_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [{"video_id": i, "answer": "x"} for i in ("PI-1", "PI-2")]
    (tmp_path / "final_caption_qa.json").write_text(
        json.dumps({"question": "?", "samples": samples})
    )
    path = authors(tmp_path / "one.json", {"PI-1": 3, "PI-9": 4})
    summarize(path, "--references", tmp_path, "--json")
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(tmp_path))
    summarize(path, "--json")
    explicit, by_home = capsys.readouterr().out.split("]\n[")
    (row,) = json.loads(explicit + "]")
    assert json.loads("[" + by_home) == [row]
    assert (row["n"], row["average"], row["coverage"]) == (2, 70.0, 0.5)
    assert row["without_reference"] == ["PI-9"]
    assert row["with_reference"]["average"] == 60.0


def test_references_that_were_asked_for_and_are_not_there_are_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = authors(tmp_path / "one.json", {"PI-1": 3})
    assert summarize(path, "--references", tmp_path) == 2
    assert "final_caption_qa.json is not in" in capsys.readouterr().err


def test_clips_without_a_score_are_a_partial_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = {"video_id": "PI-1", "visual": 60.0, "audio": 60.0, "details": 60.0}
    failed = {"video_id": "PI-2", "judge_failed": "no reply"}
    assert summarize(ours(tmp_path / "ours.jsonl", scored, failed), "--json") == 3
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert (row["n"], row["failed"], row["average"]) == (1, 1, 60.0)
    assert "1 clips have no score" in printed.err


def test_a_clip_that_the_answers_lacked_may_be_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = {"video_id": "PI-1", "visual": 60.0, "audio": 60.0, "details": 60.0}
    missing = {"video_id": "PI-2", "caption_failed": "there is no saved answer for this clip"}
    path = ours(tmp_path / "ours.jsonl", scored, missing)
    assert summarize(path) == 3
    assert summarize(path, "--allow-missing", "--json") == 0
    printed = capsys.readouterr()
    (row,) = json.loads("[" + printed.out.split("[", 1)[1])
    assert (row["n"], row["failed"], row["coverage"]) == (1, 1, 1 / 2)
    assert "1 clips have no score" in printed.err
    failed = {"video_id": "PI-3", "judge_failed": "no reply"}
    assert summarize(ours(path, scored, missing, failed), "--allow-missing") == 3
    assert summarize(ours(path, missing), "--allow-missing") == 3, "nothing is scored"
    zero = {"video_id": "PI-3", "visual": 0, "audio": 0, "details": 0}
    assert summarize(ours(path, scored, zero), "--allow-missing") == 3


@pytest.mark.parametrize("ran", [" + ", 5, None])
def test_rows_of_any_type_are_a_table_or_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: Any
) -> None:
    scored = {"video_id": "PI-1", "visual": 60.0, "audio": 60.0, "details": 60.0}
    assert summarize(ours(tmp_path / "a.jsonl", scored | {"judge_ran": ran}), "--json") == 0
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    for bad in ({"judge": ["a"]}, {"visual": 10**400}, {"visual": float("nan")}, {"video_id": {}}):
        assert summarize(ours(tmp_path / "b.jsonl", scored | bad), "--json") == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert "b.jsonl, row 1" in printed.err


def test_a_stored_zero_is_a_partial_result_with_both_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summarize(authors(tmp_path / "one.json", {"PI-1": 4, "PI-2": 0}), "--json") == 3
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert (row["n"], row["zeros"], row["average"]) == (1, 1, 80.0)
    assert (row["with_zeros"]["n"], row["with_zeros"]["average"]) == (2, 40.0)
    assert "1 clips have a 0" in printed.err


def test_results_of_different_judges_in_one_table_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = {"video_id": "PI-1", "visual": 60.0, "audio": 60.0, "details": 60.0}
    mine = ours(tmp_path / "ours.jsonl", scored)
    theirs = authors(tmp_path / "theirs.json", {"PI-1": 3})
    assert summarize(mine, theirs) == 0
    assert "not of one judge" in capsys.readouterr().err


def test_a_baseline_is_compared_with_clip_by_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = authors(tmp_path / "one.json", {"PI-1": 3, "PI-2": 4, "PI-3": 5})
    base = authors(tmp_path / "base.json", {"PI-1": 2, "PI-2": 4, "PI-4": 5})
    assert summarize(one, base, "--baseline", base, "--json") == 0
    row, own = json.loads(capsys.readouterr().out)
    assert own["difference"] is None
    assert (row["difference"]["n"], row["difference"]["average"]) == (2, 10.0)
    assert row["difference"]["only_here"] == ["PI-3"]
    assert row["difference"]["only_in_baseline"] == ["PI-4"]
    summarize(one, "--baseline", base)
    *_, row = capsys.readouterr().out.splitlines()
    # 20 and 0 points more: mean 10, t(1) = 12.706, standard error 10.
    assert row.split() == ["minus", str(base), "2", *["+10.00", "±127.06"] * 4]


def test_a_baseline_of_another_judge_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ours(tmp_path / "ours.jsonl", SCORED)
    assert summarize(mine, "--baseline", authors(tmp_path / "base.json", {"PI-1": 3})) == 0
    assert "not of one judge" in capsys.readouterr().err


def test_one_partial_file_makes_the_result_partial(tmp_path: Path) -> None:
    whole = authors(tmp_path / "whole.json", {"PI-1": 3})
    partial = authors(tmp_path / "partial.json", {"PI-1": 0})
    assert summarize(whole, whole) == 0
    assert summarize(whole, partial) == summarize(partial, whole) == 3


def test_a_table_says_what_is_an_estimate_and_what_has_a_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estimate = {f"{name}_estimate": 60.0 for name in ("visual", "audio", "details")}
    stray = {"video_id": "PI-0abb79ae-18ae-40d9-a66f-3ad7744a6095"}
    summarize(ours(tmp_path / "ours.jsonl", {"video_id": "PI-1", **estimate}, stray | estimate))
    _, row, known = capsys.readouterr().out.splitlines()
    assert row.endswith("a judge (ESTIMATE)")
    assert row.split()[3::2][:4] == ["60.00"] * 4
    assert known.startswith("  clips with a public reference ")
    assert known.split()[5] == "1"
    assert known.count(" 60.00 ±") == 4


def test_recorded_scores_give_the_published_averages(capsys: pytest.CaptureFixture[str]) -> None:
    published = {
        "UGC_Videocaptioner_4o.json": 60.01,
        "gemini_2.5_flash_4o.json": 76.73,
        "minicpm_4o.json": 59.61,
        "omni_baseline_4o.json": 52.18,
    }
    files = sorted((reference_dir() / "scores").glob("*.json"))
    assert summarize(*files, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {Path(row["file"]).name: round(row["average"], 2) for row in rows} == published
