"""Whether what a bundle states follows from its rows, and its rows from their answers.

Nothing that is stated is believed. From the bottom to the top: a judge's reply is read again; the
request that it answered is made again from the row's answer and reference, the prompt and the
endpoint, and has to have the digest that was stored with the reply; an answer without a judge is
scored again; the row's figures, then the task's figures, counts and intervals are computed again;
references and clips have to be those of the benchmark, whose annotations are known by digest.

What this cannot show: that the model gave the answers, and that the judge gave the replies.
Whoever invents both, with all digests, is not found out. Repeating a sample of them is the way.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import SPECS, questions_of
from ugc_tasks.choice.accuracy import choice_row
from ugc_tasks.common.display import listed, shown
from ugc_tasks.common.files import DataError, open_file, read_values
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import annotation, is_published
from ugc_tasks.data.questions import Questions
from ugc_tasks.estimate.model import estimate
from ugc_tasks.judge.parsing import ReplyError, ResponseSchema, parse_reply, schema_of
from ugc_tasks.judge.protocol.profiles import (
    PAID_PROFILES,
    QUESTIONS,
    ChatProfile,
    judgment_key,
    load_profile,
)
from ugc_tasks.judge.types import Scores
from ugc_tasks.ocr.overlap import ocr_row
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.rows import ESTIMATE, figures_of, points_of, scale_of
from ugc_tasks.results.run_files import BUNDLE, read_rows, rows_file
from ugc_tasks.submit.bundle import manifest, schema

_MOST_SHOWN = 5
Row = Mapping[str, Any]


@dataclass
class Verification:
    """What was found.

    Attributes:
        problems: what does not hold, a sentence each; empty where all that was checked holds.
        unchecked: what could not be checked, and why.
        notes: what a reader of the outcome must know.
        rows: how many rows were looked at.
    """

    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0

    def collect(self, where: str, found: Iterator[tuple[str, str]]) -> None:
        """Add problems, given as clip and what is wrong with it: the same of many clips is one."""
        by_kind: dict[str, list[str]] = {}
        for video_id, said in found:
            by_kind.setdefault(said, []).append(video_id)
        for said, clips in by_kind.items():
            more = f" and {len(clips) - _MOST_SHOWN} more" if len(clips) > _MOST_SHOWN else ""
            named = ", ".join(shown(clip, 60) for clip in clips[:_MOST_SHOWN])
            self.problems.append(f"{where}: {said} ({named}{more})")


@dataclass(frozen=True)
class _Task:
    """A task of a bundle: its short name, the file of its rows, these, and what is stated."""

    name: str
    where: str
    rows: Sequence[Row]
    stated: Mapping[str, Any]


def verify(folder: Path, home: Home) -> Verification:
    """Check a bundle; raises ``DataError`` where it is none.

    Args:
        folder: the bundle.
        home: where annotations and prompts are, or are brought to.
    """
    from jsonschema import Draft202012Validator

    if not (folder / BUNDLE).is_file():
        raise DataError(f"{folder}: is no bundle: there is no {BUNDLE} in it")
    stated = read_values(folder / BUNDLE)
    result = Verification()
    for error in list(Draft202012Validator(schema()).iter_errors(stated))[:_MOST_SHOWN]:
        place = "/".join(map(str, error.absolute_path)) or "the whole"
        result.problems.append(f"{BUNDLE}: {shown(place, 100)}: {shown(error.message, 200)}")
    if result.problems:
        return result  # its parts are not where they are looked for
    tasks = {}
    for task, facts in stated["tasks"].items():
        if (rows := _rows(folder, task, facts["task"], result)) is not None:
            tasks[task] = _Task(facts["task"], rows_file(task), rows, facts)
    _check_files(folder, stated, result)
    for each in tasks.values():
        _check_task(each, home, result, limited=stated.get("limit") is not None)
    if len(tasks) == len(stated["tasks"]):
        _check_facts(stated, {task: each.rows for task, each in tasks.items()}, result)
    return result


def _rows(folder: Path, task: str, name: str, result: Verification) -> list[dict[str, Any]] | None:
    """Return the rows of a task, None where one is not as it has to be."""
    from jsonschema import Draft202012Validator

    definitions = schema()["$defs"]
    validator = Draft202012Validator({**definitions["row"], "$defs": definitions})
    try:
        rows = read_rows(folder / rows_file(task))
    except DataError as error:
        result.problems.append(str(error).replace(f"{folder}/", ""))
        return None
    if rows[0]["task"] != name:
        result.problems.append(f"{rows_file(task)}: has rows of the task {rows[0]['task']}")
        return None

    def wrong() -> Iterator[tuple[str, str]]:
        for row in rows:
            if (error := next(validator.iter_errors(row), None)) is not None:
                place = "/".join(map(str, error.absolute_path))
                yield row["video_id"], f"{place}: {shown(error.message, 100)}"

    before = len(result.problems)
    result.rows += len(rows)
    # Each of these takes for granted what those before it look for.
    for found in (wrong(), _lacking(name, rows), _inconsistent(name, rows)):
        result.collect(rows_file(task), found)
        if len(result.problems) > before:
            return None
    return rows


def _check_files(folder: Path, stated: Mapping[str, Any], result: Verification) -> None:
    wanted = {rows_file(task) for task in stated["tasks"]}
    listed = stated["files"]
    for name in sorted(wanted | set(listed)):
        if name not in listed:
            result.problems.append(f"{BUNDLE}: the digest of {name} is not stated")
        elif name not in wanted:
            result.problems.append(f"{BUNDLE}: {name} is of no task that it states")
        elif (folder / name).is_file():
            with open_file(folder / name) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != listed[name]:
                    result.problems.append(f"{name}: its digest is not the stated one")


def _check_facts(
    stated: Mapping[str, Any], rows: Mapping[str, Sequence[Row]], result: Verification
) -> None:
    """Compute everything in ``bundle.json`` that follows from the rows, and compare."""
    found = manifest(stated, rows, stated["files"])
    for task, facts in found["tasks"].items():
        own = stated["tasks"][task]
        for key, value in facts.items():
            if not _alike(own.get(key), value):
                result.problems.append(
                    f"{BUNDLE}: {task}: {key} is stated as {_brief(own.get(key))}, the rows give "
                    f"{_brief(value)}"
                )
    for key in ("overall", "overall_lacks"):
        if not _alike(stated[key], found[key]):
            result.problems.append(f"{BUNDLE}: {key} does not follow from the tasks' figures")


def _check_task(task: _Task, home: Home, result: Verification, *, limited: bool) -> None:
    """Check the rows of a task against the benchmark, the judge's replies and the scorer."""
    name, where, rows, stated = task.name, task.where, task.rows, task.stated
    of = {row["coverage"]["of"] for row in rows}
    if len(of) > 1:
        result.problems.append(f"{where}: its rows are of runs of {_brief(sorted(of))} clips")
    several = run_facts(rows)
    for key in ("decoding", "judge_label"):
        if " + " in str(several.get(key) or ""):
            result.problems.append(f"{where}: its rows are of several runs ({key}: {several[key]})")
    questions = _questions(task, home, result)
    if questions is not None:
        result.collect(where, _unlike_benchmark(rows, questions))
        seen = {row["video_id"] for row in rows} | set(stated.get("clips_missing", ()))
        dropped = [clip for clip in questions.references if clip not in seen]
        if dropped and not limited:
            result.problems.append(
                f"{where}: {len(dropped)} clips of the task have no row and are not stated as "
                f"missing ({listed(dropped)})"
            )
        if of != {len(questions.references)}:
            result.problems.append(
                f"{where}: says that the task has {_brief(sorted(of))} clips; it has "
                f"{len(questions.references)}"
            )
    if SPECS[name].judged:
        _check_judge(task, home, result)
    elif questions is not None:
        result.collect(where, _scored_otherwise(name, rows, questions))


def _questions(task: _Task, home: Home, result: Verification) -> Questions | None:
    """Return the questions that are here, or as published; None where they cannot be had."""
    name, stated = task.name, task.stated
    try:
        found = annotation(SPECS[name].annotations, home)
        questions = questions_of(SPECS[name], found.path)
    except DataError as error:
        result.unchecked.append(f"references and clips of {name}: {error}")
        return None
    if not is_published(found.path):
        result.notes.append(
            f"{name} was checked with {found.path}, which is not the published file"
        )
    if "annotations_sha256" not in stated:
        result.unchecked.append(f"which annotations {name} was scored with: that is not stated")
    elif stated["annotations_sha256"] != questions.sha256:
        result.problems.append(
            f"{task.where}: was scored with other annotations than {found.source}"
        )
    return questions


def _unlike_benchmark(rows: Sequence[Row], questions: Questions) -> Iterator[tuple[str, str]]:
    for row in rows:
        reference = questions.references.get(row["video_id"])
        if reference is None:
            yield row["video_id"], "is no clip of the task"
        elif row["reference"] != reference:
            yield row["video_id"], "the reference is not the benchmark's"


_OF_KIND = {
    "text": ("judge", "sanitized"),
    "choice": ("label", "chosen", "unanswered"),
    "ocr": ("mode", "skipped"),
}


def _lacking(name: str, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield rows without what every row of the task has."""
    scale = scale_of(rows[0])
    plain = figures_of(name, scale)
    estimates = tuple(figure + ESTIMATE for figure in plain)
    values = set(scale or QUESTIONS[name].schema.names) if SPECS[name].judged else set()
    figures = next((names for names in (plain, estimates) if names[0] in rows[0]), plain)
    for row in rows:
        lacking = [key for key in (*figures, *_OF_KIND[SPECS[name].kind]) if key not in row]
        if lacking:
            yield row["video_id"], f"has no {lacking[0]!r}"
        elif isinstance(row["reference"], list) != (SPECS[name].kind == "ocr"):
            yield row["video_id"], "has a reference of another kind than the task's"
        elif any(
            each["scores"] is not None and set(each["scores"]) != values
            for each in row.get("judge", {}).get("judgments", ())
        ):
            yield row["video_id"], "has a judgment with other scores than the task's"


def _inconsistent(name: str, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield rows whose parts contradict each other."""
    for row in rows:
        figures = _figures(name, row)
        scored = None not in figures
        if not scored and any(value is not None for value in figures):
            yield row["video_id"], "has a part of its figures"
        elif scored != (row["n"] is not None) or scored != row["coverage"]["scored"]:
            yield row["video_id"], "is counted otherwise than its figures say"
        elif scored and row["failure"] is not None:
            yield row["video_id"], "has a score and a failure"
        elif not scored and row["failure"] is None and not row.get("skipped"):
            yield row["video_id"], "has neither a score nor a failure"
        elif name == "caption" and scored and not math.isclose(fmean(figures[:-1]), figures[-1]):
            yield row["video_id"], "the average is not that of its dimensions"
        elif scored and not _score_fits(row, figures[-1]):
            yield row["video_id"], "'score' is not the figure on 0-1"


def _figures(name: str, row: Row) -> list[Any]:
    names = figures_of(name, scale_of(row))
    plain = [row.get(figure) for figure in names]
    estimates = [row.get(figure + ESTIMATE) for figure in names]
    return estimates if any(value is not None for value in estimates) else plain


def _score_fits(row: Row, figure: float) -> bool:
    if row["score"] is None:
        return figures_of(row["task"], scale_of(row))[0] + ESTIMATE in row
    return math.isclose(row["score"], figure / 100, abs_tol=1e-12)


def _scored_otherwise(
    name: str, rows: Sequence[Row], questions: Questions
) -> Iterator[tuple[str, str]]:
    """Yield rows of a task without a judge whose answer has another score."""
    for row in rows:
        if row["prediction"] is None or row["video_id"] not in questions.references:
            continue
        video_id, answer = row["video_id"], ModelAnswer(row["prediction"])
        more = {"clip": None, "wanted": row["coverage"]["of"]}
        if SPECS[name].kind == "choice":
            label, options = questions.references[video_id], questions.options[video_id]
            again = choice_row(name, video_id, answer, label, options, **more)
        else:
            mode = row.get("mode", "score")
            again = ocr_row(video_id, answer, questions.references[video_id], mode, **more)
        if not _alike(again[name], row[name]):
            yield video_id, "the answer has another score than is stated"


# ---- judged tasks ----


def _check_judge(task: _Task, home: Home, result: Verification) -> None:
    name, where, rows, told = task.name, task.where, task.rows, task.stated.get("judge") or {}
    labels = {row.get("judge", {}).get("label") for row in rows}
    if labels != {told.get("label")}:
        result.problems.append(
            f"{where}: was judged by {_brief(sorted(map(str, labels)))}, stated is "
            f"{_brief(told.get('label'))}"
        )
    if told.get("estimate"):
        result.collect(where, _estimated_otherwise(rows))
        return
    scale = scale_of(rows[0])
    if any(scale_of(row) != scale for row in rows) or scale != told.get("scale"):
        result.problems.append(f"{where}: the judge's scale is not the same throughout")
        return
    read = schema_of(scale) if scale else QUESTIONS[name].schema
    result.collect(where, _judged_otherwise(name, rows, read))
    try:
        remake = _requests(name, told, home)
    except DataError as error:
        result.unchecked.append(f"which answers of {name} the judge was shown: {error}")
        return
    result.collect(where, _asked_otherwise(rows, remake))


def _requests(name: str, told: Mapping[str, Any], home: Home) -> Callable[[Row, int], str]:
    """Return the function from a row, and the number of a judgment, to the request's digest.

    Raises ``DataError`` where the prompt is not known or cannot be had.
    """
    if told.get("profile") not in PAID_PROFILES or not isinstance(told.get("model"), str):
        raise DataError(f"the judge profile {_brief(told.get('profile'))} is not ours")
    profile = load_profile(
        told["profile"], home=home.root, cache=home.cache, model=told["model"], question=name
    )
    if not isinstance(profile, ChatProfile) or profile.prompt_sha256 != told.get("prompt_sha256"):
        raise DataError("this version of ugc-videocap has other prompts than the run had")
    sent = told.get("parameters", profile.parameters)
    if not isinstance(sent, dict) or not sent.items() <= profile.parameters.items():
        raise DataError("the run sent other parameters than the profile has")
    # What is lacking of them, the model does not take (``judge.judges.accepted``).
    profile = replace(profile, parameters=sent)

    def digest(row: Row, repeat: int) -> str:
        request = profile.request(row["video_id"], row["prediction"], row["reference"])
        return judgment_key(str(told.get("endpoint")), request, name, repeat)

    return digest


def _judged_otherwise(
    name: str, rows: Sequence[Row], read: ResponseSchema
) -> Iterator[tuple[str, str]]:
    """Yield rows whose figures are not what the judge's replies say."""
    for row in rows:
        said: list[Scores] = []
        for judgment in row["judge"]["judgments"]:
            if judgment["scores"] is not None:
                try:
                    said.append(parse_reply(judgment["reply"] or "", read))
                except ReplyError:
                    said.append({})
                if said[-1] != judgment["scores"]:
                    yield row["video_id"], "the judge's reply has other scores than are stated"
                    break
        else:
            scale = scale_of(row)
            means = [
                points_of(name, scale, v) * fmean(s[v] for s in said) for v in read.names if said
            ]
            figures = _figures(name, row)
            own = figures[: len(read.names)] if said else [v for v in figures if v is not None]
            if not _alike(own, means):
                yield row["video_id"], "the figures are not those of the judge's replies"


def _asked_otherwise(
    rows: Sequence[Row], digest: Callable[[Row, int], str]
) -> Iterator[tuple[str, str]]:
    for row in rows:
        for repeat, judgment in enumerate(row["judge"]["judgments"]):
            if judgment["scores"] is not None and (
                row["prediction"] is None or judgment["request_sha256"] != digest(row, repeat)
            ):
                yield row["video_id"], "the judge was asked about another answer, or otherwise"
                break


def _estimated_otherwise(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row["n"] is None or row["prediction"] is None:
            continue
        scores = estimate(row["prediction"], row["reference"])
        values = [score * points_of("caption") for score in scores.values()]
        if not _alike(_figures("caption", row), [*values, fmean(values)]):
            yield row["video_id"], "the answer has another estimate than is stated"


def _alike(stated: Any, found: Any) -> bool:
    """Tell whether two JSON values are the same, floats up to their last digits."""
    if isinstance(stated, bool) or isinstance(found, bool):
        return stated is found
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return math.isclose(stated, found, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(stated, dict) and isinstance(found, dict):
        return stated.keys() == found.keys() and all(_alike(stated[k], found[k]) for k in found)
    if isinstance(stated, list) and isinstance(found, list):
        return len(stated) == len(found) and all(map(_alike, stated, found))
    return bool(stated == found)


def _brief(value: Any) -> str:
    if isinstance(value, list) and value and not isinstance(value[0], dict):
        return ", ".join(map(str, value[:_MOST_SHOWN]))
    if isinstance(value, list | dict):
        return f"{len(value)} entries" if isinstance(value, list) else shown(value, 120)
    return shown(value, 120)
