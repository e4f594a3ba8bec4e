"""What ``make score-env`` installs is enough for all that needs no engine, with equal numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.annotations import video_ids, write_annotations
from tests.support.judge_server import JudgeServer, scores

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROJECT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
HEAVY = ("torch", "transformers", "vllm", "lmms_eval", "datasets", "pandas", "av", "cv2")
COUNT = 4
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with exactly what the lock file has, and this project."""
    folder = tmp_path_factory.mktemp("score") / "venv"
    interpreter = folder / "bin" / "python"
    locked = PROJECT / "requirements" / "score.txt"
    install = [UV, "pip", "install", "--quiet", "--python", interpreter, "--no-deps"]
    # The tests' one certificate (conftest.py) is not that of the package index.
    environ = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    for command in (
        [UV, "venv", "--quiet", "--python", sys.executable, folder],
        [*install, "--require-hashes", "-r", locked],
        [*install, "--no-build-isolation", "--editable", PROJECT],
    ):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return interpreter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    write_annotations(folder, COUNT)
    captions = {i: f"A person speaks in room {n}." for n, i in enumerate(video_ids(COUNT))}
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "tones.json").write_text(json.dumps(dict.fromkeys(captions, "Positive")))
    texts = dict.fromkeys(captions, '{"ocr": ["open daily", "sign"]}')
    (folder / "texts.json").write_text(json.dumps(texts))
    return folder


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    def run(interpreter: Path | str, *arguments: str | Path, **more: str) -> Any:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("UGC_", "OPENAI_"))}
        environ |= {
            "UGC_VIDEOCAP_HOME": str(folder),
            "UGC_VIDEOCAP_CACHE": str(tmp_path / "cache"),
            "UGC_JUDGE_PROFILE": "offline",
            **more,
        }
        return subprocess.run(
            [interpreter, "-m", "ugc_tasks.cli.main", *arguments],
            cwd=folder, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_it_has_none_of_the_heavy_packages(python: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("task", "file"), [("caption", "captions"), ("tone", "tones"), ("ocr", "texts")]
)
def test_numbers_are_those_of_the_whole_environment(
    python: Path, run: Run, task: str, file: str
) -> None:
    light, whole = (
        json.loads(run(each, "score", task, f"{file}.json", "--json").stdout)
        for each in (python, sys.executable)
    )
    assert light["metrics"] == pytest.approx(whole["metrics"], rel=1e-9)
    assert light["n"] == whole["n"] == COUNT


def test_a_judge_is_asked(python: Path, run: Run) -> None:
    with JudgeServer(lambda _: scores(4, 3, 4)) as server:
        judge = {
            "UGC_JUDGE_PROFILE": "rubric",
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "sk-loopback-0123456789",
        }
        done = run(python, "score", "caption", "captions.json", "--json", **judge)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["visual"] == 80.0


def test_everything_after_the_score_works(python: Path, run: Run, tmp_path: Path) -> None:
    saved = tmp_path / "mine.json"
    saved.write_text(run(python, "score", "caption", "captions.json", "--json").stdout)
    bundle, page = tmp_path / "bundles" / "mine", tmp_path / "report.html"
    for command in (
        ["summarize", saved],
        ["compare", saved, saved],
        ["show", saved],
        ["report", saved, "-o", page],
        ["submit", saved, "-o", bundle],
        ["verify", bundle],
        ["export", bundle, "--format", "every-eval-ever"],
        ["leaderboard", bundle.parent, "-o", tmp_path / "board.html"],
    ):
        done = run(python, *command)
        assert done.returncode == 0, (command, done.stderr)
    assert page.stat().st_size > 10_000
