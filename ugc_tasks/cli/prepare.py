"""``ugc-videocap prepare`` and ``ugc-videocap status``: arguments in, one report out."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import COMPLETE, INTERRUPTED, PARTIAL, add_command
from ugc_tasks.common.display import complain, say, say_json, shown
from ugc_tasks.data.home import Home, folder_named

if TYPE_CHECKING:
    from ugc_tasks.data.prepare import Preparation

_STATES = ("present", "gone", "broken", "missing")
_NAMED = 10
_MOST_WORKERS = 64
_CODES = """\
exit code: 0 all is there; 2 bad input; 3 something is missing, and the report says what;
130 stopped by Ctrl-C. The report goes to stdout, all else to stderr.
"""
_PREPARE = f"""Get annotations, prompts and clips.

Annotations and the official prompts come from the dataset and the authors' repository at pinned
commits and are checked by digest; clips come from the links in the dataset, by yt-dlp, and are
checked by decoding. Run it again to go on where it stopped: what is there is not asked for, nor
is a link that was found dead (but see --retry).

examples:
  ugc-videocap prepare                              everything, into the cache folder
  ugc-videocap prepare --home data --limit 20       the first 20 clips, into a folder of your own
  ugc-videocap prepare --map links.csv              links of your own
  ugc-videocap prepare --from-archive clips.zip     clips that you have already

{_CODES}"""
_STATUS = f"""Say what of the data is there.

Which annotations, prompts and clips, and which tasks can run in full. Nothing is asked of the
network.

examples:
  ugc-videocap status
  ugc-videocap status --home data --json

{_CODES}"""


def add_parsers(subparsers: Any) -> None:
    links = "take links from a CSV file with the columns video_id and url"
    clips = "take clips named <video_id>.mp4 from a zip or tar file instead of downloading them"
    home = "folder of annotations and prompts (default: UGC_VIDEOCAP_HOME, else the cache)"
    videos = "folder of clips (default: UGC_VIDEOCAP_VIDEOS, else `videos` in the home)"
    first, at_once = "only the first N clips", "clips at once (default: 4)"
    for name, text in (("prepare", _PREPARE), ("status", _STATUS)):
        parser = add_command(subparsers, name, _run, text)
        parser.set_defaults(command=name, map=None, from_archive=None, retry=False)
        if name == "prepare":
            source = parser.add_mutually_exclusive_group()
            source.add_argument("--map", type=Path, metavar="FILE", help=links)
            source.add_argument("--from-archive", type=Path, metavar="FILE", help=clips)
            parser.add_argument("--retry", action="store_true", help="ask dead links again")
        parser.add_argument("--home", type=Path, metavar="DIR", help=home)
        parser.add_argument("--videos", type=Path, metavar="DIR", help=videos)
        parser.add_argument("--limit", type=_count, metavar="N", help=first)
        parser.add_argument("--workers", type=_count, default=4, metavar="N", help=at_once)


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _run(args: argparse.Namespace) -> int:
    work = _preparation(args)
    try:
        work.prepare() if args.command == "prepare" else work.status()
    except KeyboardInterrupt:
        complain("stopped: run the same command again to go on")
        return INTERRUPTED
    if args.json:
        say_json(as_object(work))
    else:
        say(*as_lines(work))
    return COMPLETE if work.complete else PARTIAL


def _preparation(args: argparse.Namespace) -> Preparation:
    """Find the folders as a run of the tasks would, with those given here first."""
    from ugc_tasks.data.prepare import Preparation

    environ = dict(os.environ)
    if args.home is not None:
        environ["UGC_VIDEOCAP_HOME"] = str(args.home)
        environ.pop("UGC_VIDEOCAP_VIDEOS", None)
    if args.videos is not None:
        environ["UGC_VIDEOCAP_VIDEOS"] = str(args.videos)
    named = folder_named(environ, "UGC_VIDEOCAP_HOME")
    if args.command == "prepare" and named is not None:
        named.mkdir(parents=True, exist_ok=True)
    home = Home.from_env(environ)
    return Preparation(
        annotations={spec.task: spec.annotations for spec in SPECS.values()},
        root=home.root or home.cache,
        videos=home.videos,
        ours=home.root is None,
        limit=args.limit,
        mapping=args.map,
        archive=args.from_archive,
        workers=min(args.workers, _MOST_WORKERS),
        retry=args.retry,
    )


def as_object(report: Preparation) -> dict[str, Any]:
    """Return the object that ``--json`` prints.

    ``coverage`` counts the clips that were asked for, ``clips`` has those that are not present, and
    ``links`` and ``archive`` are null where none were read; a ``fault`` is null or a sentence.
    """
    links, taken, present = report.links, report.taken, report.present
    counts = Counter[str](report.states[video_id].state for video_id in report.wanted)
    covered = {
        task: (len(ids), len(present.intersection(ids))) for task, ids in report.tasks.items()
    }
    return {
        "complete": report.complete,
        "home": str(report.root),
        "videos": str(report.videos),
        "files": [vars(file) for file in report.files],
        "coverage": {"wanted": len(report.wanted), **{state: counts[state] for state in _STATES}},
        "clips": {i: vars(report.states[i]) for i in report.wanted if i not in present},
        "tasks": {
            task: {"wanted": wanted, "present": there, "complete": wanted == there}
            for task, (wanted, there) in covered.items()
        },
        "links": links
        and {
            "id_column": links.id_column,
            "link_column": links.link_column,
            "links": len(links.by_id),
            "conflicts": list(links.conflicts),
        },
        "archive": taken
        and {
            "taken": len(taken.done),
            "present": len(taken.there),
            "refused": [{"name": name, "reason": reason} for name, reason in taken.refused],
            "refused_count": len(taken.refused),
            "unknown": taken.unknown,
            "cut": taken.cut,
        },
        "downloaded": len(report.fetched.done) if report.fetched else 0,
        "notes": list(report.notes),
    }


def as_lines(report: Preparation) -> list[str]:
    """Return the report in lines, the most important of what is wrong by name."""
    told = as_object(report)
    counts, links, taken = told["coverage"], told["links"], told["archive"]
    faults = [file["fault"] for file in told["files"] if file["fault"]]
    lines = [
        f"home    {told['home']}  (UGC_VIDEOCAP_HOME)",
        f"videos  {told['videos']}  (UGC_VIDEOCAP_VIDEOS)",
        f"files   {len(report.files) - len(faults)} of {len(report.files)} as published",
        f"clips   {counts['present']} of {counts['wanted']} present, {counts['gone']} gone, "
        f"{counts['broken']} broken, {counts['missing']} missing",
    ]
    if links:
        columns = f"column {links['link_column']!r}, by the ids in column {links['id_column']!r}"
        lines.append(f"links   {links['links']}: {columns}")
    if taken:
        lines.append(
            f"archive {taken['taken']} clips taken, {taken['present']} were there, "
            f"{taken['refused_count']} members refused, {taken['unknown']} other files"
        )
        lines += [f"        it was not read to its end: {taken['cut']}"] if taken["cut"] else []
    refused = [(each["name"], each["reason"]) for each in taken["refused"]] if taken else []
    sections = {
        "tasks that can run in full": [
            (task, f"{'yes' if of['complete'] else 'no'}, {of['present']}/{of['wanted']}")
            for task, of in told["tasks"].items()
        ],
        "files": [(fault, "") for fault in faults],
        "refused": refused,
    }
    for state in _STATES[1:]:
        found = [(i, clip["reason"]) for i, clip in told["clips"].items() if clip["state"] == state]
        sections[state] = found
    for title, rows in sections.items():
        lines += ["", f"{title}:"] if rows else []
        lines += [f"  {shown(name)}{why and ': '}{shown(why)}" for name, why in rows[:_NAMED]]
        if len(rows) > _NAMED:
            lines.append(f"  and {len(rows) - _NAMED} more (--json names all)")
    return lines + [line for note in report.notes for line in ("", note)]
