"""``ugc-videocap score``: saved answers in, figures out.

Text for a person, or with ``--json`` one object on stdout; everything else goes to stderr. Exit
status 0 when every clip of the task was scored (``--allow-missing``: every clip of the file), 3
when some were not, 2 for input that is unusable.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.common.display import complain, say, say_json, shown
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import NO_REFERENCE
from ugc_tasks.judge.cost import describe_spent
from ugc_tasks.results.reliability import describe_repeats, table
from ugc_tasks.results.scoring import SCORERS, Report, Request, score

COMPLETE, PARTIAL = 0, 3

_PROFILES = ("paper", "rubric", "offline")
_NAMED = 5
_EXAMPLES = """examples:
  ugc-videocap score caption captions.jsonl --profile offline   a free estimate
  ugc-videocap score caption captions.jsonl --json              GPT-4o; needs OPENAI_API_KEY
  ugc-videocap score tone answers.jsonl --references questions/
  ugc-videocap score ocr answers.jsonl --mode skip
  ugc-videocap score tone answers.csv --answer-field prediction
"""


def add_parsers(subparsers: Any) -> None:
    """Add the command to the console script's ``subparsers``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "score",
        help="score a file of saved answers",
        description="Score a file of saved answers: the authors' files, lmms-eval's samples files, "
        "or any JSON, JSONL or CSV with a clip's id and an answer in each row.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=SCORERS, metavar="TASK", help=", ".join(SCORERS))
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="file of answers")
    parser.add_argument(
        "--references",
        type=Path,
        metavar="DIR",
        help="folder of annotation files as published (default: UGC_VIDEOCAP_HOME, else the Hub)",
    )
    parser.add_argument(
        "--profile",
        choices=_PROFILES,
        help="the judge, for judged tasks (default: UGC_JUDGE_PROFILE, else paper)",
    )
    parser.add_argument(
        "--mode",
        choices=sorted({mode for scorer in SCORERS.values() for mode in scorer.modes}),
        help="what OCR does with answers without a list of texts (default: score)",
    )
    parser.add_argument(
        "--answer-field",
        metavar="NAME",
        help="the field of a row that holds the model's text, where several could",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="exit with 0 though the file lacks clips of the task",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score as the arguments say and return the exit status; errors are raised."""
    request = _request(arguments)
    report = score(request)
    complain(*_remarks(report, request))
    if arguments.json:
        say_json(report.as_json(arguments.task))
    else:
        say(*_lines(arguments.task, report))
    whole = report.answers_complete if arguments.allow_missing else report.complete
    return COMPLETE if whole else PARTIAL


def _request(arguments: argparse.Namespace) -> Request:
    scorer = SCORERS[arguments.task]
    if arguments.profile and not scorer.judged:
        raise DataError(f"--profile: no judge is asked about {arguments.task}; leave it out")
    if arguments.mode and arguments.mode not in scorer.modes:
        raise DataError(f"--mode: {arguments.task} has no modes; leave it out")
    return request_of(arguments, arguments.mode or (scorer.modes[0] if scorer.modes else ""))


def request_of(arguments: argparse.Namespace, mode: str = "") -> Request:
    """Return what is asked for by ``task``, ``answers``, ``references`` and ``profile``.

    Raises ``DataError`` for a file or folder that cannot be used.
    """
    from ugc_tasks.results.answers import read_answers

    if arguments.references is not None and not arguments.references.is_dir():
        raise DataError(f"--references: {arguments.references} is not a folder")
    environ = dict(os.environ)
    if arguments.profile:
        environ["UGC_JUDGE_PROFILE"] = arguments.profile
    return Request(
        task=arguments.task,
        answers=read_answers(arguments.answers, arguments.answer_field),
        home=Home.from_env(environ),
        environ=environ,
        references=arguments.references,
        mode=mode,
    )


def _remarks(report: Report, request: Request) -> list[str]:
    """Return what stderr says: who is missing, who is unknown, who failed, and the notes."""
    failed = tuple(i["video_id"] for i in report.items if _why_failed(i))
    remarks = [
        f"{len(ids)} {what}: {', '.join(shown(i, 80) for i in ids[:_NAMED])}"
        + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")
        for ids, what in (
            (report.missing, "clips of the task have no answer"),
            *_unknown(report, request),
            (failed, "clips could not be scored"),
        )
        if ids
    ]
    reasons = sorted({_why_failed(item) for item in report.items} - {""})
    remarks += [f"reason: {reason}" for reason in reasons[:_NAMED]]
    return [*remarks, *(f"note: {note}" for note in report.notes)]


def _unknown(report: Report, request: Request) -> list[tuple[tuple[str, ...], str]]:
    """Return the answers that do not count, by what their ids are."""
    if not report.unknown:
        return []
    no_reference = tuple(i for i in report.unknown if i in NO_REFERENCE)
    files = request.at_hand()
    known = set().union(*files.values())
    elsewhere = tuple(i for i in report.unknown if i in known and i not in NO_REFERENCE)
    strange = tuple(i for i in report.unknown if i not in known and i not in NO_REFERENCE)
    what = "answers are to what is not an id of this benchmark"
    if SPECS[request.task].asks_some and SPECS["caption"].annotations not in files:
        what += ", or of a clip that this task does not ask about"
    return [
        (no_reference, "answers are to clips without a public reference, and do not count"),
        (elsewhere, "answers are to clips that this task does not ask about, and do not count"),
        (strange, f"{what}, and do not count"),
    ]


def _why_failed(item: Any) -> str:
    keys = ("failure", "caption_failed", "answer_failed", "judge_failed")
    return next((str(item[key]) for key in keys if item.get(key)), "")


def _lines(task: str, report: Report) -> list[str]:
    lines = [f"{task}: n {report.n}, failed {report.failed}, missing {len(report.missing)}"]
    judge = report.facts.get("judge")
    if judge:
        lines.append(f"judge: {judge['label']}")
    for name, value in report.metrics.items():
        figure = "-" if value is None else f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"
        interval = report.ci95.get(name)
        if interval is not None:
            places = 4 if abs(interval[1]) <= 1 else 2
            figure += f"  [{interval[0]:.{places}f}, {interval[1]:.{places}f}]"
        lines.append(f"{name:<20} {figure}")
    if "spent" in report.facts and not report.estimate:
        lines.append(f"{'spent':<20} {describe_spent(report.facts['spent'])}")
    noise = report.facts.get("noise")
    if noise:
        lines.append(f"{'judge_repeats':<20} {describe_repeats(noise)}")
        lines += ["", *table(noise["values"])] if noise["values"] else []
    return lines
