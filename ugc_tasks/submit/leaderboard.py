"""Bundles side by side: grouped by task, judge and annotations, never mixed.

Within a group any two are compared clip by clip (``results/compare.py``), with Holm's correction
over all pairs; two of which neither is better share a letter. Bundles that do not hold
(``verify.py``) are left out, and named.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import published_captions, published_elsewhere
from ugc_tasks.results.compare import compare_all
from ugc_tasks.results.reliability import stated
from ugc_tasks.results.rows import figures_of
from ugc_tasks.results.run_files import BUNDLE, read_run, rows_file
from ugc_tasks.results.scores import ScoreFile, read_scores
from ugc_tasks.submit.verify import verify

_Key = tuple[str, str, str, str]  # task, its kind, judge, digest of annotations that are not ours


@dataclass(frozen=True)
class Entry:
    """A row: a bundle's figures of one task, or a row of the published table.

    Attributes:
        means, ci95: by figure, on 0-100; published rows have no intervals.
        n, of: clips with a score, clips of the task; None for a published row.
        letters: those of its sets: two entries with a letter in common are not distinguishable.
        note: what a reader must know.
    """

    name: str
    means: Mapping[str, float]
    ci95: Mapping[str, Sequence[float] | None]
    n: int | None = None
    of: int | None = None
    letters: str = ""
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Entries that may be compared with each other, the best first.

    Attributes:
        task: its name in lmms-eval.
        judge: the judge's label; empty where there is none.
        own: digest of the annotations, where they are not the benchmark's; else empty.
        figures: names of the figures, the main one last.
        source: where the entries were published, if they are none of ours.
    """

    task: str
    judge: str
    own: str
    figures: Sequence[str]
    entries: Sequence[Entry]
    source: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """The groups, and what others published on captions, if there are captions.

    ``left_out`` has the bundles that are in no group, and why.
    """

    groups: Sequence[Group]
    left_out: Mapping[str, str]
    elsewhere: Sequence[Group] = ()


def read_leaderboard(folder: Path, home: Home) -> Leaderboard:
    """Read all bundles in a folder, and in those below; raises ``DataError`` without any."""
    paths = sorted(path.parent for path in folder.rglob(BUNDLE))
    if not paths:
        raise DataError(f"{folder}: there is no bundle in it: make some with `ugc-videocap submit`")
    members: dict[_Key, list[tuple[ScoreFile, Mapping[str, Any], str]]] = {}
    left_out = {}
    for path in paths:
        where = str(path.relative_to(folder))
        try:
            found = verify(path, home)
            if found.problems:
                more = len(found.problems) - 1
                left_out[where] = found.problems[0] + (f" (and {more} more)" if more else "")
                continue
            bundle = read_run(path).facts
            for task, facts in bundle["tasks"].items():
                own = "" if facts["of_benchmark"] else facts.get("annotations_sha256", "not stated")
                key = (task, facts["task"], str(facts.get("judge_label") or ""), str(own))
                note = "not all of it could be checked" if found.unchecked else ""
                scores = read_scores(path / rows_file(task))
                members.setdefault(key, []).append((scores, facts, note))
        except DataError as error:
            left_out[where] = str(error)
    order = list(SPECS)
    keys = sorted(members, key=lambda key: (order.index(key[1]), key))
    groups = [_group(key, members[key]) for key in keys]
    captions = any(name == "caption" for _, name, _, _ in keys)
    return Leaderboard(groups, left_out, _elsewhere() if captions else ())


def _elsewhere() -> list[Group]:
    """Return what others published, a group for each judge: comparable with no other group."""
    spec, figures = SPECS["caption"], figures_of("caption")
    return [
        Group(
            spec.task,
            each.judge,
            "",
            figures,
            [
                Entry(name, dict(zip(figures, row, strict=True)), {}, note="published")
                for name, row in each.rows.items()
            ],
            each.source,
        )
        for each in published_elsewhere()
    ]


def _group(key: _Key, members: Sequence[tuple[ScoreFile, Mapping[str, Any], str]]) -> Group:
    task, name, judge, own = key
    scale = next((s for scores, _, _ in members if (s := scores.scale)), None)
    figures = figures_of(name, scale)
    main = figures[-1]
    members = sorted(members, key=lambda each: -_value(each[1], main))
    letters = _letters([scores for scores, _, _ in members if scores.clips])
    entries = []
    for scores, facts, note in members:
        said = [note] if note else []
        if not facts["complete"]:
            said.append(f"{facts['of'] - facts['n']} clips have no score")
        entries.append(
            Entry(
                scores.name,
                {name: _value(facts, name) for name in figures if scores.clips},
                {name: _interval(facts, name) for name in figures},
                facts["n"],
                facts["of"],
                letters.get(id(scores), ""),
                "; ".join(said),
            )
        )
    judged_as, rows = published_captions()
    if name == "caption" and not own and judge.startswith(judged_as):
        entries += [
            Entry(name, dict(zip(figures, values, strict=True)), {}, note="published")
            for name, values in rows.items()
        ]
        entries.sort(key=lambda entry: -entry.means.get(main, -1.0))
    return Group(task, judge, own, figures, entries)


def _value(facts: Mapping[str, Any], name: str) -> float:
    value = facts["figures"].get(name, facts["figures"].get(f"{name}_estimate"))
    return -1.0 if value is None else float(value)


def _interval(facts: Mapping[str, Any], name: str) -> Sequence[float] | None:
    found = facts["ci95"].get(name) or facts["ci95"].get(f"{name}_estimate")
    return list(found) if found else None


def _letters(runs: Sequence[ScoreFile]) -> dict[int, str]:
    """Return the letters of each run, given from the best to the worst, by its ``id``.

    A letter stands for a stretch of the order in which no run is better than another. One run
    alone, and one that is better or worse than all others, has none.
    """
    if len(runs) < 2:
        return {}
    same = {
        (id(each.new), id(each.old))
        for each in compare_all(runs)
        if each.verdict == "not distinguishable"
    }
    stretches: list[tuple[int, int]] = []
    for first in range(len(runs)):
        last = first
        while last + 1 < len(runs) and all(
            (id(runs[i]), id(runs[last + 1])) in same for i in range(first, last + 1)
        ):
            last += 1
        if last > first and not any(a <= first and last <= b for a, b in stretches):
            stretches.append((first, last))
    letters: dict[int, str] = {}
    for letter, (first, last) in zip(string.ascii_lowercase, stretches, strict=False):
        for run in runs[first : last + 1]:
            letters[id(run)] = letters.get(id(run), "") + letter
    return letters


def table_of(group: Group) -> list[list[str]]:
    """Return a group as cells under a head."""
    rows = [["model", *group.figures, "clips", "same", "note"]]
    for entry in group.entries:
        cells = [_cell(entry, name) for name in group.figures]
        clips = "" if entry.n is None else f"{entry.n}/{entry.of}"
        rows.append([shown(entry.name, 50), *cells, clips, entry.letters, entry.note])
    return rows


def _cell(entry: Entry, name: str) -> str:
    if name not in entry.means:
        return "–"
    return stated(entry.means[name], entry.ci95.get(name))


def headline(group: Group) -> str:
    """Return what a group is of, for a person."""
    own = f", own clips or questions ({group.own[:10]})" if group.own else ""
    judge = f"judge {shown(group.judge, 100)}" if group.judge else "no judge"
    source = f"; {shown(group.source, 200)}" if group.source else ""
    return f"{shown(group.task, 60)}, {judge}{own}{source}"


def legend(groups: Sequence[Group]) -> Iterator[str]:
    """Yield what must be said under the tables."""
    if any(entry.letters for group in groups for entry in group.entries):
        yield (
            "same: models with a letter in common are not distinguishable "
            "(paired permutation, Holm, 5 %)"
        )
    if len({group.judge for group in groups if "average" in group.figures}) > 1:
        yield "numbers of different judges cannot be compared: each judge has a table of its own"


def page(board: Leaderboard) -> str:
    """Return the leaderboard as one HTML file that needs no network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from ugc_tasks.report.charts import Dot, dots
    from ugc_tasks.report.page import packaged, style_policy

    environment = Environment(
        loader=PackageLoader("ugc_tasks.submit", "."), autoescape=True, undefined=StrictUndefined
    )
    groups = []
    for group in (*board.groups, *board.elsewhere):
        main = group.figures[-1]
        rows = [
            Dot(
                entry.name,
                entry.means[main],
                (pair[0], pair[1]) if (pair := entry.ci95.get(main)) else None,
                entry.n,
                ours=entry.n is not None,
            )
            for entry in group.entries
            if main in entry.means
        ]
        plot = dots(main, f"{main}, with 95 % intervals where they are known.", rows)
        groups.append({"title": headline(group), "table": table_of(group), "plot": plot})
    css = packaged("page.css")
    return environment.get_template("leaderboard.html.j2").render(
        groups=groups,
        legend=list(legend((*board.groups, *board.elsewhere))),
        left_out=[(shown(path, 100), shown(why, 300)) for path, why in board.left_out.items()],
        css=css,
        policy=style_policy(css),
    )
