"""From runs to the page: the numbers above, the clips below, and what keeps hostile text harmless.

Nothing is fetched: style, script, posters and data are in the file. Captions, ids and replies are
foreign text. Above, the template escapes them; below, they are data in a JSON block, in which
``<`` is written as an escape, and the script sets them as text. The policy forbids all that is not
our own style and script, by their digests.

What stands above is ``top.py``'s and ``plots.py``'s.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from ugc_tasks.benchmark import SPECS
from ugc_tasks.bridge.restate import Bridge
from ugc_tasks.common.display import shown
from ugc_tasks.data.home import video_path
from ugc_tasks.data.published import published_elsewhere
from ugc_tasks.report import top
from ugc_tasks.report.plots import Slices, plots_of
from ugc_tasks.results.compare import compare
from ugc_tasks.results.scores import ScoreFile

_SHOWN_FACTS = (
    "seconds",
    "frames",
    "fps",
    "size",
    "finish_reason",
    "output_tokens",
    "sound_missing",
)
# Markup, and what is not seen or turns the writing direction, where somebody reads the source.
_ESCAPED = re.compile("[<>&\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_DECIMALS = 3  # of figures in the data; one is shown


def render(
    runs: Sequence[ScoreFile],
    *,
    slices: Slices,
    posters: Mapping[str, str],
    videos: Mapping[str, str],
    bridge: Bridge | None = None,
) -> str:
    """Return the page of one run or several of one task.

    Args:
        runs: what is shown; the first is the one that others are compared with.
        slices: parts of the clips, by kind.
        posters: by ``video_id``, a picture as a ``data:`` address.
        videos: by ``video_id``, the address of the clip.
        bridge: by which figures are restated on another judge's scale, below the raw ones.
    """
    from jinja2 import Environment, StrictUndefined

    css, js = packaged("page.css"), packaged("page.js")
    more = (f"script-src '{_digest(js)}'", "img-src data:", "media-src file: https: 'self'")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(packaged("page.html.j2"))
    runs = _told_apart(runs)
    comparisons = compare(runs[0], runs[1:], slices) if len(runs) > 1 else []
    facts = [top.facts_of(run) for run in runs]
    failed = sum(len(run.failed) for run in runs)
    return template.render(
        title=f"{SPECS[runs[0].task].task} · {' against '.join(shown(r.name, 80) for r in runs)}",
        policy=style_policy(css, *more),
        css=css,
        js=js,
        bands=top.bands(runs, comparisons),
        runs=[
            {"name": shown(run.name, 80), "facts": top.facts_lines(run, told)}
            for run, told in zip(runs, facts, strict=True)
        ],
        figures=runs[0].figures,
        table=top.table(runs, bridge),
        remarks=top.remarks(comparisons) + top.bridge_remarks(runs, bridge),
        note=SPECS[runs[0].task].note,
        elsewhere=published_elsewhere() if runs[0].task == "caption" else [],
        plots=plots_of(runs, comparisons, slices, [told.get("noise") for told in facts]),
        comparable=any(each.figures for each in comparisons),
        nothing_failed="" if failed else f"All {len(runs[0].clips)} clips are scored.",
        no_videos=_no_videos(posters, videos),
        made=f"Made by ugc-videocap {version('ugc-videocap')}; this file needs no network.",
        data=_data(runs, posters, videos, against=_comparable(comparisons)),
    )


def _told_apart(runs: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Return the runs, those of one name with the place of their files as well, or a number.

    A checkpoint on disk is called by its folder: where that is says nothing to a reader.
    """
    runs = [
        replace(run, name=Path(run.name).name or run.name) if run.name.startswith("/") else run
        for run in runs
    ]
    ways: tuple[Callable[[ScoreFile, int], object], ...] = (
        lambda run, _: run.path.parent.name or run.path.stem,
        lambda _, number: number,
    )
    for more in ways:
        counts = Counter(run.name for run in runs)
        runs = [
            replace(run, name=f"{run.name} ({more(run, n)})") if counts[run.name] > 1 else run
            for n, run in enumerate(runs, 1)
        ]
    return list(runs)


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


def _no_videos(posters: Mapping[str, str], videos: Mapping[str, str]) -> str:
    if videos:
        return ""
    without = "" if posters else ", and there are no pictures"
    return f"No clip was found where the run had it: none can be played{without}."


def _comparable(comparisons: Sequence[Any]) -> list[int]:
    """Return the numbers of the runs that the first can be compared with."""
    return [number for number, each in enumerate(comparisons, 1) if each.figures]


# ---- the data that the script reads ----


def _data(
    runs: Sequence[ScoreFile],
    posters: Mapping[str, str],
    videos: Mapping[str, str],
    *,
    against: Sequence[int],
) -> str:
    """Return it as JSON that no HTML parser takes for markup.

    What all clips share is there once: names of figures, the folder of the clips (``folder``), and
    facts that are the same in every clip of a run (``same``). Keys without a value are left out.
    """
    ids = list(dict.fromkeys(i for run in runs for i in (*run.clips, *run.failed)))
    folders = {address.rpartition("/")[0] + "/" for address in videos.values()}
    folder = folders.pop() if len(folders) == 1 else ""
    told = [{i: _clip(run, i) for i in ids if i in run.clips or i in run.failed} for run in runs]
    same = [_same(list(clips.values())) for clips in told]
    clips = []
    for video_id in ids:
        rows = [run.rows.get(video_id, {}) for run in runs]
        reference = next((row["reference"] for row in rows if row.get("reference")), None)
        seconds = next((s for row in rows if (s := _generation(row).get("seconds"))), None)
        video = videos.get(video_id)
        clip = {
            "id": video_id,
            "poster": posters.get(video_id),
            "video": None if video is None else video[len(folder) :],
            "seconds": seconds if isinstance(seconds, int | float) else None,
            "reference": _as_text(reference),
            "runs": [clips_of.get(video_id) for clips_of in told],
        }
        clips.append(_given(clip))
    whole = {
        "runs": [
            {"name": shown(run.name, 80), "same": each}
            for run, each in zip(runs, same, strict=True)
        ],
        "figures": runs[0].figures,
        "folder": folder,
        "against": list(against),
        "clips": clips,
    }
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate cannot be written; this is how JSON spells it.
    text = text.encode("utf-8", "backslashreplace").decode()
    return _ESCAPED.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


def _clip(run: ScoreFile, video_id: str) -> dict[str, Any]:
    row, figures = run.rows.get(video_id, {}), run.clips.get(video_id)
    judge = row.get("judge")
    said = judge.get("judgments") if isinstance(judge, dict) else None
    each = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    flags = row.get("flags")
    generation = _generation(row)
    more = {
        "label": row.get("label"),
        "chosen": row.get("chosen"),
        "decoding": row.get("decoding"),
        **{name: generation.get(name) for name in _SHOWN_FACTS},
    }
    return _given(
        {
            "prediction": _as_text(row.get("prediction")),
            "figures": figures and [round(value, _DECIMALS) for value in figures.values()],
            "failure": run.failed.get(video_id),
            "replies": [str(one["reply"]) for one in each if one.get("reply")],
            "flags": [str(flag) for flag in flags] if isinstance(flags, list) else [],
            "more": {name: str(value) for name, value in more.items() if value not in (None, "")},
        }
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _same(clips: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Take out of the facts of several clips what is the same in all, and return it."""
    if len(clips) < 2:
        return {}
    first = clips[0].get("more", {})
    same = {k: v for k, v in first.items() if all(c.get("more", {}).get(k) == v for c in clips)}
    for clip in clips if same else ():
        clip["more"] = {k: v for k, v in clip["more"].items() if k not in same}
        if not clip["more"]:
            del clip["more"]
    return same


def _generation(row: Mapping[str, Any]) -> Mapping[str, Any]:
    told = row.get("generation")
    return told if isinstance(told, dict) else {}


def _as_text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def found_videos(runs: Sequence[ScoreFile], folder: Path) -> dict[str, str]:
    """Return the addresses of the clips that are where a run had them, or else in ``folder``."""
    found: dict[str, str] = {}
    for run in runs:
        for video_id in (*run.clips, *run.failed):
            stated, own = run.rows.get(video_id, {}).get("clip"), video_path(folder, video_id)
            places = [Path(stated)] if isinstance(stated, str) else []
            places += [own] if own.parent == folder else []  # not so where an id has slashes
            for place in places:
                if video_id not in found and place.is_file():
                    found[video_id] = place.absolute().as_uri()
    return found
