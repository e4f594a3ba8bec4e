"""The console script as a whole."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.cli import main as cli

PROJECT = Path(__file__).parents[3]
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


Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command in this process, in an environment and a folder of its own."""

    def run(*arguments: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_", "HF_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
        for name, value in environ.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        try:
            status = cli.main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


def test_the_help_names_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from ugc_tasks.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    for command in ("score", "summarize", "prepare", "status"):
        assert command in done.stdout


def test_bad_input_is_one_sentence_on_stderr_and_status_2(shell: Any) -> None:
    done = shell("ugc-videocap summarize nowhere.json")
    assert one_sentence(done) == "nowhere.json: cannot be read (No such file or directory)"


@pytest.mark.parametrize("arguments", [[], ["juggle"], ["score", "juggling", "file"]])
def test_arguments_that_are_none_are_status_2(call: Call, arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert "usage: ugc-videocap" in done.stderr


def test_a_fault_of_ours_is_not_taken_for_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("ugc_tasks.cli.summarize.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["summarize", "file"])


def test_an_interrupt_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ugc_tasks.cli.summarize.run", interrupted)
    assert cli.main(["summarize", "file"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_has_read_enough_is_no_fault(tmp_path: Path) -> None:
    scores = '{"evaluations": {"PI-%d": {"visual_score": 1, "audio_score": 1, "details_score": 1}}}'
    files = []
    for number in range(500):
        files.append(tmp_path / f"{'long' * 40}{number}.json")
        files[-1].write_text(scores % number)
    command = [sys.executable, "-m", "ugc_tasks.cli.main", "summarize", *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 130


# --- the environment ------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the console script in a shell, in which its streams can be closed."""

    def run(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
        ours = ("UGC_", "OPENAI_", "HF_", "PYTHON")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours) and "PROXY" not in k}
        return subprocess.run(
            ["bash", "-c", line.replace("ugc-videocap", f"{sys.executable} -m ugc_tasks.cli.main")],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=120,
            cwd=tmp_path,
            env={
                **kept,
                "PYTHONPATH": str(PROJECT),
                "UGC_VIDEOCAP_CACHE": str(tmp_path / "cache"),
                "HF_HOME": str(tmp_path / "hf"),
                **environ,
            },
        )

    return run


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a command that the environment has stopped."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("ugc-videocap: ")
    return line.removeprefix("ugc-videocap: ")


@pytest.mark.parametrize("command", ["status --json", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_sentence(shell: Any, command: str, unbuffered: str) -> None:
    done = shell(f"ugc-videocap {command} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert one_sentence(done) == (
        "the output cannot be written (No space left on device): name another place for it, or "
        "make room, and run the same command again"
    )


def test_a_closed_stdout_is_one_sentence_before_any_work(shell: Any, tmp_path: Path) -> None:
    said = one_sentence(shell("ugc-videocap prepare --home made >&-"))
    assert said == "stdout is closed: give the output a place, such as > FILE"
    assert not (tmp_path / "made").exists()
    assert one_sentence(shell("ugc-videocap status <&- >&-")) == said


@pytest.mark.parametrize("stderr", ["2>&-", "2> /dev/full"])
def test_a_stderr_that_takes_nothing_changes_neither_output_nor_status(
    shell: Any, stderr: str, tmp_path: Path
) -> None:
    done = shell(f"ugc-videocap status --json {stderr}")
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["complete"] is False
    assert shell(f"ugc-videocap summarize nothing.json {stderr}").returncode == 2
    assert shell(f"ugc-videocap status > /dev/full {stderr}").returncode == 2


def test_a_closed_stream_does_not_hand_its_number_to_the_next_file(shell: Any) -> None:
    done = shell(
        f"{sys.executable} -c 'import os, sys; from ugc_tasks.cli import main, summarize as s\n"
        's.run = lambda _: os.write(2, b"x") and print(os.open("store", os.O_CREAT)) or 0\n'
        'sys.exit(main.main(["summarize", "x"]))\' <&- 2>&-'
    )
    assert done.returncode == 0
    assert int(done.stdout) > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_odd_encoding_of_the_terminal_is_no_fault(shell: Any, encoding: str) -> None:
    command = "ugc-videocap summarize 'お.json'"
    done = shell(command, PYTHONIOENCODING=encoding, LC_ALL="C", PYTHONUTF8="0")
    name = "お" if encoding == "utf-8" else r"\u304a"
    assert done.returncode == 2
    assert "cannot be read (No such file or directory)" in done.stderr
    assert name in done.stderr or r"\udce3" in done.stderr  # a name in the locale's bytes


def test_what_the_outputs_encoding_has_not_is_escaped(shell: Any) -> None:
    done = shell("mkdir お; ugc-videocap status --home お", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (3, "")
    assert r"\u304a" in done.stdout.splitlines()[0]


JUDGED = "ugc-videocap judge-check --profile rubric"
PREPARE = "ugc-videocap prepare --home made"


@pytest.mark.parametrize(
    ("command", "name"),
    [(JUDGED, "ALL_PROXY"), (PREPARE, "https_proxy")],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence_without_its_password(
    shell: Any, command: str, name: str
) -> None:
    done = shell(command, OPENAI_API_KEY="sk-x", **{name: "socks://user:hush-hush@127.0.0.1:1"})
    said = one_sentence(done)
    assert "proxy" in said
    assert name in said
    assert "hush" not in said


@pytest.mark.parametrize("command", [JUDGED, PREPARE])
def test_a_missing_file_of_certificates_is_named(shell: Any, command: str) -> None:
    said = one_sentence(shell(command, OPENAI_API_KEY="sk-x", SSL_CERT_FILE="/nowhere/ca.pem"))
    assert "SSL_CERT_FILE" in said
    assert command == JUDGED or "/nowhere/ca.pem" in said


@pytest.mark.parametrize(
    ("command", "environ", "said"),
    [
        ("status", {"UGC_VIDEOCAP_CACHE": "~nobody-here/x"}, "UGC_VIDEOCAP_CACHE=~nobody-here/x"),
        ("prepare", {"UGC_VIDEOCAP_HOME": "~nobody-here/x"}, "UGC_VIDEOCAP_HOME=~nobody-here/x"),
        ("prepare", {"UGC_VIDEOCAP_HOME": "/proc/none"}, "/proc/none"),
        ("prepare", {"UGC_VIDEOCAP_CACHE": "/proc/none"}, "/proc/none"),
        ("status", {"UGC_VIDEOCAP_HOME": "x" * 300}, "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(
    call: Call, command: str, environ: dict[str, str], said: str
) -> None:
    assert said in one_sentence(call(command, **environ))


def test_without_a_folder_for_temporary_files_too(shell: Any) -> None:
    environ = {"TMPDIR": "/nowhere", "UGC_JUDGE_PRICES": "/nowhere/p.toml", "OPENAI_API_KEY": "x"}
    assert "/nowhere/p.toml" in one_sentence(shell(JUDGED, **environ))


@pytest.mark.parametrize("home", ["rel", None], ids=["relative", "unset"])
def test_without_an_absolute_home_the_users_own_folder_is_found(
    call: Call, home: str | None
) -> None:
    done = call("status", UGC_VIDEOCAP_CACHE="", XDG_CACHE_HOME=None, HOME=home)
    assert done.returncode == 3
    assert done.stdout.startswith("home    /")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/\x1b[31mb"), r"/a/\x1b[31mb: Perm"),
        (OSError(errno.EROFS, "Read-only file system", b"/c\xff"), r"/c\udcff: Read-only"),
        (OSError("a library's own words"), "a library's own words"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file"),
    ],
)
def test_a_fault_of_the_machine_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    def broken(_: object) -> int:
        raise error

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr("ugc_tasks.cli.summarize.run", broken)
    assert cli.main(["summarize", "file"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ugc-videocap: {said}")
    assert line.endswith(": correct that and run again")


def test_the_traceback_of_a_fault_of_ours_carries_no_escapes(shell: Any) -> None:
    done = shell(
        f"{sys.executable} -c 'from ugc_tasks.cli import main as cli, summarize as s\n"
        's.run = lambda _: exec("raise ValueError(chr(27) + \\x27[31m\\x27 + chr(0x202e))")\n'
        'cli.main(["summarize", "x"])\''
    )
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert r"\x1b[31m\u202e" in done.stderr
    assert "\x1b" not in done.stderr


def test_arguments_are_repeated_without_their_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["status", "--what\x1b[2J\nugc-videocap: all is well"])
    assert ended.value.code == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.endswith(r"unrecognized arguments: --what\x1b[2J ugc-videocap: all is well")
