"""``python -m benchmarks``: what is run, and what its exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import judging, long, media, page, pipeline, size


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Which benchmarks were started, and with which options; ``media`` always fails."""
    started: list[tuple[str, list[str]]] = []

    for benchmark in (media, long, pipeline, judging, page):
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
    assert [name for name, _ in ran] == ["media", "long", "pipeline", "judging", "page"]
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


def test_sizes_are_set_beside_their_limits() -> None:
    lines = {
        "ugc_tasks/__init__.py": 4,
        "ugc_tasks/run.py": 100,
        "ugc_tasks/judge/judge.py": 31_000,
        "ugc_tasks/judge/transport/retry.py": 59,
        "ugc_models/engine/base.py": 400,
    }
    assert list(size.counts(lines)) == [
        ("lines of Python outside tests/", 31_563, 31_000),
        ("files with content", 5, 182),
        ("modules in ugc_tasks/judge", 2, 17),
        ("modules at the top of ugc_tasks", 1, 3),
        ("modules at the top of ugc_models", 0, 7),
        ("modules under 60 lines", 1, None),
        ("  ugc_tasks/judge/transport/retry.py", 59, None),
    ]


def test_what_is_over_its_limit_is_said_and_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(size, "lines_of_source", lambda: {"a.py": 100})
    assert size.main() == 0
    monkeypatch.setattr(size, "lines_of_source", lambda: {"a.py": 31_001})
    assert size.main() == 1
    assert (
        " 31,001  lines of Python outside tests/: at most 31,000, OVER" in capsys.readouterr().out
    )
