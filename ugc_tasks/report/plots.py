"""Which plots a report has: by the task, the number of runs, and whether these are comparable."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import shown
from ugc_tasks.data.published import published_captions
from ugc_tasks.report.charts import Dot, Plot, bars, dots, heat_map
from ugc_tasks.results.compare import Comparison
from ugc_tasks.results.facts import figure
from ugc_tasks.results.reliability import HIGHEST, stated
from ugc_tasks.results.rows import SCALE
from ugc_tasks.results.scores import ScoreFile

POINTS = tuple(SCALE * point for point in range(1, 6))  # what a caption's judge can give
_NO_OPTION = "no option"
_SHARE = 25  # points on 0-100, by which repeats of a judge of shares are counted

Slices = Mapping[str, Mapping[str, Sequence[str]]]


def plots_of(
    runs: Sequence[ScoreFile],
    comparisons: Sequence[Comparison],
    slices: Slices,
    noise: Sequence[Mapping[str, Any] | None],
) -> list[Plot]:
    """Return the plots of runs, of which at least one clip has a score.

    Args:
        runs: those that are shown, each by another name.
        comparisons: of the first with each of the others.
        slices: parts of the clips, by kind.
        noise: of each run how far repeated judgments agree (``results/facts.py``), if known.
    """
    scored = [run for run in runs if run.clips]
    if not scored:
        return []
    comparable = all(each.figures for each in comparisons)
    plots = list(_beside_published(scored))
    for each in comparisons:
        plots += _differences(each)
    # Runs that cannot be compared share no plot.
    for group in [scored] if comparable else [[run] for run in scored]:
        plots += _histograms(group, of_several=len(runs) > 1)
    for run in scored:
        plots += _matrices(run, f" of {shown(run.name, 40)}" if len(runs) > 1 else "")
    if len(runs) == 1:
        plots += by_slice(runs[0], slices)
    for run, said in zip(runs, noise, strict=True):
        plots += _noise(run, said, f" of {shown(run.name, 40)}" if len(runs) > 1 else "")
    return plots


def is_published_judge(run: ScoreFile) -> bool:
    """Tell whether a run was judged as the published rows were."""
    return run.task == "caption" and str(run.judge).startswith(published_captions()[0])


def _beside_published(runs: Sequence[ScoreFile]) -> Iterator[Plot]:
    judged = [run for run in runs if is_published_judge(run)]
    if not judged:
        return
    rows = [_dot(run, "average", run.name, list(run.clips)) for run in judged]
    rows += [Dot(name, row[-1], ours=False) for name, row in published_captions()[1].items()]
    rows.sort(key=lambda row: -row.value)
    yield dots(
        "average",
        "Average of all clips, with its 95 % interval, among the published rows of the same judge "
        "(grey).",
        rows,
    )


def _differences(comparison: Comparison) -> Iterator[Plot]:
    """Yield how a run differs from another: in all figures, and in parts of the clips."""
    if not comparison.figures:
        return
    minus = f"{shown(comparison.new.name, 40)} minus {shown(comparison.old.name, 40)}"
    parts = {"": comparison.figures, **comparison.slices}
    main = list(comparison.figures)[-1]
    for kind, found in parts.items():
        rows = [Dot(name, d.difference, d.ci95, d.n) for name, d in found.items()]
        if rows and (not kind or len(rows) > 1):
            what = f"{main} by {kind}" if kind else "difference"
            yield dots(
                what,
                f"{what[0].upper()}{what[1:]}: {minus}, clip by clip, with 95 % intervals. Right "
                "of 0 the first is better.",
                rows,
                signed=True,
            )


def _histograms(runs: Sequence[ScoreFile], *, of_several: bool) -> Iterator[Plot]:
    task = runs[0].task
    for name in runs[0].figures:
        values = [[clip[name] for clip in run.clips.values()] for run in runs]
        labels, places = bins_of(task, name, values)
        counts = [[placed.count(i) for i in range(len(labels))] for placed in places]
        means = [
            f"{f'{shown(run.name, 40)} ' if of_several else ''}mean {_mean(run, name)}"
            for run in runs
        ]
        ranges = any("–" in label for label in labels)
        said = [
            f"{name}: {', '.join(means)}.",
            *(["A range has its lower end in it, the last one both."] if ranges else []),
            *(["Heights are shares of a run's clips."] if len(runs) > 1 else []),
        ]
        low = min(SCALE, *(value for run in values for value in run)) if task == "caption" else 0
        axis = name if labels[0] == "wrong" else f"{name}, {round(low, 1):g} to 100"
        series = {run.name: each for run, each in zip(runs, counts, strict=True)}
        yield bars(name, " ".join(said), labels, series, axis=axis)


def bins_of(
    task: str, name: str, values: Sequence[Sequence[float]]
) -> tuple[list[str], list[list[int]]]:
    """Return the labels of the bins for a figure, and of each run the bins of its values."""
    every = {value for run in values for value in run}
    if every <= {0.0, HIGHEST} and (SPECS[task].kind == "choice" or task == "background"):
        return ["wrong", "right"], [[int(value > 0) for value in run] for run in values]
    if task == "caption" and name != "average" and every <= {0, *POINTS}:
        # A 0 is no grade: it stands where the authors' script had none.
        points = [0, *POINTS] if 0 in every else list(POINTS)
        labels = [f"{point} (none)" if point == 0 else str(point) for point in points]
        return labels, [[points.index(round(value)) for value in run] for run in values]
    low = SCALE if task == "caption" and min(every) >= SCALE else 0
    count = (100 - low) // 10
    labels = [f"{low + 10 * i}–{low + 10 * (i + 1)}" for i in range(count)]
    return labels, [[min(count - 1, int((v - low + 1e-9) // 10)) for v in run] for run in values]


def _matrices(run: ScoreFile, of: str) -> Iterator[Plot]:
    """Yield what goes together: two dimensions of captions, or label and chosen option."""
    if {"visual", "audio"} <= set(run.figures):
        grades = [str(point) for point in POINTS]
        pairs = [
            (grades[_point(clip["audio"])], grades[_point(clip["visual"])])
            for clip in run.clips.values()
        ]
        said = f"How many clips{of} have which visual and audio score, rounded to the judge's five."
        yield heat_map(
            "visual and audio",
            said,
            pairs,
            across=("audio", grades),
            down=("visual", list(reversed(grades))),
        )
    elif SPECS[run.task].kind == "choice":
        rows = [run.rows[i] for i in run.clips if i in run.rows]
        pairs = [(str(r.get("chosen") or _NO_OPTION), str(r.get("label"))) for r in rows]
        if not pairs:
            return
        labels = sorted({label for _, label in pairs})
        chosen = [*labels, *sorted({name for name, _ in pairs} - set(labels))]
        yield heat_map(
            "label and answer",
            f"Which option was chosen for clips of which label{of.replace(' of', ',', 1)}; right "
            "answers lie on the diagonal.",
            pairs,
            across=("chosen", chosen),
            down=("label", labels),
        )


def _point(value: float) -> int:
    return min(5, max(1, round(value / SCALE))) - 1


def by_slice(run: ScoreFile, slices: Slices) -> Iterator[Plot]:
    """Yield the mean of a run's main figure in the parts of each slice, two clips at least."""
    main = run.figures[-1]
    for kind, groups in slices.items():
        rows = []
        for part, ids in groups.items():
            if len(there := [i for i in ids if i in run.clips]) > 1:
                rows.append(_dot(run, main, part, there))
        if len(rows) > 1:
            said = f"{main[0].upper()}{main[1:]} by {kind}, with 95 % intervals."
            yield dots(f"{main} by {kind}", said, rows)


def _dot(run: ScoreFile, name: str, called: str, ids: Sequence[str]) -> Dot:
    values = [run.clips[i][name] for i in ids]
    mean, pair, _ = figure(run.task, name, values, estimate=run.estimate)
    return Dot(called, mean, pair, len(values))


def _mean(run: ScoreFile, name: str) -> str:
    values = [clip[name] for clip in run.clips.values()]
    return stated(*figure(run.task, name, values, estimate=run.estimate)[:2])


def _noise(run: ScoreFile, noise: Mapping[str, Any] | None, of: str) -> Iterator[Plot]:
    """Yield how far apart the judgments of a clip lie, where clips were judged several times."""
    points, apart = run.points(), dict[str, list[float]]()
    for video_id in run.clips:
        said = run.judgments(video_id)
        for name in said[0] if len(said) > 1 else ():
            each = [run.points(name) * s[name] for s in said if name in s]
            apart.setdefault(name, []).append(max(each) - min(each))
    if not apart or not noise:
        return
    step = points if points == SCALE else _SHARE
    count = math.ceil(max(max(each) for each in apart.values()) / step - 1e-9) + 1
    exact = all(value % step == 0 for each in apart.values() for value in each)
    labels = ["0", *(f"{'' if exact else '≤ '}{step * i}" for i in range(1, count))]
    counts = {
        name: [sum(math.ceil(v / step - 1e-9) == i for v in each) for i in range(count)]
        for name, each in apart.items()
    }
    yield bars(
        "judge's noise",
        f"How far apart the judgments{of} of one clip lie. {noise_sentence(noise)}",
        labels,
        counts,
        axis="points between the judgments of a clip",
    )


def noise_sentence(noise: Mapping[str, Any]) -> str:
    """Return what the noise of a judge that was asked repeatedly means for the figures."""
    name, values = list(noise["values"].items())[-1]
    if values["exact"] is None:
        return f"{name}: no clip has two judgments."
    same = f"{name}: {values['exact']:.0%} of pairs of judgments are the same"
    if values["half_width"] is None:
        return f"{same}."
    return (
        f"{same}; judged anew, the mean of these {values['clips']} clips would stay within "
        f"±{values['half_width']:.1f} in 95 of 100 runs."
    )
