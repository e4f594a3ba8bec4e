"""What the rows of all tasks have in common, and how lmms-eval's metrics are made of them.

A row is one clip's line in the samples file; each of its keys that the task's YAML lists becomes a
metric. A clip without a score lacks the key, and so is in no mean; it is counted instead. Counts
travel as text, because lmms-eval computes a standard error of every number, and one of a count
means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import COLUMNS
from ugc_tasks.common.display import shown
from ugc_tasks.judge.cost import spent
from ugc_tasks.judge.types import SEVERAL, Judgment
from ugc_tasks.results.answer_text import ModelAnswer, plain_json
from ugc_tasks.results.reliability import entries

ALL = len(COLUMNS)


def base_row(
    video_id: str,
    answer: ModelAnswer,
    *,
    scored: bool,
    wanted: int,
    subject: str = "answer",
) -> dict[str, Any]:
    """Return what every row says of its clip.

    Args:
        video_id: the clip.
        answer: what the model answered, or why it did not.
        scored: whether the clip has a score.
        wanted: clips in the whole benchmark, those included that this run leaves out.
        subject: what the answer is called; a missing one is counted under ``<subject>_failed``.
    """
    generation = answer.generation
    return {
        "video_id": video_id,
        "n": video_id if scored else "",
        "coverage": f"{int(scored)}/{wanted}",
        f"{subject}_failed": answer.failure,
        "clips_heard": _heard(generation),
        "flagged": _flags(generation),
        "decoding": _label(generation, "decoding"),
        "generation": dict(generation) if generation is not None else None,
    }


def judged_row(
    video_id: str,
    answer: ModelAnswer,
    judgment: Judgment | None,
    *,
    label: str,
    wanted: int,
    subject: str = "answer",
    value: str | None = None,
) -> dict[str, Any]:
    """Return the row of one judged clip, to which the task adds its figures if there are scores.

    An answer that there is none of is the model's failure (``<subject>_failed``) and not the
    judge's (``judge_failed``): the judge is not asked about it.

    Args:
        video_id: the clip.
        answer: what the model answered, or why it did not.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        label: the judge's name in the results.
        wanted: clips in the whole benchmark, those included that this run leaves out.
        subject: what the answer is called: ``caption`` or ``answer``.
        value: what a judgment's only value is called in the results, if not as the judge does.
    """
    scored = judgment is not None and judgment.scores is not None
    row = base_row(video_id, answer, scored=scored, wanted=wanted, subject=subject)
    row |= {"judge": label, "judge_failed": "", "judge_ran": "", "judge_spent": None}
    row["sanitized"] = " ".join(judgment.sanitized) if judgment is not None else ""
    if judgment is None:
        return row
    if not scored and not row[f"{subject}_failed"]:
        row["judge_failed"] = judgment.failure or "no judgment"
    alone = judgment.repeats or (judgment,)
    ran = {" ".join(filter(None, (each.model, each.fingerprint))) for each in alone}
    said = {
        "judge_ran": SEVERAL.join(sorted(ran - {""})),
        "judge_spent": spent(judgment),
        "judge_reply": [each.reply for each in alone] if judgment.repeats else judgment.reply,
        "judge_model": judgment.model,
        "judge_fingerprint": judgment.fingerprint,
        "judge_stored": judgment.stored,
        **entries(judgment, name=value),
    }
    return plain_json(row | said)


def _heard(generation: Mapping[str, Any] | None) -> str:
    if generation is None or "heard" not in generation:
        return "unknown"
    return "heard" if generation["heard"] is True else _label(generation, "sound_missing") or "no"


def _label(generation: Mapping[str, Any] | None, name: str) -> str:
    label = (generation or {}).get(name)
    return label if isinstance(label, str) else ""


def _flags(generation: Mapping[str, Any] | None) -> str:
    flags = None if generation is None else generation.get("flags")
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        return "unknown"
    return " ".join(flags)


def columns(values: Mapping[str, float]) -> dict[str, Any]:
    """Return published columns of a clip, on 0-100, and their part in the mean of all eight."""
    part = f"{len(values)} of {ALL} columns, mean {fmean(values.values())!r}"
    return {**values, "overall": part}


def count(items: Sequence[str]) -> int:
    """Count the clips of which there is something to tell."""
    return sum(1 for item in items if item)


def share(items: Sequence[str]) -> float:
    """Add up each clip's share of the whole benchmark."""
    return float(sum(Fraction(item) for item in items))


def count_heard(items: Sequence[str]) -> int | str:
    """Count the clips whose sound reached the model; ``unknown`` where no model told."""
    if all(item == "unknown" for item in items):
        return "unknown"
    return items.count("heard")


def count_flags(items: Sequence[str]) -> str:
    """Tell how many answers have flags, and which; ``unknown`` where no model told.

    Returns:
        ``0``, or such as ``3: 2 token_limit, 1 repetition``; an answer may have several flags.
    """
    if all(item == "unknown" for item in items):
        return "unknown"
    flags = Counter(flag for item in items if item != "unknown" for flag in item.split())
    if not flags:
        return "0"
    each = ", ".join(f"{count} {flag}" for flag, count in flags.most_common())
    return f"{sum(bool(item) and item != 'unknown' for item in items)}: {shown(each)}"


def one_label(items: Sequence[str]) -> str:
    """Return the label that all share; several in one result are a mixture, and all named."""
    names = {shown(name) for item in items for name in item.split(SEVERAL)}
    return SEVERAL.join(sorted(names - {""})) or "unknown"


def part_of_overall(items: Sequence[str]) -> str:
    """Return a task's part in the mean of the eight columns, as text: alone it is not that mean."""
    number = int(items[0].split()[0])
    mean = fmean(_mean(item) for item in items)
    return f"{number} of {ALL} columns, mean {mean!r}"


def overall(metrics: Sequence[str], sizes: Sequence[int], weight_by_size: bool) -> float | str:
    """Return the mean of the eight published columns; a text that says so where some are missing.

    Source: the benchmark's table, whose last column weighs each of the eight the same.
    """
    numbers = [int(part.split()[0]) for part in metrics]
    total = sum(n * _mean(part) for n, part in zip(numbers, metrics, strict=True))
    if sum(numbers) == ALL:
        return total / ALL
    return f"{sum(numbers)} of {ALL} columns, mean {total / sum(numbers)!r}"


def _mean(part: str) -> float:
    return float(part.rsplit(" ", 1)[1])
