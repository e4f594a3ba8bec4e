"""What the rows of a task say of the whole run: its figures, what failed, the judge, the cost.

The same for a run of lmms-eval (``run.json``) and for ``ugc-videocap score``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import COLUMNS, SPECS
from ugc_tasks.common.display import shown
from ugc_tasks.judge.types import SEVERAL
from ugc_tasks.results.reliability import (
    HIGHEST,
    Interval,
    figure_interval,
    measured,
    share_interval,
    total_repeats,
)
from ugc_tasks.results.rows import ESTIMATE, SCALE, figures_of, points_of, scale_of

Rows = Sequence[Mapping[str, Any]]

STUDENT, WILSON, ESTIMATED = "Student's t", "Wilson", "error of the estimate"


def run_facts(rows: Rows, *, interval: float = 0.5) -> dict[str, Any]:
    """Return the facts of a task's rows (at least one), plain JSON values.

    ``interval`` is the half-width, in points, that the noise of the judge says the repeats for.
    """
    task, of = rows[0]["task"], rows[0]["coverage"]["of"]
    figures, ci95, methods = task_figures(rows)
    scored = sum(row["n"] is not None for row in rows)
    facts = {
        "task": task,
        "n": scored,
        "of": of,
        "coverage": scored / of,
        "figures": figures,
        "ci95": {name: pair and list(pair) for name, pair in ci95.items()},
        "ci95_method": methods,
        "failures": failures(rows),
        "heard": _heard(rows),
        "flags": counted([row["flags"] for row in rows]),
        "decoding": one_label([row["decoding"] for row in rows]),
    }
    return facts | (_judged(task, rows, interval) if SPECS[task].judged else {})


def overall(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of the eight published columns, or as ``reason`` which of them are lacking.

    ``tasks`` are facts of tasks, such as ``run_facts``, by their names in lmms-eval.
    """
    ours = [facts for name, facts in tasks.items() if name == SPECS[facts["task"]].task]
    values = {name: value for facts in ours for name, value in facts["figures"].items()}
    lacking = [name for name in COLUMNS if values.get(name) is None]
    if lacking:
        return {"value": None, "reason": f"there is no figure for {', '.join(lacking)}"}
    return {"value": sum(values[name] for name in COLUMNS) / len(COLUMNS), "reason": None}


def task_figures(
    rows: Rows,
) -> tuple[dict[str, float | None], dict[str, Interval | None], dict[str, str]]:
    """Return the means over the clips with a score, their 95 % intervals, and how these are made.

    A mean is None where no clip has a score, an interval where fewer than two have.
    """
    task, names = rows[0]["task"], figures_of(rows[0]["task"], scale_of(rows[0]))
    scored = [row for row in rows if row["n"] is not None]
    suffix = ESTIMATE if names[0] + ESTIMATE in rows[0] else ""
    figures: dict[str, float | None] = {}
    ci95: dict[str, Interval | None] = {}
    methods = {}
    for name in names:
        values = [row[name + suffix] for row in scored]
        figures[name + suffix], ci95[name + suffix], methods[name + suffix] = None, None, STUDENT
        if values:
            found = figure(task, name, values, estimate=bool(suffix))
            figures[name + suffix], ci95[name + suffix], methods[name + suffix] = found
    return figures, ci95, methods


def figure(
    task: str, name: str, values: Sequence[float], *, estimate: bool
) -> tuple[float, Interval | None, str]:
    """Return the mean of a figure of clips, at least one, its 95 % interval, and whose it is."""
    mean, pair = figure_interval(values)
    if estimate:
        from ugc_tasks.estimate.model import interval

        # The estimate is off in the same way for all clips: their spread does not show it.
        return mean, interval(name, mean, len(values)), ESTIMATED
    if SPECS[task].kind == "choice":
        low, high = share_interval(sum(value == HIGHEST for value in values), len(values))
        return mean, (HIGHEST * low, HIGHEST * high), WILSON
    return mean, pair, STUDENT


def failures(rows: Rows) -> list[dict[str, str]]:
    """Return each clip that failed: ``video_id``, and ``kind`` and ``reason`` of its failure."""
    return [{"video_id": row["video_id"], **row["failure"]} for row in rows if row["failure"]]


def counted(items: Sequence[Sequence[str] | None]) -> dict[str, Any] | None:
    """Count answers with labels, and each label, the commonest first; None without a report."""
    reported = [item for item in items if item is not None]
    if not reported:
        return None
    labels = Counter(shown(label) for item in reported for label in item)
    return {"answers": sum(bool(item) for item in reported), "labels": dict(labels.most_common())}


def one_label(items: Sequence[str | None]) -> str | None:
    """Return the label that all share; of a mixture, all labels; None without any."""
    names = {shown(name) for item in items if item for name in item.split(SEVERAL)}
    return SEVERAL.join(sorted(names - {""})) or None


def _heard(rows: Rows) -> dict[str, Any] | None:
    """Count the clips whose sound reached the model, and why that of others did not."""
    told = [row for row in rows if row["heard"] is not None]
    if not told:
        return None
    why = Counter(
        shown(str((row["generation"] or {}).get("sound_missing") or "no answer"))
        for row in told
        if not row["heard"]
    )
    return {"clips": sum(row["heard"] for row in told), "not": dict(why.most_common())}


def _judged(task: str, rows: Rows, interval: float) -> dict[str, Any]:
    judgments = [each for row in rows for each in row["judge"]["judgments"]]
    ran = {" ".join(filter(None, (j["model"], j["fingerprint"]))) for j in judgments}
    return {
        "judge_label": one_label([row["judge"]["label"] for row in rows]),
        "judge_ran": one_label(sorted(ran)),
        "spent": total_spent(judgments),
        "noise": _noise(task, rows, interval),
        "sanitized": counted([row["sanitized"] for row in rows]),
        "unlike": counted(
            [[row["judge"]["unlike"]] * bool(row["judge"]["unlike"]) for row in rows]
        ),
    }


def _noise(task: str, rows: Rows, interval: float) -> dict[str, Any] | None:
    """Return how noisy the judge is; None where no clip was judged more than once."""
    asked = [row["judge"]["judgments"] for row in rows if len(row["judge"]["judgments"]) > 1]
    if not asked:
        return None
    came = [[each["scores"] for each in clip if each["scores"] is not None] for clip in asked]
    scale = scale_of(rows[0])
    points = points_of(task, scale)
    graded = points == SCALE or scale is not None
    clips = [
        {
            name if task == "caption" else task: [
                s[name] * (points_of(task, scale, name) / points) for s in scores
            ]
            for name in scale or scores[0]
        }
        for scores in came
        if scores
    ]
    return {
        **total_repeats([(len(c), len(a)) for c, a in zip(came, asked, strict=True)]),
        "values": measured(clips, factor=points, points=graded, interval=interval),
    }


def total_spent(judgments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add up what the judgments in the rows cost (``results/rows.py``).

    Returns:
        ``new`` and ``stored``, each with ``judgments``, ``prompt_tokens``, ``completion_tokens``,
        ``usd`` (of those whose price is known; null if there is none) and ``without_price``.
    """
    paid = [each for each in judgments if each["prompt_tokens"] is not None]
    totals = {}
    for name, stored in (("new", False), ("stored", True)):
        these = [each for each in paid if each["stored"] == stored]
        known = [each["usd"] for each in these if each["usd"] is not None]
        totals[name] = {
            "judgments": len(these),
            "prompt_tokens": sum(each["prompt_tokens"] for each in these),
            "completion_tokens": sum(each["completion_tokens"] for each in these),
            "usd": float(sum(known)) if known or not these else None,
            "without_price": len(these) - len(known),
        }
    return totals


def describe_spent(total: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``total_spent`` added up as a line for a person."""
    said = []
    for part, when in ((total["new"], "in this run"), (total["stored"], "in earlier ones")):
        money = "an unknown sum"
        if part["usd"] is not None:
            without = part["without_price"]
            money = f"${part['usd']:.4f}" + (f" and {without} of unknown cost" if without else "")
        tokens = f"{part['prompt_tokens']} + {part['completion_tokens']} tokens"
        said.append(f"{money} for {part['judgments']} judgments ({tokens}) {when}")
    return ", ".join(said)


def mean(items: Sequence[float | None]) -> float | None:
    """Return the mean of the clips that have a score, None without any."""
    values = [item for item in items if item is not None]
    return fmean(values) if values else None
