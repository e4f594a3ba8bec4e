"""The whole benchmark as one group, run by lmms-eval's own evaluation on saved answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from lmms_eval.utils import make_table

from tests.support.annotations import ocr_texts, video_ids
from tests.support.judge_server import Act, Asked, JudgeServer, scores, text
from tests.support.reference import reference_dir
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.lmms.saved import facts_of
from ugc_tasks.register import TASK_DIR

GROUP = "ugc_videocap_full"
IDS = video_ids(4)
Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: None) -> Evaluate:
    """Run ``lmms-eval --model ugc_replay --model_args answers=... --tasks ...``, here."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def run(answers: Path | str, *tasks: str) -> dict[str, Any]:
        results = simple_evaluate(
            model="ugc_replay",
            model_args=f"answers={answers}",
            tasks=list(tasks),
            task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
        )
        assert isinstance(results, dict)
        return results

    return run


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder of answers, each task's in another of the layouts that they are found in."""
    folder = tmp_path / "saved"
    folder.mkdir()
    captions = [{"video_id": v, "caption": f"Caption {i}."} for i, v in enumerate(IDS)]
    voices = ["A", "In-Video Voice", "in-video voice", "In-Video Voice"]  # the last: Narration
    samples = [
        {"video_id": v, "filtered_resps": [voice], "target": "", "doc_id": i}
        for i, (v, voice) in enumerate(zip(IDS, voices, strict=True))
    ]
    tones = {IDS[0]: "positive", IDS[1]: "B. Neutral", IDS[2]: "Positive or negative", IDS[3]: "C"}
    texts = [ocr_texts(0), {"ocr": ocr_texts(1)}, json.dumps({"ocr": ocr_texts(2)}), ""]
    ocr = [
        {"video_id": v, "ocr": ["not", "the", "reference"], "predict_ocr": answer}
        for v, answer in zip(IDS, texts, strict=True)
    ]
    files: dict[str, list[dict[str, Any]]] = {
        "ugc_videocap": captions,
        "ugc_videocap_voice_source": samples,
        "ugc_videocap_ocr": ocr,
    }
    for task, rows in files.items():
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "ugc_videocap_tone.json").write_text(json.dumps(tones))
    for task in ("background", "objects"):
        rows = [{"video_id": v, "answer": "x", "predict": f"{task} {v}"} for v in IDS]
        content = {"question": "?", "samples": rows}
        (folder / f"ugc_videocap_{task}.json").write_text(json.dumps(content))
    return folder


def verdict(asked: Asked) -> Act:
    """Judge a clip as the column's values below have it."""
    clip = next(
        i for i in range(4) if f"Reference {i} of" in asked.user or f"room {i}" in asked.user
    )
    if b"background_verdict" in asked.raw:
        return text(json.dumps({"consistent": ["yes", "yes", "no", "no"][clip]}))
    if b"objects_found" in asked.raw:
        return text(json.dumps({"match_score": [0.5, 1, 0, 0.25][clip]}))
    return scores(1, 2, 3) if clip == 3 else scores(5, 4, 3)


BY_HAND = {
    "visual": 80.0,  # (5 + 5 + 5 + 1) / 4 * 20
    "audio": 70.0,  # (4 + 4 + 4 + 2) / 4 * 20
    "details": 60.0,
    "voice_source": 75.0,
    "tone": 50.0,
    "ocr": 75.0,
    "background": 50.0,
    "objects": 43.75,
}


def columns(results: dict[str, Any]) -> dict[str, Any]:
    group = results["results"][GROUP]
    return {name: group[f"{name},none"] for name in COLUMNS if f"{name},none" in group}


def test_the_group_has_the_eight_columns_and_their_mean(
    evaluate: Evaluate, saved: Path, make_full_home: MakeHome, judge_server: JudgeServer
) -> None:
    make_full_home(4, videos=False)  # answers that exist need no clips
    judge_server.script = verdict
    results = evaluate(saved, GROUP)
    assert columns(results) == BY_HAND
    assert results["results"][GROUP]["overall,none"] == sum(BY_HAND.values()) / 8 == 62.96875
    tasks = results["group_subtasks"][GROUP]
    assert {results["results"][task]["n,none"] for task in tasks} == {4}
    assert len(judge_server.requests) == 12, "four captions, backgrounds and lists of objects"
    printed = make_table(results, "groups")
    for value in (*BY_HAND.values(), 62.9688):
        assert f"{value:.4f}" in printed


def test_without_one_tasks_answers_there_is_no_mean_of_the_eight(
    evaluate: Evaluate,
    saved: Path,
    make_full_home: MakeHome,
    judge_server: JudgeServer,
) -> None:
    make_full_home(4, videos=False)
    judge_server.script = verdict
    (saved / "ugc_videocap_objects.json").unlink()
    results = evaluate(saved, GROUP)
    there = {name: value for name, value in BY_HAND.items() if name != "objects"}
    assert columns(results) == {**there, "objects": None}
    assert results["results"][GROUP]["overall,none"] is None
    objects = results["results"]["ugc_videocap_objects"]
    assert (objects["n,none"], objects["failure,none"]) == (0, {"answer": 4})
    assert objects["coverage,none"] == 0.0
    assert facts_of(results, results["samples"])["overall"] == {
        "value": None,
        "reason": "there is no figure for objects",
    }


def test_several_judgments_of_each_clip_are_one_score_with_their_noise_beside_it(
    evaluate: Evaluate,
    saved: Path,
    make_full_home: MakeHome,
    judge_server: JudgeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wavering(asked: Asked) -> Act:
        if b"background_verdict" in asked.raw:
            return text(json.dumps({"consistent": "no" if asked.seen else "yes"}))
        if b"objects_found" in asked.raw:
            return text(json.dumps({"match_score": 0.25 * asked.seen}))
        return scores(3 + asked.seen, 4, 3)

    make_full_home(4, videos=False)
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "3")
    judge_server.script = wavering
    results = evaluate(saved, GROUP)
    means = {"visual": 80.0, "audio": 80.0, "details": 60.0, "background": 100 / 3, "objects": 25}
    assert columns(results) == pytest.approx(BY_HAND | means)
    assert isinstance(results["results"][GROUP]["overall,none"], float)
    assert len(judge_server.requests) == 36
    facts = facts_of(results, results["samples"])["tasks"]
    for task in ("", "_background", "_objects"):
        repeats = facts[f"ugc_videocap{task}"]["noise"]
        assert (repeats["repeats"], repeats["judgments"], repeats["judgments_wanted"]) == (
            3,
            12,
            12,
        )
        assert results["configs"][f"ugc_videocap{task}"]["metadata"]["judge"]["repeats"] == 3
    noise = facts["ugc_videocap"]["noise"]["values"]
    # Every clip had 60, 80 and 100 for its picture, so its own variance is all that there is.
    visual = noise["visual"]
    assert (visual["judge_variance"], visual["clip_variance"]) == (400, 0)
    assert visual["alpha"] == pytest.approx(-0.375)
    assert (visual["exact"], visual["within_one"]) == (0, pytest.approx(2 / 3))
    assert visual["half_width"] == pytest.approx(11.32, abs=0.01)
    assert (visual["share_of_mean"], visual["enough"]) == (1, 1537)
    assert (noise["audio"]["judge_variance"], noise["audio"]["alpha"]) == (0, None)
    assert noise["average"]["judge_variance"] == pytest.approx(400 / 9)
    objects = facts["ugc_videocap_objects"]["noise"]["values"]
    assert objects["objects"]["judge_variance"] == 625


def test_the_free_judge_fills_the_columns_that_need_no_judge(
    evaluate: Evaluate, saved: Path, make_full_home: MakeHome
) -> None:
    make_full_home(4, videos=False)
    results = evaluate(saved, GROUP)
    unjudged = ("voice_source", "tone", "ocr")
    there = {name: value for name, value in columns(results).items() if value is not None}
    assert there == {name: BY_HAND[name] for name in unjudged}
    group = results["results"][GROUP]
    assert group["overall,none"] is None
    assert group["visual_estimate,none"] > 0, "an estimate, and under its own name"


def test_the_recorded_ocr_answers_have_the_published_figure(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = reference_dir()
    home = tmp_path / "home"
    home.mkdir()
    for path in (reference / "questions").iterdir():
        (home / path.name).symlink_to(path)
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(home))
    results = evaluate(reference / "ocr" / "ocr_omni3b.jsonl", "ugc_videocap_ocr")
    metrics = results["results"]["ugc_videocap_ocr"]
    assert round(metrics["ocr,none"], 2) == 56.08
    assert (metrics["n,none"], metrics["coverage,none"]) == (826, 1.0)
    assert (metrics["failure,none"], metrics["skipped,none"]) == ({}, 0)
