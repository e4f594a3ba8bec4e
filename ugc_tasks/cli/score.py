"""Score a file of saved answers.

The authors' files, lmms-eval's samples files, or any JSON, JSONL or CSV with a clip's id and an
answer in each row.

examples:
  ugc-videocap score caption captions.jsonl --profile offline   a free estimate
  ugc-videocap score caption captions.jsonl --json              GPT-4o; needs OPENAI_API_KEY
  ugc-videocap score caption captions.jsonl --dry-run           what that would cost; no key
  ugc-videocap score tone answers.jsonl --references questions/
  ugc-videocap score ocr answers.jsonl --mode skip
  ugc-videocap score tone answers.csv --answer-field prediction

exit status: 0 every clip of the task was scored (with --allow-missing: every clip of the file), 3
some were not, 2 the input cannot be used; with --dry-run 0 or 2
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import (
    COMPLETE,
    PARTIAL,
    add_bridge,
    add_command,
    both_of,
    bridge_of,
    profile_argument,
)
from ugc_tasks.common.display import complain, listed, say, say_json
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.results.answers import read_answers
from ugc_tasks.results.facts import describe_spent
from ugc_tasks.results.reliability import describe_repeats, table
from ugc_tasks.results.rows import figures_of
from ugc_tasks.results.scoring import MODES, Report, SavedRun, estimate, judge_label, score

if TYPE_CHECKING:
    from ugc_tasks.bridge.restate import Bridge
    from ugc_tasks.results.scores import ScoreFile

PROFILE = profile_argument("paper", "rubric", "offline")
_MOST_REASONS = 5


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "score", run, __doc__)
    references = "folder of annotation files (default: UGC_VIDEOCAP_HOME, else as published)"
    profile = "paper, rubric, offline, or a file of your own (default: UGC_JUDGE_PROFILE, or paper)"
    mode = f"what OCR does with answers without a list of texts (default: {MODES[0]})"
    text = "the field of a row that holds the model's text, where several could"
    missing = "exit with 0 though the file lacks clips of the task"
    parser.add_argument("task", choices=SPECS, metavar="TASK", help=", ".join(SPECS))
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="file of answers")
    parser.add_argument("--references", type=Path, metavar="DIR", help=references)
    parser.add_argument("--profile", type=PROFILE, metavar="PROFILE", help=profile)
    parser.add_argument("--mode", choices=MODES, help=mode)
    parser.add_argument("--answer-field", metavar="NAME", help=text)
    parser.add_argument("--allow-missing", action="store_true", help=missing)
    add_bridge(parser, both=True)
    dry = "say what judging would cost, and ask nothing; needs no key"
    parser.add_argument("--dry-run", action="store_true", help=dry)


def run(arguments: argparse.Namespace) -> int:
    saved = _saved_run(arguments)
    if arguments.dry_run:
        return _dry_run(saved, as_json=arguments.json)
    bridge, both = bridge_of(arguments), both_of(arguments)
    if bridge is not None and saved.task != "caption":
        raise DataError(f"--bridge: a bridge is between judges of captions, not of {saved.task}")
    if bridge is not None:  # before anything is paid
        bridge.check_label(judge_label(saved), "this run")
    report = score(saved)
    complain(*_remarks(report, saved))
    if arguments.json:
        more = {"bridged": _bridged(bridge, report, both)} if bridge else {}
        say_json({**report.as_json(arguments.task), **more})
    else:
        say(*_lines(arguments.task, report))
        if bridge is not None:
            say(bridge.said(_bridged(bridge, report, both)))
    return COMPLETE if report.complete(allow_missing=arguments.allow_missing) else PARTIAL


def _bridged(bridge: Bridge, report: Report, both: ScoreFile | None) -> dict[str, Any] | None:
    names = figures_of("caption")
    scored = [item for item in report.items if item["n"] is not None]
    clips = {item["video_id"]: {name: item[name] for name in names} for item in scored}
    return bridge.restate_clips(clips, both)


def _dry_run(saved: SavedRun, *, as_json: bool) -> int:
    found = estimate(saved)
    if as_json:
        nothing = {"needed": 0, "stored": 0, "to_ask": 0, "usd": 0.0}
        say_json({"task": saved.task, **(found.as_json() if found else nothing)})
    else:
        say(str(found) if found else f"{saved.task}: no judge is asked, so it costs nothing")
    return COMPLETE


def _saved_run(arguments: argparse.Namespace) -> SavedRun:
    """Return what the arguments name; raises ``DataError`` where it cannot be used."""
    spec, folder = SPECS[arguments.task], arguments.references
    if arguments.profile and not spec.judged:
        raise DataError(f"--profile: no judge is asked about {spec.name}; leave it out")
    if arguments.mode and spec.kind != "ocr":
        raise DataError(f"--mode: {spec.name} has no modes; leave it out")
    if folder is not None and not folder.is_dir():
        raise DataError(f"--references: {folder} is not a folder")
    environ = dict(os.environ)
    if arguments.profile:
        environ["UGC_JUDGE_PROFILE"] = arguments.profile
    return SavedRun(
        task=spec.name,
        answers=read_answers(arguments.answers, arguments.answer_field),
        home=Home.from_env(environ),
        environ=environ,
        references=folder,
        mode=arguments.mode or MODES[0],
    )


def _remarks(report: Report, saved: SavedRun) -> list[str]:
    groups = {
        "clips of the task have no answer": report.pairing.missing,
        **_unknown(report, saved),
        "clips could not be scored": [i["video_id"] for i in report.items if _failure(i)],
    }
    reasons = sorted({_failure(item) for item in report.items} - {""})
    return [
        *(f"{len(ids)} {what}: {listed(ids)}" for what, ids in groups.items() if ids),
        *(f"reason: {reason}" for reason in reasons[:_MOST_REASONS]),
        *(f"note: {note}" for note in report.notes),
    ]


def _unknown(report: Report, saved: SavedRun) -> dict[str, list[str]]:
    """Return the answers that do not count, by what their ids are."""
    files = saved.known_clips() if report.pairing.unknown else {}
    known = set().union(*files.values())
    strange = "answers are to what is not an id of this benchmark"
    if SPECS["caption"].annotations not in files:
        strange += ", or of a clip that this task does not ask about"
    groups: dict[str, list[str]] = {
        "answers are to clips without a public reference": [],
        "answers are to clips that this task does not ask about": [],
        strange: [],
    }
    private, unasked, odd = groups.values()
    for video_id in report.pairing.unknown:
        group = private if video_id in NO_REFERENCE else unasked if video_id in known else odd
        group.append(video_id)
    return {f"{what}, and do not count": ids for what, ids in groups.items()}


def _failure(item: Mapping[str, Any]) -> str:
    return str(item["failure"]["reason"]) if item["failure"] else ""


def _lines(task: str, report: Report) -> list[str]:
    lines = [f"{task}: n {report.n}, failed {report.failed}, missing {len(report.pairing.missing)}"]
    if judge := report.facts.get("judge"):
        lines.append(f"judge: {judge['label']}")
    for name, value in report.metrics.items():
        figure = "-" if value is None else f"{value:.2f}"
        if interval := report.ci95.get(name):
            figure += f"  [{interval[0]:.2f}, {interval[1]:.2f}]"
        lines.append(f"{name:<20} {figure}")
    if "spent" in report.facts and not report.estimate:
        lines.append(f"{'spent':<20} {describe_spent(report.facts['spent'])}")
    if noise := report.facts.get("noise"):
        lines.append(f"{'judge_repeats':<20} {describe_repeats(noise)}")
        lines += ["", *table(noise["values"])] if noise["values"] else []
    return lines
