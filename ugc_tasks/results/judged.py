"""Scoring saved answers with the judge, as the judged tasks do in lmms-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.questions import read_questions
from ugc_tasks.estimate import doubts, interval
from ugc_tasks.judge.cost import total_spent
from ugc_tasks.judge.judge import open_judge
from ugc_tasks.judge.settings import JudgeConfigError, interval_of
from ugc_tasks.judge.types import JudgeItem
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.reliability import (
    NOISE,
    REPEATS,
    describe_repeats,
    measured,
    total_repeats,
)
from ugc_tasks.results.rows import (
    ESTIMATE,
    ESTIMATE_UNLIKE,
    SCALE,
    figures_of,
    judged_row,
    points_of,
)
from ugc_tasks.results.scoring import Report, Request, means


def score(request: Request) -> Report:
    """Return the figures of a judged task on 0-100.

    Captions: visual, audio, details and average, ``..._estimate`` from profile offline. All others:
    one figure of the task's name. Items are rows as in the task's samples file.
    """
    spec = SPECS[request.task]
    path, source = request.annotation(spec.annotations)
    references = read_questions(path).references
    pairing = pair(request.answers, references)
    answers = {video_id: saved.read(request.task) for video_id, saved in pairing.pairs}
    with open_judge(
        request.environ,
        home=request.home.root,
        cache=request.home.cache,
        question=spec.judged or spec.name,
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
        judged_row(
            request.task,
            video_id,
            answer,
            judgments.get(video_id),
            judge=facts,
            wanted=pairing.wanted,
        )
        for video_id, answer in answers.items()
    ]
    scored = [item for item in items if item["n"]]
    suffix = ESTIMATE if facts["estimate"] else ""
    names = [name + suffix for name in figures_of(request.task)]
    metrics, ci95 = means({name: [item[name] for item in scored] for name in names})
    notes = [*pairing.notes, *([spec.note] if spec.note else [])]
    if facts["estimate"]:
        ci95 = {name: _interval(name, metrics[name], len(scored)) for name in names}
        notes.append("these are estimates from the texts alone: no judge was asked")
        notes += doubts(
            ["".join(item[ESTIMATE_UNLIKE]) for item in scored],
            [answers[item["video_id"]].text for item in scored],
        )
    noise = _noise(items, request.task, interval_of(request.environ))
    if noise and noise["noise"]["judgments"] < noise["noise"]["judgments_wanted"]:
        came = describe_repeats(noise["noise"])
        notes.append(f"{came}; run again, and only those that did not come are asked for")
    return Report(
        n=len(scored),
        failed=len(items) - len(scored),
        missing=pairing.missing,
        unknown=pairing.unknown,
        metrics=metrics,
        ci95=ci95,
        items=tuple(items),
        facts={
            "coverage": len(scored) / pairing.wanted,
            "judge": dict(facts),
            "spent": total_spent([item["judge_spent"] for item in items]),
            "sanitized": sum(bool(item["sanitized"]) for item in items),
            "references": source,
            **noise,
        },
        notes=tuple(notes),
        estimate=facts["estimate"],
    )


def _noise(items: Sequence[Mapping[str, Any]], task: str, interval: float) -> dict[str, Any]:
    """Return the facts of the judge's noise; none where nothing was judged more than once."""
    repeats = [item[REPEATS] for item in items if REPEATS in item]
    if not repeats:
        return {}
    points = points_of(task)
    values = measured(
        [item[NOISE] for item in items if NOISE in item],
        factor=points,
        points=points == SCALE,
        interval=interval,
    )
    return {"noise": {**total_repeats(repeats), "values": values}}


def _interval(name: str, mean: float | None, n: int) -> tuple[float, float] | None:
    return None if mean is None else interval(name.removesuffix(ESTIMATE), mean, n)
