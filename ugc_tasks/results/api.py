"""For notebooks: score, summarize, compare and load runs; typed objects, and data frames of them.

They do what the commands of these names do, with the same settings from the environment
(``docs/options.md``). Frames need pandas, which lmms-eval brings and ``make score-env`` does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.common.display import UserError
from ugc_tasks.data.home import Home
from ugc_tasks.results.answers import SavedAnswer, SavedAnswers, read_answers
from ugc_tasks.results.compare import Comparison
from ugc_tasks.results.compare import compare as compare_runs
from ugc_tasks.results.scores import ScoreFile, read_scores
from ugc_tasks.results.scoring import MODES, Mode, Report, SavedRun
from ugc_tasks.results.scoring import score as score_answers
from ugc_tasks.results.slices import slices_of
from ugc_tasks.results.summary import summarize as summarize_scores

if TYPE_CHECKING:
    import pandas

Source = str | Path | ScoreFile
"""A run: a samples file, what ``score --json`` printed, a folder of results, or one read before."""


def score(
    task: str,
    answers: str | Path | Mapping[str, str],
    *,
    profile: str | None = None,
    references: str | Path | None = None,
    mode: Mode = MODES[0],
    answer_field: str | None = None,
) -> Report:
    """Score saved answers.

    Args:
        task: short name: ``caption``, ``tone``, ``ocr``, … (``ugc_tasks.benchmark.SPECS``).
        answers: a file, or texts by ``video_id``.
        profile: the judge (default: ``UGC_JUDGE_PROFILE``, else ``paper``, which costs money).
            ``offline`` is a free estimate of captions.
        references: folder of annotation files; default: as published.
        mode: what OCR does with answers without a list of texts.
        answer_field: the field of a row that holds the model's text, where several could.

    Raises:
        UserError: answers, references or the judge's settings cannot be used.
    """
    environ = dict(os.environ)
    if profile is not None:
        environ["UGC_JUDGE_PROFILE"] = profile
    if isinstance(answers, Mapping):
        given = {video_id: SavedAnswer(text) for video_id, text in answers.items()}
        saved = SavedAnswers(Path("answers"), given)
    else:
        saved = read_answers(Path(answers), answer_field)
    folder = None if references is None else Path(references)
    return score_answers(SavedRun(task, saved, Home.from_env(environ), environ, folder, mode))


def load_run(run: Source, task: str | None = None) -> ScoreFile:
    """Read a run, of a folder that of ``task`` (default: captions); raises ``DataError``."""
    return run if isinstance(run, ScoreFile) else read_scores(Path(run), task)


def compare(new: Source, *olds: Source, task: str | None = None) -> list[Comparison]:
    """Compare a run with others, clip by clip, with the parts of the clips that are known.

    Raises ``DataError`` where one cannot be read. Runs that cannot be compared say why.
    """
    runs = [load_run(run, task) for run in (new, *olds)]
    return compare_runs(runs[0], runs[1:], slices_of(runs, Home.from_env(os.environ)))


def summarize(*runs: Source) -> pandas.DataFrame:
    """Return the figures of runs of captions, a row each, with ``n``, coverage and the judge.

    Intervals are in columns ``…_low`` and ``…_high``. Raises ``DataError`` where a run cannot be
    read.
    """
    rows = []
    for run in runs:
        scores = load_run(run)
        found = summarize_scores(scores)
        bounds = {
            f"{name}_{side}": pair[i]
            for name, pair in found["ci95"].items()
            if pair
            for i, side in enumerate(("low", "high"))
        }
        plain = {k: v for k, v in found.items() if not isinstance(v, dict | list)}
        rows.append({"name": scores.name, **plain, **bounds})
    return frame_of(rows).set_index("name")


def frame(run: Source | Report, task: str | None = None) -> pandas.DataFrame:
    """Return the rows of a run, a clip each, indexed by ``video_id``."""
    if isinstance(run, Report):
        return frame_of(list(run.items)).set_index("video_id")
    scores = load_run(run, task)
    rows = [
        {"video_id": i, **scores.rows.get(i, {}), **scores.clips.get(i, {})}
        for i in (*scores.clips, *scores.failed)
    ]
    return frame_of(rows).set_index("video_id")


def frame_of(rows: list[dict[str, Any]] | list[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return a data frame of rows; raises ``UserError`` where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UserError("data frames need pandas: pip install pandas") from None
    return pandas.DataFrame(rows)
