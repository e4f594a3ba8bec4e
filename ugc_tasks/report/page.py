"""From runs to the page: the numbers above, the clips below, and what keeps hostile text harmless.

Nothing is fetched: style, script, posters and data are in the file. Captions, ids and replies are
foreign text. Above, the template escapes them; below, they are data in a JSON block, in which
``<`` is written as an escape, and the script sets them as text. The policy forbids all that is not
our own style and script, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import shown
from ugc_tasks.data.published import published_captions
from ugc_tasks.estimate.model import interval
from ugc_tasks.report.charts import Dot, Plot, by_slice, dots, heat_map, histogram
from ugc_tasks.results.compare import compare, sentence
from ugc_tasks.results.reliability import mean_interval
from ugc_tasks.results.rows import figures_of
from ugc_tasks.results.scores import ScoreFile

_BINS = {"caption": (20, 30, 40, 50, 60, 70, 80, 90)}
_SHOWN_FACTS = (
    "seconds",
    "frames",
    "fps",
    "size",
    "finish_reason",
    "output_tokens",
    "sound_missing",
)


def render(
    runs: Sequence[ScoreFile],
    *,
    slices: Mapping[str, Mapping[str, Sequence[str]]],
    posters: Mapping[str, str],
    videos: Mapping[str, str],
) -> str:
    """Return the page of one run or several of one task.

    Args:
        runs: what is shown; the first is the one that others are compared with.
        slices: parts of the clips, by kind.
        posters: by ``video_id``, a picture as a ``data:`` address.
        videos: by ``video_id``, the address of the clip.
    """
    from jinja2 import Environment, StrictUndefined

    css, js = packaged("page.css"), packaged("page.js")
    more = (f"script-src '{_digest(js)}'", "img-src data:", "media-src file: https: 'self'")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(packaged("page.html.j2"))
    figures = figures_of(runs[0].task)
    failed = sum(len(run.failed) for run in runs)
    return template.render(
        title=f"UGC-VideoCap · {' against '.join(shown(run.name, 80) for run in runs)}",
        policy=style_policy(css, *more),
        css=css,
        js=js,
        band=_band(runs),
        runs=[
            {"name": shown(r.name, 80), "judge": r.judge and shown(r.judge), "date": ""}
            for r in runs
        ],
        figures=figures,
        table=_table(runs, figures),
        remarks=_remarks(runs),
        plots=_plots(runs, figures, slices),
        nothing_failed="" if failed else f"All {len(runs[0].clips)} clips are scored.",
        no_videos="" if videos else "Posters only: no clip was found where the run had it.",
        made=f"Made by ugc-videocap {version('ugc-videocap')}; this file needs no network.",
        data=_data(runs, posters, videos),
    )


def style_policy(css: str, *more: str) -> str:
    """Return the policy of a page with this style and nothing else but ``more``."""
    always = ("default-src 'none'", f"style-src '{_digest(css)}'")
    return "; ".join((*always, *more, "base-uri 'none'", "form-action 'none'"))


def packaged(name: str) -> str:
    """Return a text file of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"


def _band(runs: Sequence[ScoreFile]) -> str:
    if any(run.estimate for run in runs):
        return "An estimate from the texts: no judge was asked."
    return ""


def _table(runs: Sequence[ScoreFile], figures: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for run in runs:
        cells = [_figure(run, name) for name in figures]
        counts = [str(len(run.clips)), str(len(run.failed))]
        rows.append({"name": shown(run.name, 80), "cells": [*cells, *counts], "ours": True})
    if _beside_published(runs[0]):
        for name, values in published_captions()[1].items():
            cells = [f"{value:.1f}" for value in values]
            rows.append({"name": f"{name} (published)", "cells": [*cells, "", ""], "ours": False})
    return rows


def _figure(run: ScoreFile, name: str) -> str:
    if not run.clips:
        return "–"
    mean, pair, n = _mean(run, name)
    if run.estimate:
        low, high = interval(name, mean, n)
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    return f"{mean:.1f}" + (f" ±{(pair[1] - pair[0]) / 2:.1f}" if pair else "")


def _beside_published(run: ScoreFile) -> bool:
    """Tell whether a run was judged as the published rows were."""
    return run.task == "caption" and str(run.judge).startswith(published_captions()[0])


def _remarks(runs: Sequence[ScoreFile]) -> list[str]:
    said = []
    for comparison in compare(runs[0], runs[1:]) if len(runs) > 1 else ():
        said += [f"{sentence(comparison)}.", *(f"Note: {note}." for note in comparison.notes)]
    return said


def _plots(
    runs: Sequence[ScoreFile],
    figures: Sequence[str],
    slices: Mapping[str, Mapping[str, Sequence[str]]],
) -> list[Plot]:
    first = runs[0]
    if not first.clips:
        return []
    plots = []
    main = figures[-1]
    if _beside_published(first):
        rows = [Dot(run.name, *_mean(run, main)) for run in runs if run.clips]
        published = published_captions()[1]
        rows += [Dot(name, values[-1], ours=False) for name, values in published.items()]
        rows.sort(key=lambda row: -row.value)
        plots.append(dots("average", "The average beside published rows of the same judge.", rows))
    for name in figures:
        values = [clip[name] for clip in first.clips.values()]
        plots.append(histogram(name, values, _BINS.get(first.task, (0, 20, 40, 60, 80, 100))))
    if first.task == "caption":
        pairs = [(clip["visual"], clip["audio"]) for clip in first.clips.values()]
        plots.append(heat_map("visual", "audio", pairs))
    return plots + by_slice(main, first.clips, slices)


def _mean(run: ScoreFile, name: str) -> tuple[float, tuple[float, float] | None, int]:
    values = [clip[name] for clip in run.clips.values()]
    mean, pair = mean_interval(values)
    return mean, pair, len(values)


def _data(runs: Sequence[ScoreFile], posters: Mapping[str, str], videos: Mapping[str, str]) -> str:
    """Return what the script reads, as JSON that no HTML parser takes for markup."""
    ids = dict.fromkeys(i for run in runs for i in (*run.clips, *run.failed))
    clips = []
    for video_id in ids:
        rows = [run.rows.get(video_id, {}) for run in runs]
        reference = next((row["reference"] for row in rows if row.get("reference")), None)
        seconds = next((s for row in rows if (s := _generation(row).get("seconds"))), None)
        clips.append(
            {
                "id": video_id,
                "poster": posters.get(video_id),
                "video": videos.get(video_id),
                "seconds": seconds if isinstance(seconds, int | float) else None,
                "reference": _as_text(reference),
                "runs": [
                    _clip(run, video_id)
                    if video_id in run.clips or video_id in run.failed
                    else None
                    for run in runs
                ],
            }
        )
    whole = {"runs": [{"name": shown(run.name, 80)} for run in runs], "clips": clips}
    text = json.dumps(whole, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _clip(run: ScoreFile, video_id: str) -> dict[str, Any]:
    row, figures = run.rows.get(video_id, {}), run.clips.get(video_id)
    judge = row.get("judge")
    said = judge.get("judgments") if isinstance(judge, dict) else None
    each = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    flags = row.get("flags")
    told = _generation(row)
    more = {"decoding": row.get("decoding"), **{name: told.get(name) for name in _SHOWN_FACTS}}
    return {
        "prediction": _as_text(row.get("prediction")),
        "figures": figures or {},
        "score": None if figures is None else list(figures.values())[-1],
        "failure": run.failed.get(video_id),
        "replies": [str(one["reply"]) for one in each if one.get("reply")],
        "flags": [str(flag) for flag in flags] if isinstance(flags, list) else [],
        "more": {name: str(value) for name, value in more.items() if value not in (None, "")},
    }


def _generation(row: Mapping[str, Any]) -> Mapping[str, Any]:
    told = row.get("generation")
    return told if isinstance(told, dict) else {}


def _as_text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def found_videos(runs: Sequence[ScoreFile]) -> dict[str, str]:
    """Return the addresses of the clips that are where a run had them."""
    found = {}
    for run in runs:
        for video_id, row in run.rows.items():
            path = row.get("clip")
            if video_id not in found and isinstance(path, str) and Path(path).is_file():
                found[video_id] = Path(path).absolute().as_uri()
    return found
