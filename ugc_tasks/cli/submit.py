"""Put a run into a bundle that others can check: rows, figures, judge, versions, digests.

RUN is a folder of lmms-eval's results (with --log_samples), or what `score --json` prints. The same
run gives the same bytes. Nothing is sent anywhere.

examples:
  ugc-videocap submit results/my-model -o bundle
  ugc-videocap score caption captions.jsonl --json > scores.json
  ugc-videocap submit scores.json -o bundle --name my-lab/my-model

exit status: 0 the bundle is written and its run is complete, 3 it lacks clips, 2 the run cannot be
used
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ugc_tasks.cli import COMPLETE, PARTIAL, add_command
from ugc_tasks.common.display import complain, say, say_json
from ugc_tasks.common.files import DataError
from ugc_tasks.results.run_files import read_run


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "submit", run, __doc__)
    name = "what the model is called in tables (default: as the run has it)"
    parser.add_argument("run_path", type=Path, metavar="RUN", help="the run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to be made")
    parser.add_argument("--name", help=name)


def run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from ugc_tasks.submit.bundle import write_bundle
    from ugc_tasks.submit.exports import table_rows

    found = read_run(arguments.run_path)
    if arguments.name is not None:
        if not arguments.name.strip():
            raise DataError("--name: is blank: give the model's name")
        found = replace(found, facts={**found.facts, "name": arguments.name.strip()})
    bundle = write_bundle(found, arguments.output)
    lacking = [task for task, facts in bundle["tasks"].items() if not facts["complete"]]
    if arguments.json:
        say_json(bundle)
    else:
        from ugc_tasks.results.tables import render

        say(*render(table_rows([bundle]), "table"))
    for task in lacking:
        facts = bundle["tasks"][task]
        complain(f"{task}: {facts['of'] - facts['n']} of {facts['of']} clips have no score")
    complain(f"{arguments.output}: written; check it with: ugc-videocap verify {arguments.output}")
    return PARTIAL if lacking else COMPLETE
