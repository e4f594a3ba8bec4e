"""How large the report is, and how soon it is there: ``python -m benchmarks.page``.

A run of 999 clips, and two side by side, each with pictures and without. Captions are as long as
published ones, words and pictures are made up. The browser is the one that the tests drive.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS, Report, Row, machine
from tests.support.browser import CHROMIUM, Browser
from ugc_tasks.judge.types import Judgment, Scores
from ugc_tasks.report.page import render
from ugc_tasks.report.posters import HEIGHT
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.rows import judged_row
from ugc_tasks.results.scores import ScoreFile, read_scores

CLIPS = 999
LIMITS = "3 MB without pictures and 15 MB with, of one run; open within 2 s on two cores"
_WORDS = 200  # of a caption: published references have 195 on average, 1,290 characters
_SCROLL = """(() => {
  const view = document.getElementById('window'), times = [];
  for (let at = 0; at < 200; at++) {
    const began = performance.now();
    view.scrollTop = at * 250; draw(); view.getBoundingClientRect();
    times.push(performance.now() - began);
  }
  return Math.max(...times);
})()"""


def main(arguments: list[str] | None = None, results: Path = RESULTS) -> Report:
    """Measure, print the table and write it into ``results``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 clips")
    quick = parser.parse_args(arguments).quick
    count = 20 if quick else CLIPS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        runs = [_run(Path(folder), name, count) for name in ("new", "old")]
        pictures = _pictures(list(runs[0].clips))
        browser = Browser(Path(folder) / "browser") if CHROMIUM else None
        try:
            for what, shown in (("one run", runs[:1]), ("two runs", runs)):
                for posters in ({}, pictures):
                    case = f"{what}, {'with' if posters else 'without'} pictures"
                    rows += _measured(case, shown, posters, Path(folder), browser)
        finally:
            if browser:
                browser.close()
    return Report(
        title=f"The report of {count} clips",
        rows=rows,
        machine=machine(("jinja2",)),
        notes=[f"Limits: {LIMITS}.", "Scrolling: the longest that one of 200 steps takes."],
    ).publish("page-quick" if quick else "page", results)


def _measured(
    case: str,
    runs: Sequence[ScoreFile],
    posters: Mapping[str, str],
    folder: Path,
    browser: Browser | None,
) -> Iterator[Row]:
    videos = {i: f"file:///data/ugc-videocap/videos/{i}.mp4" for i in runs[0].clips}
    began = time.perf_counter()
    text = render(runs, slices={}, posters=posters, videos=videos)
    yield Row(case, "made in", time.perf_counter() - began, "s")
    path = folder / "page.html"
    path.write_text(text, "utf-8")
    yield Row(case, "size", path.stat().st_size / 1e6, "MB")
    if browser is None:
        yield Row(case, "opens in", "Chromium is not installed")
        return
    began = time.perf_counter()
    browser.open(path.as_uri())
    yield Row(case, "opens in", time.perf_counter() - began, "s")
    yield Row(case, "scrolling", float(browser.run(_SCROLL)), "ms")


def _run(folder: Path, name: str, count: int) -> ScoreFile:
    """Write a run as lmms-eval does, and read it."""
    chance = random.Random(name)  # noqa: S311
    vocabulary = ["".join(chance.choices("aeilmnorst", k=n)) for n in range(2, 10) for _ in "123"]
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        video_id = f"PI-{len(rows) * 2654435761 % 2**32:08x}-0000-4000-8000-{len(rows):012x}"
        caption, reference = (" ".join(chance.choices(vocabulary, k=_WORDS)) for _ in "12")
        grades = {each: chance.randint(1, 5) for each in ("visual", "audio", "details")}
        told = {
            "heard": True,
            "flags": [],
            "decoding": "default: 32 frames <=100352px with sound",
            **{"seconds": chance.uniform(3, 59), "frames": 32, "fps": 2.0, "size": "448x224"},
            **{"finish_reason": "stop", "output_tokens": chance.randint(150, 400)},
        }
        rows.append(
            judged_row(
                *("caption", video_id, ModelAnswer(caption, generation=told)),
                Judgment(video_id, Scores(**grades), reply=json.dumps(grades), model="judge"),
                judge={"label": "paper/gpt-4o-2024-08-06/0123456789ab", "estimate": False},
                reference=reference,
                clip=f"/data/ugc-videocap/videos/{video_id}.mp4",
                wanted=count,
            )
        )
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return read_scores(path)


def _pictures(ids: Sequence[str]) -> dict[str, str]:
    """Return a picture for each clip: patches and grain, as large as a frame of a real one."""
    import cv2
    import numpy as np

    chance = np.random.default_rng(7)
    found = {}
    for video_id in ids:
        patches = chance.integers(0, 256, (20, 11, 3), np.uint8)
        picture = cv2.resize(patches, (HEIGHT * 9 // 16, HEIGHT), interpolation=cv2.INTER_CUBIC)
        grain = chance.normal(0, 6, picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
        content = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 45])[1].tobytes()
        found[video_id] = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    return found


if __name__ == "__main__":
    main()
