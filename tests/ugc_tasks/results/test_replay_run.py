"""``ugc_replay`` in the whole command, beside another suite, with ``--limit`` and its results."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import httpx
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager

from tests.support.annotations import write_annotations
from tests.support.small_lmms_eval import link_small_lmms_eval
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.cli.main import main
from ugc_tasks.register import TASK_DIR

pytestmark = pytest.mark.timeout(300)

OTHER = """
task: other_suite
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.nothing
doc_to_text: question
doc_to_target: answer
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


class Run:
    """A run on four clips, of which the file of answers has the second and the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        write_annotations(self.home, 4)
        rows = [{"video": f"/clips/{i}.MP4", "response": "Positive"} for i in ("PI-001", "PI-003")]
        (folder / "my model.jsonl").write_text("\n".join(map(json.dumps, rows)))
        self._add_suite()
        self._small = link_small_lmms_eval(folder / "small")

    def _add_suite(self) -> None:
        suite = self.folder / "others"
        suite.mkdir()
        rows = [{"question": f"{i}?", "answer": "a"} for i in range(3)]
        data = suite / "data.jsonl"
        data.write_text("\n".join(map(json.dumps, rows)))
        (suite / "utils.py").write_text("def nothing(doc):\n    return []\n")
        (suite / "suite.yaml").write_text(OTHER.format(data=data))

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(self._small),
            "UGC_VIDEOCAP_HOME": str(self.home),
            "UGC_VIDEOCAP_CACHE": str(self.folder / "cache"),
            "UGC_JUDGE_PROFILE": "offline",
            "HF_HOME": str(self.folder / "huggingface"),
        }

    def run(self, *arguments: str, tasks: str) -> tuple[str, Path]:
        """Run lmms-eval; return what it said and the folder of its results."""
        output = self.folder / f"results-{len(list(self.folder.iterdir()))}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "lmms_eval", "--model", "ugc_replay", "--tasks", tasks),
                *("--include_path", str(self.folder / "others"), "--output_path", str(output)),
                *arguments,
            ],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        return done.stdout + done.stderr, output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("replay"))


def rows_of(folder: Path, task: str) -> list[dict[str, Any]]:
    (path,) = folder.glob(f"*/*_samples_{task}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def beside(run: Run) -> tuple[str, Path]:
    """Our task beside another suite's, on the first three documents of each."""
    return run.run(
        *("--model_args", f"answers={run.folder / 'my model.jsonl'},name=org/mine"),
        *("--limit", "3", "--log_samples"),
        tasks="ugc_videocap_tone,other_suite",
    )


def test_another_suite_costs_ours_nothing(beside: tuple[str, Path]) -> None:
    said, output = beside
    (results,) = output.glob("*/*_results.json")
    row = json.loads(results.read_text())["results"]["ugc_videocap_tone"]
    assert (row["n,none"], row["failure,none"], row["tone,none"]) == (2, {"answer": 1}, 50.0), said
    assert "other_suite was not run: no answers are saved for tasks of other suites" in said
    saved = json.loads(results.read_text())
    assert saved["not_run"].keys() == {"other_suite"}
    assert saved["results"].keys() == {"ugc_videocap_tone"}
    assert "to no clip that it asks about" not in said


def test_a_limit_takes_the_clips_that_the_file_has(beside: tuple[str, Path]) -> None:
    said, output = beside
    rows = rows_of(output, "ugc_videocap_tone")
    assert [row["video_id"] for row in rows] == ["PI-001", "PI-003", "PI-000"]
    assert [row["failure"] and row["failure"]["reason"] for row in rows] == [
        None, None, "there is no saved answer for this clip"
    ]  # fmt: skip
    assert "ugc_videocap_tone: 1 of 3 clips have none: PI-000" in said


def test_the_results_are_found_under_the_model_s_name(beside: tuple[str, Path]) -> None:
    said, output = beside
    (results,) = output.glob("org__mine/*_results.json")
    assert json.loads(results.read_text())["model_name"] == "org/mine", said


def test_a_job_of_lmms_evals_server_finds_its_results(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = run.folder / "serve.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "lmms_eval", "serve", "--host", "127.0.0.1", "--port"),
                f"{port}",
            ],
            env=run.environment(),
            stdout=said,
            stderr=said,
        ) as server,
    ):
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                job = _job_of(client, run)
        finally:
            server.terminate()
    assert job["status"] == "completed", log.read_text()
    (name, found), *others = job["result"].items()
    assert (name, others) == ("org__mine", [])
    row = json.loads(Path(found["results"]).read_text())["results"]["ugc_videocap_tone"]
    assert row["n,none"] == 2
    assert len(found["samples"]) == 1


def _job_of(client: Any, run: Run) -> dict[str, Any]:
    """Give the server a job, once it listens, and return what becomes of it."""
    end = time.monotonic() + 200
    while True:
        try:
            client.get("/health")
            break
        except Exception:
            assert time.monotonic() < end
            time.sleep(0.5)
    request = {
        "model": "ugc_replay",
        "tasks": ["ugc_videocap_tone"],
        "model_args": {"answers": str(run.folder / "my model.jsonl"), "name": "org/mine"},
        "log_samples": True,
        "output_dir": str(run.folder / "served"),
    }
    number = client.post("/evaluate", json=request).json()["job_id"]
    while True:
        job: dict[str, Any] = client.get(f"/jobs/{number}").json()
        if job["status"] in {"completed", "failed"}:
            return job
        assert time.monotonic() < end
        time.sleep(0.5)


def test_what_predict_only_writes_finds_its_clips_again(
    tmp_path: Path,
    make_home: MakeHome,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = make_home(4, missing=range(4))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    answers = tmp_path / "all.json"
    answers.write_text(json.dumps({f"PI-{i:03}": f"A cat, clip {i}." for i in range(4)}))
    tracker = EvaluationTracker(output_path=str(tmp_path / "results"))
    results = simple_evaluate(
        model="ugc_replay",
        model_args=f"answers={answers}",
        tasks=["ugc_videocap"],
        task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
        evaluation_tracker=tracker,
        predict_only=True,
    )
    assert results is not None
    samples = results.pop("samples")["ugc_videocap"]
    assert "video_id" not in samples[0]
    tracker.save_results_aggregated(results=results, samples={}, datetime_str="20260101_000000")
    tracker.save_results_samples(task_name="ugc_videocap", samples=samples)
    (path,) = (tmp_path / "results").glob("all/*_samples_ugc_videocap.jsonl")
    arguments = ["--references", str(home), "--profile", "offline", "--json"]
    capsys.readouterr()
    assert main(["score", "caption", str(path), *arguments]) == 0
    by_number = json.loads(capsys.readouterr().out)
    assert main(["score", "caption", str(answers), *arguments]) == 0
    by_id = json.loads(capsys.readouterr().out)
    assert by_number["metrics"] == by_id["metrics"]
    assert by_number["n"] == 4
