"""The console script as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ugc_tasks import cli

HEAVY = (
    "lmms_eval",
    "torch",
    "numpy",
    "scipy",
    "av",
    "yt_dlp",
    "openai",
    "rouge_score",
    "datasets",
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ugc_tasks.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_help_names_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from ugc_tasks.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    for command in ("score", "summarize", "prepare", "status"):
        assert command in done.stdout


def test_bad_input_is_one_sentence_on_stderr_and_status_2(tmp_path: Path) -> None:
    done = run("summarize", tmp_path / "nowhere.json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"ugc-videocap: {tmp_path}/nowhere.json: cannot be read (No such file or directory)"
    ]


@pytest.mark.parametrize("arguments", [[], ["juggle"], ["score", "juggling", "file"]])
def test_arguments_that_are_none_are_status_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: ugc-videocap" in done.stderr


def test_a_fault_of_ours_is_not_taken_for_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("ugc_tasks.summarize_command.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["summarize", "file"])


def test_an_interrupt_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ugc_tasks.summarize_command.run", interrupted)
    assert cli.main(["summarize", "file"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_has_read_enough_is_no_fault(tmp_path: Path) -> None:
    scores = '{"evaluations": {"PI-%d": {"visual_score": 1, "audio_score": 1, "details_score": 1}}}'
    files = []
    for number in range(500):
        files.append(tmp_path / f"{'long' * 40}{number}.json")
        files[-1].write_text(scores % number)
    command = [sys.executable, "-m", "ugc_tasks.cli", "summarize", *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
