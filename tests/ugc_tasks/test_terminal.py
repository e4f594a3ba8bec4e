"""What files, judges and servers say reaches the terminal as lines of ours, in every command."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import JudgeServer, body, completion, status, text
from ugc_tasks.cli.main import main

EVIL = "\x1b[2J\u202e\u2028\r\nugc-videocap: all is well\u200b\x9b"
HARMLESS = r"\x1b[2J\u202e ugc-videocap: all is well\u200b\x9b"
SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    samples = [{"video_id": i, "answer": f"A cat sits on mat {i}."} for i in ("PI-1", "PI-2")]
    content = {"question": "What happens?", "samples": samples}
    (tmp_path / "final_caption_qa.json").write_text(json.dumps(content))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a command here; return its status and all that it wrote, in which nothing is forged."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        capfd.readouterr()
        code = main(list(map(str, arguments)))
        printed = capfd.readouterr()
        # A progress bar goes back to its line's beginning; it is ours.
        for line in (printed.out + printed.err).replace("\r", "\n").split("\n"):
            assert not {unicodedata.category(c) for c in line} & SHOWN, ascii(line)
            assert not line.startswith("ugc-videocap: all is well")
        if "--json" in arguments and code in (0, 3):
            assert printed.out.isascii()
            json.loads(printed.out)
        return code, printed.out + printed.err

    return call


def saved(folder: Path, rows: Any, name: str = "saved.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["text", "json"])
def test_ids_and_reasons_of_a_file_of_answers(
    run: Any, tmp_path: Path, json_too: tuple[str, ...]
) -> None:
    rows = [
        {"video_id": "PI-1", "caption": f"A cat. {EVIL}"},
        {"video_id": "PI-2", "caption": "", "error": f"blocked {EVIL}"},
        {"video_id": f"PI-3{EVIL}", "caption": "A dog."},
    ]
    file = saved(tmp_path, rows, f"a{EVIL.replace('/', '')}.json")
    code, said = run(
        "score", "caption", file, "--references", tmp_path, "--profile", "offline", *json_too
    )
    assert (code in (2, 3), "blocked" in said or "PI-3" in said) == (True, True)


@pytest.mark.parametrize(
    ("answer", "json_too"),
    [("a name", ()), ("a name", ("--json",)), ("an error", ()), ("no object", ("--json",))],
)
def test_what_a_judge_calls_itself_and_says_of_a_failure(
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    json_too: tuple[str, ...],
    answer: str,
) -> None:
    scored = json.dumps({"visual": 4, "audio": 4, "details": 4})
    answers = {
        "a name": body(
            {**completion(scored), "model": f"gpt{EVIL}", "system_fingerprint": f"fp{EVIL}"}
        ),
        "an error": status(400, f"no {EVIL}"),
        "no object": text(f"{{{EVIL}"),
    }
    file = saved(tmp_path, {"PI-1": "A cat.", "PI-2": "A dog."})
    with JudgeServer(lambda _: answers[answer]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_ATTEMPTS", "1")
        monkeypatch.setenv("UGC_JUDGE_MODEL", f"judge{EVIL}")
        code, said = run(
            *("score", "caption", file, "--references", tmp_path, "--profile", "rubric"), *json_too
        )
        assert code == (0 if answer == "a name" else 3)
        assert r"judge\x1b[2J" in said or r"judge\u001b[2J" in said
        if (answer, json_too) == ("a name", ()):
            assert run("judge-check", "--profile", "rubric")[0] == 1


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["text", "json"])
def test_names_in_files_of_scores(run: Any, tmp_path: Path, json_too: tuple[str, ...]) -> None:
    scores = {"visual_score": 4, "audio_score": 4, "details_score": 4}
    file = saved(
        tmp_path, {"evaluations": {"PI-1": scores, f"PI-9{EVIL}": scores}}, f"a{EVIL}.json"
    )
    code, said = run("summarize", file, "--baseline", file, *json_too)
    assert code == 0
    assert (HARMLESS in said) == (not json_too)


@pytest.mark.parametrize("command", ["status", "prepare"])
def test_names_of_folders_and_annotations(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    home = tmp_path / f"home{EVIL}"
    home.mkdir()
    (home / "final_caption_qa.json").write_text(f'{{"samples": "{EVIL}"}}')
    for json_too in ((), ("--json",)):
        code, said = run(command, "--home", home, *json_too)
        assert code in (2, 3)
        assert r"home\x1b[2J" in said or r"home\u001b[2J" in said


def test_what_is_said_above_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    from ugc_tasks.judge.cost import tell

    tell(f"batch b{EVIL}: in_progress")
    assert capsys.readouterr().err == f"judge: batch b{HARMLESS}: in_progress\n"
