"""``bridge.json``, made of two folders of score files.

A bridge is from the new judge's scale *to* the old one's: a figure by ``from`` is restated as what
``to`` would give. The file holds the models' means, from which the map is made again when it is
read (``restate.py``); all else in it is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugc_tasks.bridge.fit import FIGURES, RULE, fit
from ugc_tasks.bridge.line import Line, Paired
from ugc_tasks.bridge.restate import KIND, SCHEMA, label_of, parts_of, scores_array
from ugc_tasks.common.display import listed, shown
from ugc_tasks.common.files import DataError
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.results.scores import ScoreFile, read_scores

METHOD = (
    "hierarchical: a line a dimension through the models' means, slopes partially pooled, models' "
    "effects random, averaged over lines in points and in log-odds of the scale"
)
_FEWEST_CLIPS = 10
_BESIDE = ("_run.json", "_results.json")


def read_folder(folder: Path) -> dict[str, ScoreFile]:
    """Return the score files of a folder by the model's name, which is that of its file.

    ``_4o`` at its end, which the authors put there, does not count. Raises ``DataError``.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder of score files, one for each model")
    found: dict[str, ScoreFile] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith(_BESIDE):
            continue
        if not path.is_dir() and path.suffix not in (".json", ".jsonl"):
            continue
        name = (path.name if path.is_dir() else path.stem).removesuffix("_4o").casefold()
        if name in found:
            raise DataError(f"{folder}: {name} is there twice: leave one file for each model")
        scores = read_scores(path)
        if scores.task != "caption" or scores.estimate or scores.figures != FIGURES:
            what = f"scores of the task {scores.task} ({listed(scores.figures)})"
            what = "an estimate" if scores.estimate else what
            raise DataError(
                f"{path}: is {what}; a bridge is between judges of captions, of "
                f"{listed(DIMENSIONS)}"
            )
        found[name] = scores
    if not found:
        raise DataError(f"{folder}: there is no score file in it")
    return found


def pair(old: Mapping[str, ScoreFile], new: Mapping[str, ScoreFile]) -> list[Paired]:
    """Return the models of both, each with the clips that both judges have scored.

    A model with next to no such clips is left out.
    """
    paired = []
    for model in sorted(old.keys() & new.keys()):
        both = [i for i in old[model].clips if i in new[model].clips]
        if len(both) >= _FEWEST_CLIPS:
            sides = (scores_array(files[model].clips[i] for i in both) for files in (old, new))
            paired.append(Paired(model, both, *sides))
    return paired


def judge_of(files: Mapping[str, ScoreFile], stated: str | None) -> dict[str, str | None]:
    """Return who judged a folder: as its files say, is known of published ones, or ``stated``.

    Raises ``DataError`` where they say different things.
    """
    labels = {label_of(file) for file in files.values()}
    if stated is not None:
        labels = {stated, *(label for label in labels if label is not None)}
    if len(labels) > 1:
        named = " and ".join(
            sorted(shown(label or "one that is not named", 80) for label in labels)
        )
        raise DataError(f"the files of one folder are to be of one judge; these are of {named}")
    return parts_of(labels.pop())


def bridge(
    old: Path, new: Path, *, to: str | None = None, from_: str | None = None
) -> dict[str, Any]:
    """Return the document of a bridge from the judge of the folder ``new`` to that of ``old``."""
    files = {"from": read_folder(new), "to": read_folder(old)}
    paired = pair(files["to"], files["from"])
    found = fit(paired)
    line: Line | None = found.pop("line")
    judges = {
        "from": judge_of(files["from"], from_),
        "to": judge_of(files["to"], to),
    }
    if judges["from"]["label"] is not None and judges["from"] == judges["to"]:
        raise DataError(
            f"both folders are of one judge, {judges['to']['label']}: nothing to bridge"
        )
    return {
        "kind": KIND,
        "schema": SCHEMA,
        **judges,
        "n": sum(len(p.clips) for p in paired),
        "clips": len({i for p in paired for i in p.clips}),
        "models": [p.model for p in paired],
        "unpaired": sorted(files["from"].keys() ^ files["to"].keys()),
        "method": METHOD,
        "verdict": found["verdict"],
        "reasons": found["reasons"],
        "rule": RULE,
        "figures": found["figures"],
        "line": None if line is None else _written(line),
    }


def _written(line: Line) -> dict[str, Any]:
    return {
        "dimensions": list(DIMENSIONS),
        "from_means": line.new.tolist(),
        "to_means": line.old.tolist(),
        "n": line.n.tolist(),
        "variance_of_noise": line.noise.tolist(),
        "variance_of_clips": line.spread.tolist(),
        "lowest": list(line.lowest),
    }
