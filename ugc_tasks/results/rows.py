"""The row of a clip: its line in lmms-eval's samples file, and its item in `ugc-videocap score`.

Every row of a task has the same keys, null where there is nothing. lmms-eval makes a metric of each
key that the task's YAML lists (``lmms/metrics.py``), and leaves the others alone. Figures are on
0-100; those of a clip without a score are null, and in no mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import COLUMNS, SPECS
from ugc_tasks.judge.parsing import DIMENSIONS, schema_of
from ugc_tasks.judge.types import Judgment
from ugc_tasks.results.answer_text import ModelAnswer, plain_json, subject_of

SCHEMA = 2
"""Version of the rows. Those of version 1, which do not name it, are still read."""

SCALE = 20  # points on the published scale (20-100) for one of a caption's judge (1-5)
PERCENT = 100  # points on the published scale (0-100) for a judgment of background or objects (0-1)

Scale = Mapping[str, Any]
"""The values of a profile of one's own, each with its kind (``judge.parsing.kind_of``)."""

ESTIMATE = "_estimate"
"""Suffix of the figures of the offline profile: an estimate never stands under a score's name."""


def row(
    task: str,
    video_id: str,
    answer: ModelAnswer,
    figures: Mapping[str, float | None],
    *,
    reference: Any,
    clip: str | None,
    wanted: int,
    judge_failure: str | None = None,
    cut: bool = False,
) -> dict[str, Any]:
    """Return what the row of every task says of its clip.

    Args:
        task: short name of the task, a key of ``SPECS``.
        video_id: the clip.
        answer: what the model answered, or why it did not.
        figures: the task's, on 0-100; all None for a clip without a score.
        reference: the right answer: a text, or a list of texts.
        clip: path of the clip as the model got it; None where the answers came from a file.
        wanted: clips in the whole task, those included that this run leaves out.
        judge_failure: why an answer has no score; ``cut``: the judge's reply had no room for it.
    """
    told = answer.generation or {}
    flags, heard, decoding = told.get("flags"), told.get("heard"), told.get("decoding")
    usable = isinstance(flags, list) and all(isinstance(flag, str) for flag in flags)
    reason = answer.failure or judge_failure
    kind = subject_of(task) if answer.failure else "cut" if cut else "judge"
    scored = None not in figures.values()
    columns = {name: figures[name] for name in SPECS[task].columns if name in figures}
    score = figures.get("average", figures.get(task))
    return plain_json(
        {
            "schema": SCHEMA,
            "task": task,
            "video_id": video_id,
            "clip": clip,
            "prediction": None if answer.failure else answer.text,
            "reference": reference,
            # On 0-1, for lmms-eval's own comparisons. An estimate is no score.
            "score": None if score is None else score / 100,
            **figures,
            "n": video_id if scored else None,
            "coverage": {"scored": scored, "of": wanted},
            "failure": {"kind": kind, "reason": reason} if reason else None,
            "heard": heard if isinstance(heard, bool) else None,
            "flags": flags if usable else None,
            "decoding": decoding if isinstance(decoding, str) else None,
            "generation": None if answer.generation is None else dict(told),
            **({"overall": part_of_overall(columns) if scored else None} if columns else {}),
        }
    )


def judged_row(
    task: str,
    video_id: str,
    answer: ModelAnswer,
    judgment: Judgment | None,
    *,
    judge: Mapping[str, Any],
    reference: Any,
    clip: str | None,
    wanted: int,
) -> dict[str, Any]:
    """Return the row of a clip of a judged task.

    An answer that is missing is the model's failure and not the judge's, who is not asked about it.
    The authors' scripts count a failed request or reply as a 0 instead.

    Args:
        task, video_id, answer, reference, clip, wanted: as for ``row``.
        judgment: what the judge said; None where it is not asked (profile ``none``).
        judge: facts of the judge: its ``label`` in the results, whether it is an ``estimate``, and
            the ``scale`` of its values where these are of a profile of one's own.
    """
    scores = judgment.scores if judgment else None
    scale = judge.get("scale")
    figures = _figures(task, scores, estimate=judge["estimate"], scale=scale)
    failure = judgment.failure or "no judgment" if judgment else None
    asked = judgment.repeats or (judgment,) if judgment and not answer.failure else ()
    return row(
        task,
        video_id,
        answer,
        figures,
        reference=reference,
        clip=clip,
        wanted=wanted,
        judge_failure=None if scores else failure,
        cut=judgment is not None and judgment.cut,
    ) | plain_json(
        {
            "judge": {
                "label": judge["label"],
                "judgments": [_judgment(each) for each in asked],
                "unlike": judgment.unlike or None if judgment else None,
                **({"scale": dict(scale)} if scale else {}),
            },
            "sanitized": list(judgment.sanitized) if judgment else [],
        }
    )


def _judgment(judgment: Judgment) -> dict[str, Any]:
    """Return one judgment on the judge's own scale, and what it cost; null where unknown."""
    usage = judgment.usage
    return {
        "scores": judgment.scores,
        "failure": judgment.failure,
        "reply": judgment.reply,
        "model": judgment.model,
        "fingerprint": judgment.fingerprint,
        "stored": judgment.stored,
        "request_sha256": judgment.request_sha256,
        "prompt_tokens": usage and usage.prompt_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "usd": usage and usage.usd,
    }


def _figures(
    task: str, scores: Mapping[str, float] | None, *, estimate: bool, scale: Scale | None
) -> dict[str, float | None]:
    """Return a judgment's figures on the published scale.

    Captions have their three dimensions and the mean of these, every other task one figure of its
    name: ``background`` is 100 where answer and reference name the same changes, else 0;
    ``objects`` is the share of the reference's objects that the answer has.
    """
    names = [name + ESTIMATE * estimate for name in figures_of(task, scale)]
    if scores is None:
        return dict.fromkeys(names)
    if scale:
        scores = {name: scores[name] for name in scale}
    values = [score * points_of(task, scale, name) for name, score in scores.items()]
    return dict(zip(names, [*values, fmean(values)] if task == "caption" else values, strict=True))


def scale_of(row: Mapping[str, Any]) -> Scale | None:
    """Return the scale that a row was judged on; None for the task's own, or where it is none."""
    judge = row.get("judge")
    scale = judge.get("scale") if isinstance(judge, dict) else None
    if isinstance(scale, dict) and scale:
        with suppress(ValueError):
            schema_of(scale)
            return scale
    return None


def points_of(task: str, scale: Scale | None = None, value: str | None = None) -> float:
    """Return how many points on the published scale one of the judge's is.

    A ``scale`` of one's own has several, one for each ``value``; of none of these, the smallest.
    """
    if scale:
        kinds = schema_of(scale).fields
        if value is not None and value in kinds:
            return kinds[value].points
        return min(kind.points for kind in kinds.values())
    return SCALE if subject_of(task) == "caption" else PERCENT


def figures_of(task: str, scale: Scale | None = None) -> tuple[str, ...]:
    """Return the names of a task's figures that are means over clips, as in its rows."""
    return (*(scale or DIMENSIONS), "average") if task == "caption" else (task,)


def part_of_overall(columns: Mapping[str, float | None]) -> dict[str, Any]:
    """Return a clip's part in the mean of the eight published columns."""
    known = [value for value in columns.values() if value is not None]
    return {"columns": len(columns), "of": len(COLUMNS), "mean": fmean(known)}
