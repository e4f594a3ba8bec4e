"""Scoring saved answers to a choice question."""

from __future__ import annotations

from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.choice.accuracy import accuracy
from ugc_tasks.choice.matching import match_option
from ugc_tasks.data.choice_questions import read_choice_questions
from ugc_tasks.results.likeness import refuse_descriptions
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.scoring import Report, Request, failure_of
from ugc_tasks.results.statistics import share_estimate

_SHOWN_CHARS = 200


def score(request: Request) -> Report:
    """Return ``accuracy``, ``constant`` and ``macro_f1`` on 0-100, and the count ``unanswered``."""
    spec = SPECS[request.task]
    path, source = request.annotation(spec.annotations)
    questions = read_choice_questions(path)
    pairing = pair(request.answers, questions.labels)
    answers = [(video_id, saved.read(request.task)) for video_id, saved in pairing.pairs]
    offered = dict.fromkeys(o for options in questions.options.values() for o in options)
    texts = [answer.text for _, answer in answers if not answer.failure]
    refuse_descriptions(request.answers.path, texts, list(offered))
    items: list[dict[str, Any]] = []
    labels: list[str] = []
    chosen: list[str | None] = []
    for video_id, answer in answers:
        if answer.failure:
            items.append(failure_of(video_id, answer.failure))
            continue
        labels.append(questions.labels[video_id])
        chosen.append(match_option(answer.text, questions.options[video_id]))
        items.append(
            {
                "video_id": video_id,
                "label": labels[-1],
                "chosen": chosen[-1],
                "correct": chosen[-1] == labels[-1],
                "text": answer.text[:_SHOWN_CHARS],
            }
        )
    facts: dict[str, Any] = {"references": source, "references_sha256": questions.sha256}
    names = ("accuracy", "constant", "macro_f1", "unanswered")
    metrics: dict[str, float | None] = dict.fromkeys(names)
    ci95: dict[str, tuple[float, float] | None] = {}
    notes = pairing.notes
    if labels:
        figures = accuracy(labels, chosen)
        metrics = {name: getattr(figures, name) for name in names}
        low, high = share_estimate(figures.correct, figures.n).interval or (0.0, 1.0)
        ci95 = {"accuracy": (100 * low, 100 * high)}
        facts["constant_answer"] = figures.constant_answer
        if spec.note:
            notes = (*notes, spec.note)
        elif figures.accuracy <= figures.constant:
            notes = (
                *notes,
                f"always answering {figures.constant_answer!r} gives {figures.constant:.1f}, and "
                "these answers no more",
            )
    return Report(
        n=len(labels),
        failed=len(items) - len(labels),
        missing=pairing.missing,
        unknown=pairing.unknown,
        metrics=metrics,
        ci95=ci95,
        items=tuple(items),
        facts=facts,
        notes=notes,
    )
