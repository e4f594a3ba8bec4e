"""What a run comes to, in a few lines for a person; the facts are those of ``run.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import listed, shown
from ugc_tasks.results.reliability import stated
from ugc_tasks.results.rows import ESTIMATE

_MOST_REASONS = 3
_WIDTH = 96
_CENT = 0.01  # US dollars


def paragraph(facts: Mapping[str, Any], folder: Path | None) -> list[str]:
    """Return the lines; ``folder`` is where the files of the run are, None where none were kept."""
    lines = []
    for task, of_task in facts["tasks"].items():
        judge = of_task.get("judge_label")
        head = [task, shown(facts["name"], 60), *([f"judge {shown(judge)}"] if judge else [])]
        lines += ["", "   ".join(head), *(f"  {line}" for line in task_lines(of_task))]
    if whole := facts.get("overall"):
        figure = f"{whole['value']:.1f}" if whole["value"] is not None else f"-   {whole['reason']}"
        lines += ["", f"mean of the eight published columns   {figure}"]
    tail = [lasted(facts["seconds"])] if facts.get("seconds") else []
    return [*lines, "  ".join([*tail, *([f"files: {folder}"] if folder else [])]), ""]


def task_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return a task's figures with their 95 % intervals, what is not in them, and what it cost."""
    figures = [
        _figure(name, value, facts["ci95"][name]) for name, value in facts["figures"].items()
    ]
    parts = [*figures, f"n {facts['n']} of {facts['of']}"]
    if any(name.endswith(ESTIMATE) for name in facts["figures"]):
        parts.append("ESTIMATE: no judge was asked")
    lines = [parts[0]]
    for part in parts[1:]:
        joined = f"{lines[-1]}   {part}"
        lines[-1:] = [joined] if len(joined) <= _WIDTH else [lines[-1], part]
    if failed := not_scored(facts["failures"]):
        lines.append(f"not scored: {failed}")
    said = [sound_used(facts["heard"]), flagged(facts["flags"]), money_spent(facts.get("spent"))]
    if any(said):
        lines.append(" · ".join(filter(None, said)))
    return lines


def _figure(name: str, value: float | None, interval: Any) -> str:
    name = name.removesuffix(ESTIMATE)
    if value is None:
        return f"{name} -"
    return f"{name} {stated(value, interval)}"


def not_scored(failures: list[dict[str, str]]) -> str:
    kinds = Counter(each["kind"] for each in failures)
    words = {
        "judge": "not judged",
        "cut": "cut short by the judge",
        "caption": "without a caption",
        "answer": "without an answer",
        "": "without a score",  # of files that do not say whose failure it was
    }
    said = []
    for kind, count in kinds.items():
        those = [each for each in failures if each["kind"] == kind]
        reasons = Counter(shown(each["reason"], 90) for each in those).most_common(_MOST_REASONS)
        ids = f"{listed([those[0]['video_id']])}: " if count == 1 else ""
        why = "; ".join(f"{r} ({n})" if len(reasons) > 1 else r for r, n in reasons)
        said.append(f"{count} {words.get(kind, kind)} ({ids}{why})")
    return ", ".join(said)


def sound_used(heard: Mapping[str, Any] | None) -> str:
    if heard is None:
        return ""
    others = ", ".join(f"{why} in {count}" for why, count in heard["not"].items())
    return f"sound used in {heard['clips']}" + (f", {others}" if others else "")


def flagged(flags: Mapping[str, Any] | None) -> str:
    labels = flags["labels"] if flags else {}
    words = {
        "token_limit": "cut by the token limit",
        "repetition": "that repeat themselves",
        "fewer_frames": "with fewer frames to fit",
    }
    return ", ".join(f"{count} answers {words.get(f, f)}" for f, count in labels.items())


def money_spent(spent: Mapping[str, Any] | None) -> str:
    if not spent or not (spent["new"]["judgments"] or spent["stored"]["judgments"]):
        return ""
    usd = spent["new"]["usd"]
    money = "at an unknown price" if usd is None else f"${usd:.2f}"
    if usd is not None and 0 < usd < _CENT / 2:
        money = f"under ${_CENT:.2f}"
    new, earlier = spent["new"]["judgments"], spent["stored"]["judgments"]
    return f"{money} for {new} judgment{'s' * (new != 1)}" + (
        f", {earlier} were on disk" if earlier else ""
    )


def lasted(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
