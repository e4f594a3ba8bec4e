"""Scoring saved answers with the judge, as the judged tasks do in lmms-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.questions import read_questions
from ugc_tasks.estimate.model import doubts, interval
from ugc_tasks.judge.cost import total_spent
from ugc_tasks.judge.judge import open_judge
from ugc_tasks.judge.settings import JudgeConfigError, interval_of
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.reliability import describe_repeats, measured, total_repeats
from ugc_tasks.results.rows import (
    ESTIMATE,
    ESTIMATE_UNLIKE,
    NOISE,
    REPEATS,
    SCALE,
    figures_of,
    judged_row,
    points_of,
)
from ugc_tasks.results.scoring import Report, SavedRun, means


def score(run: SavedRun) -> Report:
    """Return the figures of a judged task on 0-100.

    Captions: visual, audio, details and average, ``..._estimate`` from profile offline. All others:
    one figure of the task's name. Items are rows as in the task's samples file.
    """
    spec = SPECS[run.task]
    path, source = run.annotation(spec.annotations)
    references = read_questions(path).references
    pairing = pair(run.answers, references, run.task)
    answers = pairing.answers
    with open_judge(
        run.environ,
        home=run.home.root,
        cache=run.home.cache,
        question=spec.name,
        command="score",
    ) as judge:
        facts = judge.describe()
        if facts["profile"] == "none":
            raise JudgeConfigError(
                "the judge profile 'none' scores nothing: choose paper, rubric or offline"
            )
        judged = judge.judge_many(
            [
                JudgeItem(video_id, answer.text, references[video_id])
                for video_id, answer in answers.items()
                if not answer.failure
            ]
        )
    judgments = {judgment.video_id: judgment for judgment in judged}
    items = [
        judged_row(run.task, i, answer, judgments.get(i), judge=facts, wanted=len(references))
        for i, answer in answers.items()
    ]
    scored = [item for item in items if item["n"]]
    names = [name + (ESTIMATE if facts["estimate"] else "") for name in figures_of(run.task)]
    metrics, ci95 = means({name: [item[name] for item in scored] for name in names})
    notes: list[str] = []
    if facts["estimate"]:
        ci95 = {
            name: None if mean is None else interval(name.removesuffix(ESTIMATE), mean, len(scored))
            for name, mean in metrics.items()
        }
        notes.append("these are estimates from the texts alone: no judge was asked")
        notes += doubts(
            ["".join(item[ESTIMATE_UNLIKE]) for item in scored],
            [answers[item["video_id"]].text for item in scored],
        )
    noise = _noise(items, run.task, interval_of(run.environ))
    if noise and noise["judgments"] < noise["judgments_wanted"]:
        came = describe_repeats(noise)
        notes.append(f"{came}; run again, and only those that did not come are asked for")
    all_facts = {
        "coverage": len(scored) / len(references),
        "judge": dict(facts),
        "spent": total_spent([item["judge_spent"] for item in items]),
        "sanitized": sum(bool(item["sanitized"]) for item in items),
        "references": source,
        **({"noise": noise} if noise else {}),
    }
    return Report(
        pairing, items, len(scored), metrics, ci95, all_facts, notes, estimate=facts["estimate"]
    )


def _noise(items: Sequence[Mapping[str, Any]], task: str, interval: float) -> dict[str, Any]:
    """Return how noisy the judge is; nothing where no clip was judged more than once."""
    repeats = [item[REPEATS] for item in items if REPEATS in item]
    if not repeats:
        return {}
    points = points_of(task)
    judgments = [item[NOISE] for item in items if NOISE in item]
    values = measured(judgments, factor=points, points=points == SCALE, interval=interval)
    return {**total_repeats(repeats), "values": values}
