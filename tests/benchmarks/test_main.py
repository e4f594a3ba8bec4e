"""``python -m benchmarks``: what is run, and what its exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import judging, media, pipeline, size


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Which benchmarks were started, and with which options; ``media`` always fails."""
    started: list[tuple[str, list[str]]] = []

    for benchmark in (media, pipeline, judging):
        name = benchmark.__name__.rpartition(".")[2]

        def run(arguments: list[str], _: Path, name: str = name) -> None:
            started.append((name, arguments))
            if name == "media":
                raise RuntimeError("a way died")

        monkeypatch.setattr(benchmark, "main", run)
    return started


def test_all_are_run_and_one_that_fails_keeps_none_of_the_others(
    ran: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([]) == 1
    assert ran == [("media", []), ("pipeline", []), ("judging", [])]
    assert "media: RuntimeError: a way died" in capsys.readouterr().err


def test_one_that_is_named_is_run_alone(ran: list[tuple[str, list[str]]]) -> None:
    assert command.main(["--only", "pipeline", "--quick"]) == 0
    assert ran == [("pipeline", ["--quick"])]


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "everything"])
    assert ended.value.code == 2
    assert "media" in capsys.readouterr().err


def test_the_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "python -m benchmarks --quick" in said
    assert "exit codes:" in said


def test_sizes_are_of_what_has_content_and_each_is_set_beside_its_limit() -> None:
    lines = {
        "ugc_tasks/__init__.py": 4,
        "ugc_tasks/run.py": 100,
        "ugc_tasks/judge/judge.py": 17_000,
        "ugc_tasks/judge/transport/retry.py": 59,
        "ugc_models/engine/base.py": 400,
    }
    said = [str(count).strip() for count in size.counts(lines)]
    assert said[0] == "17,563  lines of Python outside tests/: at most 17,500, OVER"
    assert said[1] == "5  files with content: at most 120, ok"
    assert "2  modules in ugc_tasks/judge: at most 16, ok" in said
    assert "1  modules at the top of ugc_tasks: at most 3, ok" in said
    assert "0  modules at the top of ugc_models: at most 7, ok" in said
    assert said[-2:] == ["1  modules under 60 lines", "59    ugc_tasks/judge/transport/retry.py"]
