"""Scoring saved answers with the judge, as the judged tasks do in lmms-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.caption import metrics as caption
from ugc_tasks.caption.metrics import DIMENSIONS, ESTIMATE, ESTIMATE_UNLIKE, clip_metrics
from ugc_tasks.data.questions import read_questions
from ugc_tasks.detail import metrics as detail
from ugc_tasks.detail.metrics import VALUES, answer_metrics
from ugc_tasks.estimate import interval
from ugc_tasks.estimate.model import doubts
from ugc_tasks.judge.cost import total_spent
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.protocol.profiles import question_named
from ugc_tasks.judge.settings import JudgeConfigError, interval_of
from ugc_tasks.judge.types import JudgeItem, Judgment
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.pairing import Pairing, pair
from ugc_tasks.results.reliability import NOISE, REPEATS, as_json, count, paragraph
from ugc_tasks.results.scoring import Report, Request, means


def score(request: Request) -> Report:
    """Return the figures of a judged task on 0-100.

    Captions: visual, audio, details and average, ``..._estimate`` from profile offline; those of
    the picture or of the sound alone have the one dimension that they can speak to. Background and
    objects: a figure of their name. Items are rows as in the task's samples file.
    """
    spec = SPECS[request.task]
    asked = question_named(spec.judged or spec.name)
    path, source = request.annotation(spec.annotations)
    questions = read_questions(path)
    pairing = pair(request.answers, questions.references)
    answers = {video_id: saved.read(request.task) for video_id, saved in pairing.pairs}
    home = request.home
    with open_judge(
        request.environ,
        home=home.root,
        cache=home.cache,
        question=asked.name,
        command="score",
    ) as judge:
        facts = judge.describe()
        if facts["profile"] == "none":
            raise JudgeConfigError(
                "the judge profile 'none' scores nothing: choose paper, rubric or offline"
            )
        judgments = _judged(judge, answers, questions.references)
    items = tuple(
        _row(
            asked.name,
            video_id,
            answer,
            judgments.get(video_id),
            judge=facts,
            wanted=pairing.wanted,
        )
        for video_id, answer in answers.items()
    )
    names = (asked.name,) if asked.name in VALUES else tuple(asked.schema.names)
    columns = (*names, "average") if set(names) == set(DIMENSIONS) else names
    captions = [a.text for video_id, a in answers.items() if _scored(judgments, video_id)]
    return _report(
        pairing,
        items,
        columns,
        judge=facts,
        source=source,
        note=spec.note,
        captions=captions,
        noise=_noise(items, asked.name, interval_of(request.environ)),
    )


def _row(
    question: str,
    video_id: str,
    answer: ModelAnswer,
    judgment: Judgment | None,
    *,
    judge: Mapping[str, Any],
    wanted: int,
) -> dict[str, Any]:
    label = judge["label"]
    if question in VALUES:
        return answer_metrics(
            video_id, answer, judgment, question=question, label=label, wanted=wanted
        )
    estimate = judge["estimate"]
    return clip_metrics(video_id, answer, judgment, label=label, estimate=estimate, wanted=wanted)


def _report(
    pairing: Pairing,
    items: tuple[dict[str, Any], ...],
    columns: tuple[str, ...],
    *,
    judge: Mapping[str, Any],
    source: str,
    note: str,
    captions: Sequence[str],
    noise: Mapping[str, Any],
) -> Report:
    scored = [item for item in items if item["n"]]
    suffix = ESTIMATE if judge["estimate"] else ""
    names = [name + suffix for name in columns]
    metrics, ci95 = means({name: [item[name] for item in scored] for name in names})
    notes = [*pairing.notes, *([note] if note else [])]
    if judge["estimate"]:
        ci95 = {name: _interval(name, metrics[name], len(scored)) for name in names}
        notes.append("these are estimates from the texts alone: no judge was asked")
        notes += doubts([item[ESTIMATE_UNLIKE] for item in scored], captions)
    if noise and noise["noise"]["judgments"] < noise["noise"]["judgments_wanted"]:
        notes.append(f"{noise[REPEATS]}; run again, and only those that did not come are asked for")
    return Report(
        n=len(scored),
        failed=len(items) - len(scored),
        missing=pairing.missing,
        unknown=pairing.unknown,
        metrics=metrics,
        ci95=ci95,
        items=items,
        facts={
            "coverage": len(scored) / pairing.wanted,
            "judge": dict(judge),
            "spent": total_spent([item["judge_spent"] for item in items]),
            "sanitized": sum(bool(item["sanitized"]) for item in items),
            "references": source,
            **noise,
        },
        notes=tuple(notes),
        estimate=judge["estimate"],
    )


def _noise(items: Sequence[Mapping[str, Any]], question: str, interval: float) -> dict[str, Any]:
    """Return the facts of the judge's noise; none where nothing was judged more than once."""
    came = [item[REPEATS] for item in items if REPEATS in item]
    if not came:
        return {}
    entries = [item[NOISE] for item in items if NOISE in item]
    figures = (detail if question in VALUES else caption).noise_figures(entries, interval)
    told = {NOISE: paragraph(figures)} if figures else {}
    return {REPEATS: count(came), **told, "noise": as_json(came, figures)}


def _scored(judgments: Mapping[str, Judgment], video_id: str) -> bool:
    return video_id in judgments and judgments[video_id].scores is not None


def _interval(name: str, mean: float | None, n: int) -> tuple[float, float] | None:
    return None if mean is None else interval(name.removesuffix(ESTIMATE), mean, n)


def _judged(
    judge: Judge, answers: Mapping[str, ModelAnswer], references: Mapping[str, str]
) -> dict[str, Judgment]:
    """Return the judgments of the clips that have an answer."""
    items = [
        JudgeItem(video_id, answer.text, references[video_id])
        for video_id, answer in answers.items()
        if not answer.failure
    ]
    return {judgment.video_id: judgment for judgment in judge.judge_many(items)}
