"""How good the answers to a choice question are, and how good one constant answer would be.

The authors published figures for voice source and tone and no script for them. Accuracy here is
over all questions that were answered or left open: an answer that chooses no option is wrong, and
counted. Labels are compared as options; the annotations' own spelling varies in case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


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
