"""How good the answers to a choice question are, and how good one constant answer would be.

The authors published figures for voice source and tone, but no script. Accuracy here counts every
answer: one that chooses no option is wrong. Labels are compared as options; the annotations' own
spelling varies in case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.choice.matching import match_option
from ugc_tasks.data.questions import read_choice_questions
from ugc_tasks.results.pairing import pair, refuse_descriptions
from ugc_tasks.results.scoring import Report, SavedRun, report
from ugc_tasks.results.statistics import share_estimate

_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Accuracy:
    """Figures of a choice question, on 0-100 where they are shares.

    Attributes:
        n: questions counted.
        accuracy: share answered rightly; unanswered ones are wrong.
        correct: how many were answered rightly.
        unanswered: how many answers choose no option, or several.
        constant: accuracy of giving ``constant_answer`` to each of these questions.
        constant_answer: the most frequent label; of equally frequent ones the first by name.
        macro_f1: mean of the F1 of each label that occurs in the references.
    """

    n: int
    accuracy: float
    correct: int
    unanswered: int
    constant: float
    constant_answer: str
    macro_f1: float


def accuracy(labels: Sequence[str], chosen: Sequence[str | None]) -> Accuracy:
    """Compare ``chosen`` options (None: unanswered) with the ``labels``, in the same order.

    Raises ``ValueError`` where there is nothing to compare or the lengths differ.
    """
    if not labels or len(labels) != len(chosen):
        raise ValueError("as many answers as labels are needed, and at least one")
    n = len(labels)
    counts = Counter(labels)
    constant_answer = min(counts, key=lambda label: (-counts[label], label))
    correct = sum(a == b for a, b in zip(labels, chosen, strict=True))
    return Accuracy(
        n=n,
        accuracy=100 * correct / n,
        correct=correct,
        unanswered=sum(answer is None for answer in chosen),
        constant=100 * counts[constant_answer] / n,
        constant_answer=constant_answer,
        macro_f1=100 * fmean(_f1(labels, chosen, label) for label in sorted(counts)),
    )


def _f1(labels: Sequence[str], chosen: Sequence[str | None], label: str) -> float:
    both = sum(a == b == label for a, b in zip(labels, chosen, strict=True))
    # 2PR / (P + R), which is this without a division by zero: the label occurs.
    return 2 * both / (labels.count(label) + chosen.count(label))


def score(run: SavedRun) -> Report:
    """Return ``accuracy``, ``constant`` and ``macro_f1`` on 0-100, and the count ``unanswered``."""
    path, source = run.annotation(SPECS[run.task].annotations)
    questions = read_choice_questions(path)
    pairing = pair(run.answers, questions.references)
    answers = pairing.read(run.task)
    offered = dict.fromkeys(o for options in questions.options.values() for o in options)
    texts = [answer.text for answer in answers.values() if not answer.failure]
    refuse_descriptions(run.answers.path, texts, list(offered))
    items: list[dict[str, Any]] = []
    for video_id, answer in answers.items():
        if answer.failure:
            items.append({"video_id": video_id, "failure": answer.failure})
            continue
        label = questions.references[video_id]
        chosen = match_option(answer.text, questions.options[video_id])
        items.append(
            {
                "video_id": video_id,
                "label": label,
                "chosen": chosen,
                "correct": chosen == label,
                "text": answer.text[:_SHOWN_CHARS],
            }
        )
    answered = [item for item in items if "label" in item]
    facts: dict[str, Any] = {"references": source, "references_sha256": questions.sha256}
    names = ("accuracy", "constant", "macro_f1", "unanswered")
    metrics: dict[str, float | None] = dict.fromkeys(names)
    ci95: dict[str, tuple[float, float] | None] = {}
    notes = []
    if answered:
        figures = accuracy([i["label"] for i in answered], [i["chosen"] for i in answered])
        metrics = {name: getattr(figures, name) for name in names}
        low, high = share_estimate(figures.correct, figures.n).interval or (0.0, 1.0)
        ci95 = {"accuracy": (100 * low, 100 * high)}
        facts["constant_answer"] = figures.constant_answer
        if figures.accuracy <= figures.constant and not SPECS[run.task].note:
            notes.append(
                f"always answering {figures.constant_answer!r} gives {figures.constant:.1f}, and "
                "these answers no more"
            )
    return report(
        run,
        pairing,
        items,
        n=len(answered),
        metrics=metrics,
        ci95=ci95,
        facts=facts,
        notes=notes,
    )
