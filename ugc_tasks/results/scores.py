"""Reading scores: the authors' files, ours, and folders of lmms-eval's results.

* The authors': ``{"evaluations": {video_id: {"visual_score": 1-5, "audio_score": 1-5,
  "details_score": 1-5, "average_score": their mean}}, "overall_average_percent": 0-100, ...}``.
  So do others who use their script (AVoCaDO, ASID-Caption, AVCap, whose files are named
  ``eval_results_JUDGE.json``); ids may end in ``.mp4``. A 0 is off the judge's scale: the script
  stores it where a request or a reply failed, and counts it. Here such a clip has no score
  (``ScoreFile.zeros``), and the figures with it are shown beside.
* Ours: lmms-eval's samples file of a task, and what ``ugc-videocap score --json`` prints. Both hold
  rows (``rows.py``). Of tasks other than captions, rows of version 2 alone are read.
* A folder: the rows of a bundle, or the newest samples file in it, or below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.files import DataError, kind, quoted, read_values
from ugc_tasks.data.published import published_judge
from ugc_tasks.data.questions import clip_id, clip_rows
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import SEVERAL
from ugc_tasks.results.answers import NOT_SAVED
from ugc_tasks.results.lmms_models import is_failure
from ugc_tasks.results.rows import ESTIMATE, SCALE, Scale, figures_of, points_of, scale_of
from ugc_tasks.results.run_files import BUNDLE, rows_file

ClipScores = Mapping[str, float]  # on 0-100: visual, audio, details, and their average
_HIGHEST = 5
_STORED = "a failure that was stored as 0, which no judge gives"
_NAMES_JUDGE = re.compile("eval_results_(.+)")
_SCORES = "expected is a score file: the authors' {'evaluations': ...}, a samples file, or our JSON"


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one file.

    Attributes:
        clips: by ``video_id``, in the file's order.
        failed: why a clip of the file has no score, by ``video_id``; those in ``zeros``, too.
        judge: the judge's label, None where the file names none.
        estimate: whether the scores are the offline estimate.
        wanted: clips in the whole benchmark as the file says; None where it does not.
        stated_average: the average that the file itself states, on 0-100, if any.
        ran: what the judge's endpoint said it was, model and fingerprint; several where it changed.
        task: short name of the task; figures of ``clips`` are those of its rows.
        name: what to call it: the model's name, or the file's.
        rows: by ``video_id``, where the file has rows of ours.
        zeros: captions with a 0 among their scores, which are failures stored as scores.
        stated: what is said of the whole run beside the rows: ``run.json``, ``bundle.json``, or the
            rest of the JSON that has the rows in it; empty where nothing is.
    """

    path: Path
    clips: Mapping[str, ClipScores]
    failed: Mapping[str, str]
    judge: str | None = None
    estimate: bool = False
    wanted: int | None = None
    stated_average: float | None = None
    ran: frozenset[str] = frozenset()
    task: str = "caption"
    name: str = ""
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    zeros: Mapping[str, ClipScores] = field(default_factory=dict, repr=False)
    stated: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def judgments(self, video_id: str) -> list[Mapping[str, float]]:
        """Return what each judgment of a clip said, on the judge's own scale, as far as known."""
        judge = self.rows.get(video_id, {}).get("judge")
        said = judge.get("judgments") if isinstance(judge, dict) else None
        scores = [s.get("scores") for s in said if isinstance(s, dict)] if said else []
        return [s for s in scores if isinstance(s, dict) and _all_numbers(s)]

    @property
    def scale(self) -> Scale | None:
        """The scale of a judge with a profile of one's own; None for the task's own."""
        return next((scale for row in self.rows.values() if (scale := scale_of(row))), None)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures of ``clips``, that of the whole last."""
        return figures_of(self.task, self.scale)

    def points(self, value: str | None = None) -> float:
        """Return how many points of a figure one of the judge's is (``rows.points_of``)."""
        return points_of(self.task, self.scale, value)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Failed clips to which the scored file of answers has none."""
        return tuple(video_id for video_id, why in self.failed.items() if why == NOT_SAVED)


def clip_scores(visual: float, audio: float, details: float) -> ClipScores:
    scores = dict(zip(DIMENSIONS, (visual, audio, details), strict=True))
    return {**scores, "average": fmean(scores.values())}


def named_judge(scores: ScoreFile, judge: str | None) -> ScoreFile:
    """Return a file with ``judge`` for its judge where it names none; ``DataError`` if another."""
    if judge is None or scores.judge == judge:
        return scores
    if known := published_judge(scores.path):
        return replace(scores, judge=known)
    if scores.judge is not None:
        raise DataError(f"--judge: {scores.path} names its judge, {scores.judge}: leave it out")
    return replace(scores, judge=judge)


def read_scores(path: Path, task: str | None = None) -> ScoreFile:
    """Read a score file, or the newest in a folder, of ``task`` if that is given.

    Raises ``DataError`` where it cannot be, has a clip twice, or a score off its scale.
    """
    if path.is_dir():
        path = _newest(path, task or "caption")
    content = read_values(path)
    if isinstance(content, dict) and "evaluations" in content:
        return _authors(path, content)
    if isinstance(content, dict) and "items" in content:
        stated = content.get("task")
        if not isinstance(stated, str) or stated not in SPECS:
            raise DataError(f"{path}: scores of the task {kind(stated)}, which is none of ours")
        return replace(_ours(path, _rows(path, content["items"])), stated=_rest(content))
    elif isinstance(content, dict) and "video_id" in content:
        content = [content]  # a samples file of one line
    stated = _beside(path)
    found, name = _ours(path, _rows(path, content)), stated.get("name")
    name = name if isinstance(name, str) and name else found.name
    return replace(found, stated=stated, name=name)


def _rows(path: Path, content: Any) -> list[Any]:
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: {_SCORES}")
    return content


def _rest(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "items"}


def _newest(folder: Path, task: str) -> Path:
    """Return a bundle's rows of a task, or the newest samples file of it, or in a folder below."""
    if (folder / BUNDLE).is_file():
        return folder / rows_file(SPECS[task].task)
    name = f"*_samples_{SPECS[task].task}.jsonl"
    found = [*folder.glob(name), *folder.glob(f"*/{name}")]
    if not found:
        raise DataError(
            f"{folder}: there is no samples file of {SPECS[task].task} in it: lmms-eval writes one "
            "with --log_samples"
        )
    return max(found, key=lambda path: (path.stat().st_mtime, path.name))


def _beside(path: Path) -> Mapping[str, Any]:
    """Return what the file beside a file of rows states of the run, if there is one."""
    facts = path.parent.parent / BUNDLE
    if not facts.is_file():
        facts = path.with_name(path.name.partition("_samples_")[0] + "_run.json")
    if facts.is_file():
        with suppress(DataError):
            stated = read_values(facts)
            return stated if isinstance(stated, dict) else {}
    return {}


def _name(path: Path) -> str:
    """Return what a file is called that does not say whose it is."""
    if "_samples_" in path.name or (path.parent.parent / BUNDLE).is_file():
        return path.parent.name.replace("__", "/") or path.stem
    return path.stem


def _authors(path: Path, content: Mapping[str, Any]) -> ScoreFile:
    evaluations = content["evaluations"]
    if not isinstance(evaluations, dict) or not evaluations:
        raise DataError(f"{path}: 'evaluations' is to be an object with the scores by video_id")
    clips: dict[str, ClipScores] = {}
    for name, scores in evaluations.items():
        where = f"{path}: {quoted(name)}"
        if not isinstance(scores, dict):
            raise DataError(f"{where} has no scores")
        video_id = clip_id(name) or name
        if video_id in clips:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        clips[video_id] = _clip(where, scores, "_score", _HIGHEST, SCALE)
    stated = _number(content.get("overall_average_percent"))
    named = _NAMES_JUDGE.fullmatch(path.stem)
    return _without_zeros(
        ScoreFile(path, clips, {}, named and named[1], stated_average=stated, name=path.stem)
    )


def _without_zeros(scores: ScoreFile) -> ScoreFile:
    """Return a file of captions' scores with those that are failures taken out of its clips."""
    zeros = {i: clip for i, clip in scores.clips.items() if 0 in clip.values()}
    if not zeros:
        return scores
    clips = {i: clip for i, clip in scores.clips.items() if i not in zeros}
    failed = {**scores.failed, **dict.fromkeys(zeros, _STORED)}
    return replace(scores, clips=clips, failed=failed, zeros=zeros)


def _ours(path: Path, rows: list[Any]) -> ScoreFile:
    named = {row.get("task", "caption") for row in rows if isinstance(row, dict) and _named(row)}
    task = named.pop() if len(named) == 1 else "caption"
    if named or task not in SPECS:
        raise DataError(f"{path}: its rows are not of one task of ours; {_SCORES}")
    clips: dict[str, ClipScores] = {}
    failed: dict[str, str] = {}
    kept: dict[str, Mapping[str, Any]] = {}
    ran: set[str] = set()
    labels, estimates, wanted, scales = set(), set(), set(), set()
    for where, video_id, row in clip_rows(path, rows):
        if video_id in clips or video_id in failed:
            raise DataError(f"{where}: {video_id} is there twice: remove one of the two")
        label, who = _judge(where, row)
        kept[video_id] = row
        scale = scale_of(row)
        scales.add(json.dumps(scale, sort_keys=True))
        first = figures_of(task, scale)[0]
        suffix = next((s for s in ("", ESTIMATE) if row.get(first + s) is not None), None)
        if suffix is not None and is_failure(str(row.get("prediction"))):
            failed[video_id] = f"{quoted(row['prediction'])}, which was judged as an answer"
        elif suffix is not None and task != "caption":
            clips[video_id] = {task: _figure(f"{where}: {video_id}", row, task, 100)}
        elif suffix is not None:
            clips[video_id] = _clip(f"{where}: {video_id}", row, suffix, 100, names=scale)
            estimates.add(suffix == ESTIMATE)
        elif (why := _failure(row)) is not None:
            failed[video_id] = why
        else:
            raise DataError(f"{where}: neither scores nor a failure; {_SCORES}")
        labels.add(label)
        wanted.add(_wanted(row.get("coverage")))
        ran |= who
    if len(labels) > 1 or len(estimates) > 1 or len(scales) > 1:
        raise DataError(f"{path}: scores of several judges in one file: summarize them apart")
    found = ScoreFile(
        path,
        clips,
        failed,
        judge=labels.pop() or None,
        estimate=True in estimates,
        wanted=wanted.pop() if len(wanted) == 1 else None,
        ran=frozenset(ran),
        task=task,
        name=_name(path),
        rows=kept,
    )
    # On a scale of one's own a 0 may be a grade.
    return _without_zeros(found) if task == "caption" and not found.scale else found


def _named(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("task", ""), str)


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
    where: str,
    row: Mapping[str, Any],
    suffix: str,
    highest: int,
    factor: float = 1,
    *,
    names: Iterable[str] | None = None,
) -> ClipScores:
    """Return the scores of a row, each from 0 to ``highest``, times ``factor``."""
    scores = {
        name: factor * _figure(where, row, name, highest, suffix) for name in names or DIMENSIONS
    }
    return {**scores, "average": fmean(scores.values())}


def _figure(where: str, row: Mapping[str, Any], name: str, highest: int, suffix: str = "") -> float:
    number = _number(value := row.get(name + suffix))
    if number is None or not 0 <= number <= highest:
        raise DataError(f"{where} has no {name} score from 0 to {highest}, but {kind(value)}")
    return number


def _all_numbers(scores: Mapping[str, Any]) -> bool:
    return bool(scores) and all(_number(value) is not None for value in scores.values())


def _wanted(coverage: Any) -> int | None:
    total = coverage.get("of") if isinstance(coverage, dict) else None
    if isinstance(coverage, str) and re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", coverage):
        total = int(coverage.partition("/")[2])  # as rows of earlier versions have it
    return total if type(total) is int and 0 < total < 10**9 else None


def _number(value: Any) -> float | None:
    """Return a JSON number that is finite and not absurd; None for anything else."""
    return float(value) if type(value) in (int, float) and abs(value) < 10**9 else None
