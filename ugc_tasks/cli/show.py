"""Look at clips of a run: the worst, the failed, the most disputed, or one of them in full.

RUN is a samples file, what `score --json` prints, or a folder of lmms-eval's results.

examples:
  ugc-videocap show results/my-model
  ugc-videocap show results/my-model --most 20
  ugc-videocap show results/my-model PI-0f34e5d2-0a6c-5a02-a3e4-0b6f0a0c5e11
  ugc-videocap show results/my-model --task tone --json

exit status: 0 it was shown, 2 the run cannot be read, or has no such clip
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import COMPLETE, add_command
from ugc_tasks.common.display import say, say_json, shown
from ugc_tasks.common.files import DataError
from ugc_tasks.results.scores import ScoreFile, read_scores

_WIDEST = 160
_MOST_REPLY = 400


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "show", run, __doc__)
    parser.add_argument("run_path", type=Path, metavar="RUN", help="what to look at")
    parser.add_argument("video_id", nargs="?", metavar="VIDEO_ID", help="the clip to show in full")
    parser.add_argument("--task", choices=SPECS, help="of a folder (default: caption)")
    parser.add_argument("--most", type=int, default=5, metavar="N", help="of a kind (default: 5)")


def run(arguments: argparse.Namespace) -> int:
    scores = read_scores(arguments.run_path, arguments.task)
    if arguments.video_id is not None:
        _show_clip(scores, arguments.video_id, as_json=arguments.json)
        return COMPLETE
    found = kinds(scores, max(0, arguments.most))
    if arguments.json:
        say_json(found)
        return COMPLETE
    for kind, clips in found.items():
        say(f"{kind}:", *([_line(clip) for clip in clips] or ["  none"]), "")
    say(f"one in full: ugc-videocap show {arguments.run_path} VIDEO_ID")
    return COMPLETE


def kinds(scores: ScoreFile, most: int) -> dict[str, list[dict[str, Any]]]:
    """Return by kind the clips that one looks at first, each with what is said of it."""
    main = scores.figures[-1]
    by_score = sorted(scores.clips, key=lambda i: scores.clips[i][main])
    disputed = {i: spread for i in scores.clips if (spread := _spread(scores, i))}
    return {
        "the lowest scores": [
            _clip(scores, i, f"{scores.clips[i][main]:.1f}") for i in by_score[:most]
        ],
        "failed": [_clip(scores, i, why) for i, why in list(scores.failed.items())[:most]],
        "judged most differently from one time to the next": [
            _clip(scores, i, f"± {disputed[i]:.1f}")
            for i in sorted(disputed, key=lambda i: -disputed[i])[:most]
        ],
    }


def _spread(scores: ScoreFile, video_id: str) -> float:
    """Return the standard deviation of a clip's judgments, in points of the judge's scale."""
    said = [fmean(each.values()) for each in scores.judgments(video_id)]
    return stdev(said) if len(said) > 1 else 0.0


def _clip(scores: ScoreFile, video_id: str, said: str) -> dict[str, Any]:
    return {"video_id": video_id, "said": said, "prediction": _text(scores, video_id)[0]}


def _line(clip: Mapping[str, Any]) -> str:
    parts = (clip["video_id"], shown(clip["said"], 60), shown(clip["prediction"] or "", 60))
    return f"  {'  '.join(parts)}".rstrip()


def _text(scores: ScoreFile, video_id: str) -> tuple[str | None, str | None]:
    """Return prediction and reference of a clip, as far as the file has them."""
    row = scores.rows.get(video_id, {})
    values = [
        next((row[name] for name in names if row.get(name) is not None), None)
        for names in (("prediction", "filtered_resps"), ("reference", "target"))
    ]
    prediction, reference = (
        ", ".join(map(str, value)) if isinstance(value, list) else value and str(value)
        for value in values
    )
    return prediction, reference


def _show_clip(scores: ScoreFile, video_id: str, *, as_json: bool) -> None:
    if video_id not in scores.clips and video_id not in scores.failed:
        near = next((i for i in (*scores.clips, *scores.failed)), "none")
        raise DataError(f"{scores.path}: there is no clip {video_id} in it; one of it is {near}")
    row = scores.rows.get(video_id, {})
    if as_json:
        say_json({**row, "video_id": video_id, "figures": scores.clips.get(video_id)})
        return
    figures = scores.clips.get(video_id, {})
    said = "   ".join(f"{name} {value:.1f}" for name, value in figures.items())
    say(video_id, f"  {said or 'not scored: ' + shown(scores.failed.get(video_id, ''))}")
    if clip := row.get("clip"):
        say(f"  clip: {clip}")
    for number, reply in enumerate(_replies(row)):
        say(f"  judge{f' {number + 1}' if number else ''}: {shown(reply, _MOST_REPLY)}")
    say("", *_side_by_side(*_text(scores, video_id)))


def _replies(row: Mapping[str, Any]) -> list[str]:
    judge = row.get("judge")
    said = judge.get("judgments") if isinstance(judge, dict) else None
    each = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [str(one["reply"]) for one in each if one.get("reply")]


def _side_by_side(prediction: str | None, reference: str | None) -> list[str]:
    """Return two texts as lines of two columns, as wide as the terminal allows."""
    width = (min(_WIDEST, shutil.get_terminal_size((100, 24)).columns) - 3) // 2
    columns = [
        [title, "-" * width, *_wrapped(text, width)]
        for title, text in (("prediction", prediction), ("reference", reference))
    ]
    lines = zip_longest(*columns, fillvalue="")
    return [f"{ours.ljust(width)} | {theirs}".rstrip() for ours, theirs in lines]


def _wrapped(text: str | None, width: int) -> list[str]:
    if text is None:
        return ["(not in this file)"]
    return [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(shown(paragraph, len(paragraph) * 10 + 1), width) or [""]
    ]
