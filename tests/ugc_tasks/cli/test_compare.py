"""The command that tells whether a run is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.cli.main import main


def written(folder: Path, name: str, grades: list[int], **more: Any) -> str:
    """Write what ``score --json`` prints of captions with these grades; return its path."""
    items = [
        {
            "video_id": f"PI-{i}",
            "judge": "a judge",
            "coverage": {"scored": True, "of": len(grades)},
            **dict.fromkeys(("visual", "audio", "details", "average"), 20.0 * grade),
            **more,
        }
        for i, grade in enumerate(grades)
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"task": "caption", "items": items}))
    return str(path)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of a better run and of a worse one."""
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UGC_VIDEOCAP_HOME", raising=False)
    old = [2, 3, 4, 3, 2] * 8
    new = [grade + (i % 4 > 0) for i, grade in enumerate(old)]
    return [written(tmp_path, "new", new), written(tmp_path, "old", old)]


def compared(*arguments: str) -> int:
    return main(["compare", *arguments])


def test_a_person_reads_a_table_and_a_sentence(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(*runs) == 0
    printed = capsys.readouterr()
    head, *lines, said = printed.out.splitlines()
    assert head.split() == ["new", "old", "difference", "95", "%", "interval", "p"]
    assert [line.split()[0] for line in lines] == ["visual", "audio", "details", "average"]
    assert lines[-1].split()[1:4] == ["71.0", "56.0", "+15.0"]
    assert said.startswith("new is better than old by 15.0 ± ")
    assert "new against old, 40 shared clips" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 100


def test_a_program_reads_the_verdict_and_what_it_rests_on(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(*runs, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["new"], said["old"], said["n"], said["verdict"]) == (*runs, 40, "better")
    assert said["difference"] == pytest.approx(15.0)
    assert said["ci95"][0] < 15 < said["ci95"][1]
    assert said["p"] < 0.001
    assert said["figures"]["average"]["verdict"] == "better"
    assert said["methods"] == {
        "ci95": "Student's t of the differences",
        "p": "paired permutation, Holm",
    }


def test_several_are_a_list_whose_p_is_corrected(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = runs
    assert compared(new, old, old, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["p"] == second["p"] == 2 * first["figures"]["average"]["p"]


@pytest.mark.parametrize(
    ("form", "begins"),
    [("markdown", "|         |"), ("latex", r"\begin{tabular}{lrrrrr}"), ("csv", ",new,old,")],
)
def test_the_table_alone_is_printed_for_a_paper(
    runs: list[str], capsys: pytest.CaptureFixture[str], form: str, begins: str
) -> None:
    assert compared(*runs, "--format", form) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(begins)
    assert "is better than" not in printed.out
    assert "is better than" in printed.err


def test_parts_of_the_clips_are_shown_if_asked_for(
    tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ocr.jsonl").write_text(
        "\n".join(json.dumps({"video_id": f"PI-{i}", "ocr": ["sale"]}) for i in range(10))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UGC_VIDEOCAP_HOME", str(home))
        assert compared(*runs, "--slices") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("text on screen: some (10)") for line in lines)
    assert any(line.startswith("text on screen: none (30)") for line in lines)


def test_what_cannot_be_compared_is_said_with_the_reason(
    tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = written(tmp_path, "other", [3, 4], judge="another judge")
    assert compared(runs[0], other) == 2
    assert capsys.readouterr().out.strip() == (
        "new and other cannot be compared: they were judged by different judges, a judge and "
        "another judge"
    )
    assert compared(runs[0], other, "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["n"], said["difference"]) == ("not comparable", 0, None)


@pytest.mark.parametrize("path", ["nothing.json", "."])
def test_a_file_that_is_none_is_one_sentence(
    tmp_path: Path,
    runs: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compared(runs[0], path) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert path in printed.err
