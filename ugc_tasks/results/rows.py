"""The row of a clip: its line in lmms-eval's samples file, and its item in `ugc-videocap score`.

Each key that the task's YAML lists becomes a metric (``lmms/metrics.py``). A clip without a score
lacks the keys of the figures, so it is in no mean; it is counted instead. What is counted is a
text, a list or an object and never a number, of which lmms-eval would compute a standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import COLUMNS, SPECS
from ugc_tasks.judge.cost import spent
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import SEVERAL, Judgment
from ugc_tasks.results.answer_text import ModelAnswer, plain_json, subject_of

SCALE = 20  # points on the published scale (20-100) for one of a caption's judge (1-5)
PERCENT = 100  # points on the published scale (0-100) for a judgment of background or objects (0-1)

REPEATS, NOISE = "judge_repeats", "judge_noise"  # keys of a clip that was judged more than once

ESTIMATE = "_estimate"
"""Suffix of the metrics of the offline profile: an estimate never stands under a score's name."""

# How far off the estimate may be, and why a caption is unlike those that it was fitted on.
# lmms-eval's group would take names with ``average`` for its own.
ESTIMATE_INTERVAL, ESTIMATE_UNLIKE = "interval_of_estimate", "unlike_of_estimate"


def base_row(
    task: str, video_id: str, answer: ModelAnswer, *, scored: bool, wanted: int
) -> dict[str, Any]:
    """Return what the row of every task says of its clip.

    Args:
        task: short name of the task, a key of ``SPECS``.
        video_id: the clip.
        answer: what the model answered, or why it did not (``caption_failed``, ``answer_failed``).
        scored: whether the clip has a score.
        wanted: clips in the whole task, those included that this run leaves out.
    """
    told = answer.generation or {}
    flags = told.get("flags")
    usable = isinstance(flags, list) and all(isinstance(flag, str) for flag in flags)
    heard = "unknown"
    if "heard" in told:
        heard = "heard" if told["heard"] is True else _label(told, "sound_missing") or "no"
    return {
        "video_id": video_id,
        "n": video_id if scored else "",
        "coverage": {"scored": scored, "of": wanted},
        f"{subject_of(task)}_failed": answer.failure,
        "clips_heard": heard,
        "flagged": flags if usable else None,
        "decoding": _label(told, "decoding"),
        "generation": dict(told) if answer.generation is not None else None,
    }


def _label(told: Mapping[str, Any], name: str) -> str:
    label = told.get(name)
    return label if isinstance(label, str) else ""


def judged_row(
    task: str,
    video_id: str,
    answer: ModelAnswer,
    judgment: Judgment | None,
    *,
    judge: Mapping[str, Any],
    wanted: int,
) -> dict[str, Any]:
    """Return the row of a clip of a judged task.

    An answer that is missing is the model's failure and not the judge's (``judge_failed``), who is
    not asked about it. The authors' scripts count a failed request or reply as a 0 instead.

    Args:
        task, video_id, answer, wanted: as for ``base_row``.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        judge: facts of the judge: its ``label`` in the results, and whether it is an ``estimate``.
    """
    scored = judgment is not None and judgment.scores is not None
    row = base_row(task, video_id, answer, scored=scored, wanted=wanted)
    row |= {"judge": judge["label"], "judge_failed": "", "judge_ran": "", "judge_spent": None}
    row["sanitized"] = list(judgment.sanitized) if judgment is not None else []
    if judgment is None:
        return row
    if not scored and not answer.failure:
        row["judge_failed"] = judgment.failure or "no judgment"
    alone = judgment.repeats or (judgment,)
    ran = {" ".join(filter(None, (each.model, each.fingerprint))) for each in alone}
    return plain_json(
        row
        | {
            "judge_ran": SEVERAL.join(sorted(ran - {""})),
            "judge_spent": spent(judgment),
            "judge_reply": [each.reply for each in alone] if judgment.repeats else judgment.reply,
            "judge_model": judgment.model,
            "judge_fingerprint": judgment.fingerprint,
            "judge_stored": judgment.stored,
            **_repeats(judgment, name=None if task == "caption" else task),
        }
        | _figures(task, judgment, estimate=judge["estimate"])
    )


def _repeats(judgment: Judgment, *, name: str | None) -> dict[str, Any]:
    """Return the entries of a clip that was judged more than once, an only value under ``name``.

    ``{"judge_repeats": {"wanted": 3, "came": 2, "failures": ["..."]}, "judge_noise": {"visual":
    [4, 5], ...}}``: how many judgments came, and what each said on the judge's own scale.
    """
    if not judgment.repeats:
        return {}
    failures = [each.failure for each in judgment.repeats if each.failure is not None]
    scored = [each.scores for each in judgment.repeats if each.scores is not None]
    wanted = len(judgment.repeats)
    came = {"wanted": wanted, "came": wanted - len(failures), "failures": sorted(set(failures))}
    row: dict[str, Any] = {REPEATS: came}
    if scored:
        row[NOISE] = {name or value: [each[value] for each in scored] for value in scored[0]}
    return row


def _figures(task: str, judgment: Judgment, *, estimate: bool) -> dict[str, Any]:
    """Return a judgment's figures on the published scale; none of a failure.

    Captions have their three dimensions and the mean of these, every other task one figure of its
    name: ``background`` is 100 where answer and reference name the same changes, else 0;
    ``objects`` is the share of the reference's objects that the answer has.
    """
    if judgment.scores is None:
        return {}
    points = points_of(task)
    values = {name: score * points for name, score in judgment.scores.items()}
    if task != "caption":
        (value,) = values.values()
        return columns({task: value}) if SPECS[task].columns else {task: value}
    average = fmean(values.values())
    if not estimate:
        return {**values, "average": average, **columns(values)}
    return {
        **{name + ESTIMATE: value for name, value in values.items()},
        "average" + ESTIMATE: average,
        ESTIMATE_INTERVAL: {"average": average},
        ESTIMATE_UNLIKE: [judgment.unlike] if judgment.unlike else [],
    }


def points_of(task: str) -> int:
    """Return how many points on the published scale one of the judge's is."""
    return SCALE if subject_of(task) == "caption" else PERCENT


def figures_of(task: str) -> tuple[str, ...]:
    """Return the names of a judged task's figures, as they stand in its rows."""
    return (*DIMENSIONS, "average") if task == "caption" else (task,)


def columns(values: Mapping[str, float]) -> dict[str, Any]:
    """Return published columns of a clip, on 0-100, and their part in the mean of all eight."""
    part = {"columns": len(values), "of": len(COLUMNS), "mean": fmean(values.values())}
    return {**values, "overall": part}
