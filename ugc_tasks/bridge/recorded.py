"""The authors' recorded captions, a sample of their clips, and judging these by another judge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import listed
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import RECORDED, recorded
from ugc_tasks.data.questions import read_questions
from ugc_tasks.judge.judge import open_judge
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.protocol.profiles import ChatProfile
from ugc_tasks.results.answers import SavedAnswers, read_answers
from ugc_tasks.results.facts import describe_spent, total_spent
from ugc_tasks.results.scores import ScoreFile, read_scores
from ugc_tasks.results.scoring import SavedRun, score_judged

_TASK = SPECS["caption"]


def old_scores(models: Sequence[str], cache: Path, *, fetch: bool = True) -> dict[str, ScoreFile]:
    """Return the recorded scores by model; those that are not here are downloaded, or left out."""
    here = {m: RECORDED[m]["scores"] for m in models}
    return {
        m: read_scores(recorded(m, "scores", cache) if fetch else cache / file.name)
        for m, file in here.items()
        if fetch or file.is_at(cache / file.name)
    }


def sample_of(old: Mapping[str, ScoreFile], eligible: Sequence[str], wanted: int) -> list[str]:
    """Return clips from the worst to the best described, evenly: each stratum has its share.

    The same clips for the same models and number, so that a run that goes on asks nothing anew.
    """

    def level(video_id: str) -> tuple[float, str]:
        known = [s.clips[video_id]["average"] for s in old.values() if video_id in s.clips]
        return fmean(known), video_id

    ordered = sorted(eligible, key=level)
    if wanted >= len(ordered):
        return ordered
    step = len(ordered) / wanted
    return [ordered[int((place + 0.5) * step)] for place in range(wanted)]


def saved_runs(
    environ: Mapping[str, str], home: Home, models: Sequence[str], clips: int | None
) -> dict[str, SavedRun]:
    """Return the recorded captions of ``models`` to a sample of clips, as saved answers.

    Raises ``DataError`` where files are not here and cannot be had.
    """
    old = old_scores(models, home.cache)
    answers = {m: read_answers(recorded(m, "captions", home.cache)) for m in models}
    empty = SavedRun("caption", SavedAnswers(home.cache, {}), home, environ)
    wanted = read_questions(empty.annotation(_TASK.annotations)[0]).references
    eligible = [
        i for i in wanted if all(i in answers[m].answers and i in old[m].clips for m in models)
    ]
    if not eligible:
        raise DataError("no clip of the references has recorded captions of all these models")
    chosen = sample_of(old, eligible, clips or len(eligible))
    return {
        m: replace(empty, answers=SavedAnswers(a.path, {i: a.answers[i] for i in chosen}))
        for m, a in answers.items()
    }


def check_dimensions(environ: Mapping[str, str], home: Home) -> None:
    """Raise ``DataError`` where no judge is asked, or by other dimensions than the recorded one."""
    with open_judge(environ, home=home.root, cache=home.cache, command="dry-run") as judge:
        if not isinstance(judge.profile, ChatProfile):
            raise DataError(
                f"a bridge is from a judge, and the profile {judge.profile.name} asks none"
            )
        named = judge.profile.scale
    if named and set(named) != set(DIMENSIONS):
        raise DataError(
            f"the profile grades by {listed(named)}, the recorded judge by {listed(DIMENSIONS)}: a "
            "bridge is between the same dimensions"
        )


def judge_recorded(
    environ: Mapping[str, str],
    home: Home,
    models: Sequence[str] | None,
    clips: int | None,
    output: Path,
) -> dict[str, Any]:
    """Judge recorded captions and write a score file of ours for each model into ``output``.

    What is judged is in the judge's store at once: after an interrupt the same command goes on.
    ``clips`` of each model; None: what ``plan`` proposes. Raises as ``score`` does.
    """
    from ugc_tasks.bridge.plan import enough_clips

    models = list(dict.fromkeys(models or RECORDED))
    check_dimensions(environ, home)
    if output.exists() and not output.is_dir():
        raise DataError(f"-o: {output} is a file, not a folder")
    clips = clips or enough_clips(old_scores(models, home.cache), models)
    runs = saved_runs(environ, home, models, clips)
    reports = dict(zip(runs, score_judged(list(runs.values())), strict=True))
    output.mkdir(parents=True, exist_ok=True)
    for model, report in reports.items():
        path = output / f"{model}.json"
        path.write_text(json.dumps(report.as_json("caption"), indent=1) + "\n", "utf-8")
    spent = total_spent(
        [j for r in reports.values() for i in r.items for j in i["judge"]["judgments"]]
    )
    failed = {model: report.failed for model, report in reports.items() if report.failed}
    old = recorded(models[0], "scores", home.cache).parent
    said = [
        f"{len(models)} models, {clips} clips of each: {describe_spent(spent)}",
        *([f"not judged: {listed(f'{n} of {m}' for m, n in failed.items())}; run again, and only "
           "these are asked for"] if failed else []),
        f"now: ugc-videocap bridge fit {old} {output}",
    ]  # fmt: skip
    return {
        "models": models,
        "clips": clips,
        "output": str(output),
        "old": str(old),
        "failed": failed,
        "spent": spent,
        "said": said,
    }


def at_hand(
    environ: Mapping[str, str], home: Home, models: Sequence[str], clips: int
) -> dict[str, SavedRun] | None:
    """Return ``saved_runs`` if all of it is on this machine, else None: nothing is downloaded."""
    files = [f for m in models for f in RECORDED[m].values()]
    probe = SavedRun("caption", SavedAnswers(home.cache, {}), home, environ)
    if all(f.is_at(home.cache / f.name) for f in files) and probe.has_annotation(_TASK.annotations):
        with suppress(DataError):
            return saved_runs(environ, home, models, clips)
    return None
