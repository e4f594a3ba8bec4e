"""``python -m benchmarks``: what is run, and what its exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Which benchmarks were started, and whether in short; ``media`` always fails."""
    started: list[tuple[str, bool]] = []

    def run(name: str, *, quick: bool, results: Path) -> None:
        started.append((name, quick))
        if name == "media":
            raise RuntimeError("a way died")

    monkeypatch.setattr(command, "_run", run)
    return started


def test_all_are_run_where_none_is_named(ran: list[tuple[str, bool]]) -> None:
    command.main([])
    assert ran == [("media", False), ("pipeline", False), ("many", False), ("judging", False)]


def test_one_that_is_named_is_run_alone(ran: list[tuple[str, bool]]) -> None:
    assert command.main(["--only", "pipeline", "--quick"]) == 0
    assert ran == [("pipeline", True)]


def test_one_that_fails_is_said_and_keeps_none_of_the_others(
    ran: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([]) == 1
    assert [name for name, _ in ran] == list(command.BENCHMARKS)
    assert "media: RuntimeError: a way died" in capsys.readouterr().err


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
