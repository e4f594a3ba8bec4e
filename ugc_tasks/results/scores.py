"""Reading files of caption scores: the authors', and ours.

* The authors': ``{"evaluations": {video_id: {"visual_score": 1-5, "audio_score": 1-5,
  "details_score": 1-5, "average_score": their mean}}, "overall_average_percent": 0-100, ...}``.
  A 0 is off the judge's scale: their script stored it where a request or a reply failed, and
  counted it. So it counts here too, and is reported (``ScoreFile.zeros``).
* Ours: lmms-eval's samples file of ``ugc_videocap``, and what ``ugc-videocap score caption --json``
  prints. Both hold rows with ``video_id``, the scores on 20-100, the judge, and the failures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.common.files import DataError, kind, quoted, read_values
from ugc_tasks.data.questions import clip_rows
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import SEVERAL
from ugc_tasks.results.answers import NOT_SAVED
from ugc_tasks.results.rows import ESTIMATE, SCALE

ClipScores = Mapping[str, float]  # on 0-100: visual, audio, details, and their average
_HIGHEST = 5
_SCORES = "expected is a score file: the authors' {'evaluations': ...}, a samples file, or our JSON"


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one file.

    Attributes:
        clips: by ``video_id``, in the file's order.
        failed: why a clip of the file has no score, by ``video_id``.
        judge: the judge's label, None where the file names none.
        estimate: whether the scores are the offline estimate.
        wanted: clips in the whole benchmark as the file says; None where it does not.
        stated_average: the average that the file itself states, on 0-100, if any.
        ran: what the judge's endpoint said it was, model and fingerprint; several where it changed.
    """

    path: Path
    clips: Mapping[str, ClipScores]
    failed: Mapping[str, str]
    judge: str | None = None
    estimate: bool = False
    wanted: int | None = None
    stated_average: float | None = None
    ran: frozenset[str] = frozenset()

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Failed clips to which the scored file of answers has none."""
        return tuple(video_id for video_id, why in self.failed.items() if why == NOT_SAVED)

    @property
    def zeros(self) -> tuple[str, ...]:
        """Clips with a 0 among their scores: failures that were stored as scores."""
        return tuple(video_id for video_id, clip in self.clips.items() if 0 in clip.values())


def clip_scores(visual: float, audio: float, details: float) -> ClipScores:
    scores = dict(zip(DIMENSIONS, (visual, audio, details), strict=True))
    return {**scores, "average": fmean(scores.values())}


def read_scores(path: Path) -> ScoreFile:
    """Read a score file.

    Raises ``DataError`` where it cannot be, has a clip twice, or a score off its scale.
    """
    content = read_values(path)
    if isinstance(content, dict) and "evaluations" in content:
        return _authors(path, content)
    if isinstance(content, dict) and "items" in content:
        if (task := content.get("task")) != "caption":
            raise DataError(f"{path}: scores of the task {kind(task)}, not of captions")
        content = content["items"]
    elif isinstance(content, dict) and "video_id" in content:
        content = [content]  # a samples file of one line
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: {_SCORES}")
    return _ours(path, content)


def _authors(path: Path, content: Mapping[str, Any]) -> ScoreFile:
    evaluations = content["evaluations"]
    if not isinstance(evaluations, dict) or not evaluations:
        raise DataError(f"{path}: 'evaluations' is to be an object with the scores by video_id")
    clips = {}
    for video_id, scores in evaluations.items():
        where = f"{path}: {quoted(video_id)}"
        if not isinstance(scores, dict):
            raise DataError(f"{where} has no scores")
        clips[video_id] = _clip(where, scores, "_score", _HIGHEST, SCALE)
    stated = _number(content.get("overall_average_percent"))
    return ScoreFile(path, clips, {}, stated_average=stated)


def _ours(path: Path, rows: list[Any]) -> ScoreFile:
    clips: dict[str, ClipScores] = {}
    failed: dict[str, str] = {}
    ran: set[str] = set()
    labels, estimates, wanted = set(), set(), set()
    for where, video_id, row in clip_rows(path, rows):
        if video_id in clips or video_id in failed:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        label, who = _judge(where, row)
        suffix = next((s for s in ("", ESTIMATE) if row.get(DIMENSIONS[0] + s) is not None), None)
        if suffix is not None:
            clips[video_id] = _clip(f"{where}: {video_id}", row, suffix, 100)
            estimates.add(suffix == ESTIMATE)
        elif (why := _failure(row)) is not None:
            failed[video_id] = why
        else:
            raise DataError(f"{where}: neither scores nor a failure; {_SCORES}")
        labels.add(label)
        wanted.add(_wanted(row.get("coverage")))
        ran |= who
    if len(labels) > 1 or len(estimates) > 1:
        raise DataError(f"{path}: scores of several judges in one file: summarize them apart")
    return ScoreFile(
        path,
        clips,
        failed,
        judge=labels.pop() or None,
        estimate=True in estimates,
        wanted=wanted.pop() if len(wanted) == 1 else None,
        ran=frozenset(ran),
    )


def _judge(where: str, row: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Return the judge's label, and what its endpoint said it was."""
    judge = row.get("judge")
    if isinstance(judge, dict):
        label, said = judge.get("label"), judge.get("judgments")
        each = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        names = [[one.get(name) for name in ("model", "fingerprint")] for one in each]
        ran = {" ".join(n for n in pair if isinstance(n, str)) for pair in names}
    else:  # rows of version 1
        label, said = judge, row.get("judge_ran")
        ran = {n.strip() for n in said.split(SEVERAL.strip())} if isinstance(said, str) else set()
    if label is not None and not isinstance(label, str):
        raise DataError(
            f"{where}: 'judge' is to be the judge's label, a text; this is {kind(label)}"
        )
    return label or "", ran - {""}


def _failure(row: Mapping[str, Any]) -> str | None:
    """Return why a row has no scores; None where it does not say so."""
    if "failure" in row:
        failure = row["failure"]
        why = failure.get("reason") if isinstance(failure, dict) else failure
    elif "caption_failed" in row or "judge_failed" in row:  # version 1
        why = row.get("caption_failed") or row.get("judge_failed")
    else:
        return None
    return why if isinstance(why, str) and why else kind(why) if why else "not judged"


def _clip(
    where: str, row: Mapping[str, Any], suffix: str, highest: int, factor: float = 1
) -> ClipScores:
    """Return the scores of a row, each from 0 to ``highest``, times ``factor``."""
    values = []
    for name in DIMENSIONS:
        number = _number(value := row.get(name + suffix))
        if number is None or not 0 <= number <= highest:
            raise DataError(f"{where} has no {name} score from 0 to {highest}, but {kind(value)}")
        values.append(number * factor)
    return clip_scores(*values)


def _wanted(coverage: Any) -> int | None:
    total = coverage.get("of") if isinstance(coverage, dict) else None
    if isinstance(coverage, str) and re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", coverage):
        total = int(coverage.partition("/")[2])  # as rows of earlier versions have it
    return total if type(total) is int and 0 < total < 10**9 else None


def _number(value: Any) -> float | None:
    """Return a JSON number that is finite and not absurd; None for anything else."""
    return float(value) if type(value) in (int, float) and abs(value) < 10**9 else None
