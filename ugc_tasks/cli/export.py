"""Write a bundle as others read it, and offer it to them.

Formats: the row of the published table (markdown, latex, csv, table), eval-results
(.eval_results/ugc-videocap.yaml of a model's repository on the Hugging Face Hub), eval-yaml (with
which the dataset's owners register a benchmark), every-eval-ever (an aggregate record and a line a
clip). With --push, the files are shown; a pull request is opened when you say so.

examples:
  ugc-videocap export bundle --format latex
  ugc-videocap export bundle --format eval-results -o my-model
  ugc-videocap export bundle --format eval-results --push me/my-model
  ugc-videocap export bundle --format every-eval-ever --organization "My lab" -o records

exit status: 0 done (or shown, with --push and no answer), 2 the bundle cannot be used or the Hub
does not take it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ugc_tasks.cli import COMPLETE, add_command
from ugc_tasks.common.display import complain, say, say_json, shown_line
from ugc_tasks.common.files import DataError
from ugc_tasks.results.run_files import BUNDLE, read_run
from ugc_tasks.results.tables import FORMATS, render

_FILES = ("eval-results", "eval-yaml", "every-eval-ever")
_RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
_SHOWN_LINES = 40


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "export", run, __doc__)
    output = "folder for the files (default: print them)"
    yes = "open the pull request without asking"
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `submit` has written")
    parser.add_argument("--format", choices=(*FORMATS, *_FILES), default="markdown")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=output)
    parser.add_argument("--push", metavar="REPO", help="offer the files to OWNER/NAME on the Hub")
    parser.add_argument("--yes", action="store_true", help=yes)
    parser.add_argument("--organization", default="unknown", help="who evaluated")
    parser.add_argument("--relationship", choices=_RELATIONSHIPS, default="other")


def run(arguments: argparse.Namespace) -> int:
    files = _files(arguments)
    if arguments.push:
        _offer(arguments.push, files, sure=arguments.yes)
    elif arguments.output:
        for name, text in files.items():
            target = arguments.output / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
            complain(f"{target}: written")
    elif arguments.json:
        say_json(files)
    else:
        for name, text in files.items():
            if len(files) > 1:
                complain(f"{name}:")
            say(*text.rstrip("\n").split("\n"))
    return COMPLETE


def _files(arguments: argparse.Namespace) -> Mapping[str, str]:
    from ugc_tasks.submit import exports

    form = arguments.format
    if form == "eval-yaml":
        return {exports.EVAL_YAML: exports.eval_yaml()}
    if not (arguments.bundle / BUNDLE).is_file():
        raise DataError(f"{arguments.bundle}: is no bundle: make one with `ugc-videocap submit`")
    found = read_run(arguments.bundle)
    if form == "eval-results":
        return {exports.EVAL_RESULTS: exports.eval_results(found.facts)}
    if form == "every-eval-ever":
        from ugc_tasks.submit.every_eval_ever import records

        return records(
            found.facts,
            found.rows,
            organization=arguments.organization,
            relationship=arguments.relationship,
        )
    endings = {"markdown": "md", "latex": "tex", "csv": "csv", "table": "txt"}
    lines = render(exports.table_rows([found.facts]), form)
    return {f"row.{endings[form]}": "\n".join(lines) + "\n"}


def _offer(repository: str, files: Mapping[str, str], *, sure: bool) -> None:
    """Show what would be pushed, and push it if the user says so."""
    for name, text in files.items():
        lines = text.rstrip("\n").split("\n")
        say(f"{repository}: {name}, {len(text.encode())} bytes", "")
        say(*(f"  {shown_line(line)}" for line in lines[:_SHOWN_LINES]))
        if len(lines) > _SHOWN_LINES:
            say(f"  and {len(lines) - _SHOWN_LINES} more lines")
        say("")
    if not sure and sys.stdin.isatty():
        complain(f"open a pull request at {repository} with this? [y/N]")
        sure = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not sure:
        complain("nothing was sent; --yes sends it")
        return
    from ugc_tasks.submit.push import push

    address = push(repository, files, message="Results on UGC-VideoCap by ugc-videocap")
    complain(f"sent: {address}")
