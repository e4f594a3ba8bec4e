"""Find out whether the configured judge is fit before a long run.

18 captions of known quality are judged, as a run would: perfect, good, partial, of another clip,
saying nothing, in another language, and with an order to the judge in it. Nothing is stored. The
answer says whether the judge ranks them, can be read, is stable and withstands orders.

examples:
  OPENAI_API_KEY=... ugc-videocap judge-check                 the published judge; under 5 cents
  ugc-videocap judge-check --profile rubric --model gpt-4o-mini
  ugc-videocap judge-check --profile rubric --model local:ORG/NAME@REVISION
  OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none \\
    ugc-videocap judge-check --profile rubric --model my-model --json

exit status: 0 the judge is fit, 1 it is not, 2 it could not be asked
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from ugc_tasks.cli import COMPLETE, NOT_FIT, add_command, profile_argument
from ugc_tasks.common.display import say, say_json
from ugc_tasks.data.home import Home

PROFILE = profile_argument("paper", "rubric")


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "judge-check", run, __doc__)
    profile = "paper, rubric, or a file of your own (default: UGC_JUDGE_PROFILE, else paper)"
    parser.add_argument("--profile", type=PROFILE, metavar="PROFILE", help=profile)
    parser.add_argument("--model", help="the judge's model (default: UGC_JUDGE_MODEL)")


def run(arguments: argparse.Namespace) -> int:
    from ugc_tasks.judge.check import check_judge

    environ = dict(os.environ)
    if arguments.profile:
        environ["UGC_JUDGE_PROFILE"] = arguments.profile
    if arguments.model:
        environ["UGC_JUDGE_MODEL"] = arguments.model
    check = check_judge(environ, Home.from_env(environ))
    if arguments.json:
        say_json(check)
    else:
        say(*_lines(check))
    return COMPLETE if check["fit"] else NOT_FIT


def _lines(check: dict[str, Any]) -> list[str]:
    cost = "" if check["usd"] is None else f", {check['usd']:.4f} US dollars"
    sent = ", ".join(f"{name} {value}" for name, value in check["judge"]["parameters"].items())
    thought = f", {check['reasoning_tokens']} of them thinking" * bool(check["reasoning_tokens"])
    lines = [f"judge: {check['judge']['label']}", f"sent with each request: {sent or '-'}", ""]
    for kind, mean in check["means"].items():
        lines.append(f"  {kind.replace('_', ' '):<16} {'-' if mean is None else f'{mean:.2f}'}")
    lines.append("")
    for found in check["findings"]:
        lines.append(f"{'yes' if found['holds'] else 'NO '}  {found['name']}: {found['said']}")
    return [
        *lines,
        *(f"note: {remark}" for remark in check["remarks"]),
        f"asked {check['asked']} times: {check['prompt_tokens']} prompt tokens, "
        f"{check['completion_tokens']} completion tokens{thought}{cost}",
        "",
        f"verdict: {'fit' if check['fit'] else 'NOT fit'} for a run",
    ]
