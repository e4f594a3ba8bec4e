"""How good the answers to a choice question are, and how good one constant answer would be.

The authors published figures for voice source and tone, but no script. Accuracy here counts every
answer: one that chooses no option is wrong. Labels are compared as options; the annotations' own
spelling varies in case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.choice.matching import match_option
from ugc_tasks.data.questions import read_choice_questions
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.reliability import Interval, share_interval
from ugc_tasks.results.rows import row
from ugc_tasks.results.scoring import Report, SavedRun


def accuracy(labels: Sequence[str], chosen: Sequence[str | None]) -> dict[str, Any]:
    """Compare ``chosen`` options (None: unanswered) with the ``labels``, in the same order.

    Returns:
        On 0-100: ``accuracy``, the share answered rightly; ``constant``, that of always giving the
        ``constant_answer``, the most frequent label (of equals the first by name); ``macro_f1``,
        the mean of the F1 of each label that occurs. And how many are ``correct``, and how many
        ``unanswered``: those choose no option, or several, and are wrong.
    """
    n, counts = len(labels), Counter(labels)
    constant = min(counts, key=lambda label: (-counts[label], label))
    right = Counter(a for a, b in zip(labels, chosen, strict=True) if a == b)
    # 2PR / (P + R) is this without a division by zero: each of these labels occurs.
    f1 = [2 * right[each] / (counts[each] + chosen.count(each)) for each in sorted(counts)]
    return {
        "accuracy": 100 * right.total() / n,
        "correct": right.total(),
        "unanswered": sum(answer is None for answer in chosen),
        "constant": 100 * counts[constant] / n,
        "constant_answer": constant,
        "macro_f1": 100 * fmean(f1),
    }


def choice_row(
    task: str, video_id: str, answer: ModelAnswer, label: str, options: Sequence[str], **more: Any
) -> dict[str, Any]:
    """Return the row of a clip: right or wrong, or why there is no answer.

    ``more`` is as for ``results.rows.row``. ``macro_f1`` and ``constant_answer`` are of the whole,
    not means of the clips': they are kept as what they are computed from.
    """
    chosen = None if answer.failure else match_option(answer.text, options)
    right = None if answer.failure else 100.0 * (chosen == label)
    return {
        **row(task, video_id, answer, {task: right}, reference=label, **more),
        "label": label,
        "chosen": chosen,
        "unanswered": None if chosen or answer.failure else "names no option, or several",
        "macro_f1": None if answer.failure else [label, chosen],
        "constant_answer": None if answer.failure else label,
    }


def score(run: SavedRun) -> Report:
    """Return ``accuracy``, ``constant`` and ``macro_f1`` on 0-100, and the count ``unanswered``."""
    path, source = run.annotation(SPECS[run.task].annotations)
    questions = read_choice_questions(path)
    offered = dict.fromkeys(o for options in questions.options.values() for o in options)
    pairing = pair(run.answers, questions.references, run.task, list(offered))
    items = [
        choice_row(
            *(run.task, i, answer, questions.references[i], questions.options[i]),
            clip=None,
            wanted=len(questions.references),
        )
        for i, answer in pairing.answers.items()
    ]
    answered = [item for item in items if item["n"] is not None]
    facts: dict[str, Any] = {"references": source, "references_sha256": questions.sha256}
    names = ("accuracy", "constant", "macro_f1", "unanswered")
    metrics: dict[str, float | None] = dict.fromkeys(names)
    ci95: dict[str, Interval | None] = {}
    notes = []
    if answered:
        figures = accuracy([i["label"] for i in answered], [i["chosen"] for i in answered])
        metrics = {name: figures[name] for name in names}
        low, high = share_interval(figures["correct"], len(answered))
        ci95 = {"accuracy": (100 * low, 100 * high)}
        facts["constant_answer"] = figures["constant_answer"]
        if figures["accuracy"] <= figures["constant"] and not SPECS[run.task].note:
            notes.append(
                f"always answering {figures['constant_answer']!r} gives {figures['constant']:.1f}, "
                "and these answers no more"
            )
    return Report(pairing, items, len(answered), metrics, ci95, facts, notes)
