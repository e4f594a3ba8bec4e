"""A run of three tasks as lmms-eval leaves it, judged on loopback, and its bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager

from tests.support.annotations import ocr_texts, video_ids, write_annotations
from tests.support.judge_server import Asked, JudgeServer, scores, text
from ugc_tasks.benchmark import SPECS, questions_of
from ugc_tasks.data.home import Home
from ugc_tasks.register import TASK_DIR
from ugc_tasks.results.run_files import read_run
from ugc_tasks.run import current_run
from ugc_tasks.submit.bundle import write_bundle

TASKS = ("ugc_videocap", "ugc_videocap_tone", "ugc_videocap_ocr", "ugc_videocap_objects")
COUNT = 6
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("home")
    write_annotations(root, COUNT)
    return Home(root, root / "videos", tmp_path_factory.mktemp("cache"), allow_partial=True)


@pytest.fixture(scope="module")
def results(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run whose model gave no caption of the last clip."""
    with pytest.MonkeyPatch.context() as patch, JudgeServer(graded) as server:
        for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
            patch.delenv(name)
        patch.setenv("UGC_VIDEOCAP_HOME", str(home.root))
        patch.setenv("UGC_VIDEOCAP_CACHE", str(home.cache))
        patch.setenv("UGC_JUDGE_PROFILE", "rubric")
        patch.setenv("UGC_JUDGE_REPEATS", "2")
        patch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        out = tmp_path_factory.mktemp("out")
        tracker = EvaluationTracker(output_path=str(out))
        found = simple_evaluate(
            model="ugc_replay",
            model_args=f"answers={_answers(tmp_path_factory.mktemp('answers'))},name=lab/model-1",
            tasks=list(TASKS),
            task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
            evaluation_tracker=tracker,
        )
        assert found is not None
        samples = found.pop("samples")
        tracker.save_results_aggregated(found, samples, "2026-11-28T10:11:12")
        for task in TASKS:
            tracker.save_results_samples(task, samples[task])
        for judge in {current_run(task).judge for task in ("caption", "objects")} - {None}:
            judge.close()
        yield out / "lab__model-1"


def _answers(folder: Path) -> Path:
    ids = video_ids(COUNT)
    answers: dict[str, Any] = {
        "ugc_videocap": {
            i: f"A caption that is rated {n % 5 + 1}." for n, i in enumerate(ids[:-1])
        },
        "ugc_videocap_tone": {i: "Positive" if n % 2 else "Neutral." for n, i in enumerate(ids)},
        "ugc_videocap_ocr": {i: json.dumps({"ocr": ocr_texts(n % 3)}) for n, i in enumerate(ids)},
        "ugc_videocap_objects": {i: f"A cup and {n} spoons." for n, i in enumerate(ids)},
    }
    for task, by_clip in answers.items():
        (folder / f"{task}.json").write_text(json.dumps(by_clip))
    return folder


def graded(asked: Asked) -> Any:
    """Grade a caption by the digit in it, and the objects of any answer alike."""
    digits = [int(c) for c in asked.user.partition("rated ")[2][:1] if c.isdigit()]
    return scores(digits[0], 3, digits[0]) if digits else text('{"match_score": 0.75}')


@pytest.fixture
def published(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the annotations of this home be those of the benchmark."""
    assert home.root is not None
    digests = {
        name: questions_of(spec, home.root / spec.annotations).sha256
        for name, spec in SPECS.items()
    }
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", digests.__getitem__)


@pytest.fixture
def bundle(results: Path, published: None, tmp_path: Path) -> Path:
    write_bundle(read_run(results), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def second(results: Path, tmp_path: Path) -> Path:
    """A copy of the results, to be changed."""
    return Path(shutil.copytree(results, tmp_path / "second"))


def edit_manifest(bundle: Path, edit: Edit) -> None:
    path = bundle / "bundle.json"
    content = json.loads(path.read_text("utf-8"))
    edit(content)
    path.write_text(json.dumps(content), "utf-8")


def edit_rows(bundle: Path, task: str, edit: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the rows of a task, and the digest of their file with them."""
    import hashlib

    path = bundle / "rows" / f"{task}.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    edit(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_manifest(bundle, lambda content: content["files"].update({f"rows/{task}.jsonl": digest}))
