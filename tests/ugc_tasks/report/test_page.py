"""The page as a file: complete in itself, and harmless whatever the texts are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.data.published import published_captions
from ugc_tasks.judge.types import Judgment, Scores
from ugc_tasks.report.page import found_videos, render
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.rows import judged_row
from ugc_tasks.results.scores import ScoreFile, read_scores

PAPER = "paper/gpt-4o-2024-08-06/0123456789ab"
ATTACKS = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "]]>",
    "a\u202eb\x1b[2J\u2028",
    "{{ 7 * 7 }}",
    "&lt;b&gt;",
]


def written(folder: Path, name: str, captions: Mapping[str, Any], **more: Any) -> ScoreFile:
    """Return a run whose captions all have the same grades, read back from its file."""
    rows = []
    for video_id, caption in captions.items():
        failed = caption is None
        answer = ModelAnswer(caption or "", "no caption" if failed else "")
        judgment = Judgment(
            video_id,
            None if failed else Scores(visual=4, audio=3, details=5),
            reply=f"of {caption}",
        )
        rows.append(
            judged_row(
                *("caption", video_id, answer, judgment),
                judge={"label": more.get("label", PAPER), "estimate": more.get("estimate", False)},
                reference=f"Reference of {video_id}.",
                clip=more.get("clip"),
                wanted=len(captions),
            )
        )
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return read_scores(path)


def page(*runs: ScoreFile, **more: Any) -> str:
    return render(runs, slices={}, **{"posters": {}, "videos": {}, **more})


class Parsed(HTMLParser):
    """The elements of a page, the text of its scripts, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = str(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open] = self.inside.get(self._open, "") + data


def data_of(text: str) -> Any:
    return json.loads(Parsed(text).inside["data"])


def test_the_numbers_of_a_run_stand_beside_the_published_ones_of_the_same_judge(
    tmp_path: Path,
) -> None:
    text = page(written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b", "PI-3": None}))
    assert "80.0 ±0.0" in text
    assert all(f"{name} (published)" in text for name in published_captions()[1])
    other = page(written(tmp_path, "other", {"PI-1": "a", "PI-2": "b"}, label="rubric/gpt-4o/x"))
    assert "(published)" not in other, "another judge's numbers are not comparable"


def test_every_clip_has_its_texts_scores_reply_and_failure(tmp_path: Path) -> None:
    run = written(tmp_path, "mine", {"PI-1": "A man sings.", "PI-2": None})
    first, second = data_of(page(run))["clips"]
    assert (first["id"], first["reference"]) == ("PI-1", "Reference of PI-1.")
    [told] = first["runs"]
    assert told["prediction"] == "A man sings."
    assert told["figures"] == {"visual": 80, "audio": 60, "details": 100, "average": 80}
    assert (told["score"], told["failure"], told["replies"]) == (80, None, ["of A man sings."])
    assert second["runs"][0]["failure"] == "no caption"
    assert second["runs"][0]["score"] is None


def test_two_runs_are_compared_and_a_clip_of_one_alone_has_a_gap(tmp_path: Path) -> None:
    new = written(tmp_path, "new", {"PI-1": "a", "PI-2": "b"})
    old = written(tmp_path, "old", {"PI-1": "c", "PI-2": "d", "PI-3": "e"})
    text = page(new, old)
    assert "new and old are not distinguishable on 2 shared clips" in text
    assert data_of(text)["clips"][2]["runs"][0] is None
    assert [run["name"] for run in data_of(text)["runs"]] == ["new", "old"]
    judged_otherwise = written(tmp_path, "odd", {"PI-1": "a", "PI-2": "b"}, label="other")
    assert "cannot be compared: they were judged by different judges" in page(new, judged_otherwise)


def test_an_estimate_says_so_across_the_top(tmp_path: Path) -> None:
    text = page(written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"}, estimate=True))
    assert "An estimate from the texts: no judge was asked." in text
    assert "no judge was asked" not in page(written(tmp_path, "x", {"PI-1": "a", "PI-2": "b"}))


def test_the_page_says_what_it_lacks(tmp_path: Path) -> None:
    run = written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"})
    assert "All 2 clips are scored." in page(run)
    assert "no clip was found where the run had it" in page(run)
    assert "no clip was found" not in page(run, videos={"PI-1": "file:///x.mp4"})


def test_a_run_of_one_clip_and_one_of_no_score_are_pages_too(tmp_path: Path) -> None:
    assert "80.0" in page(written(tmp_path, "one", {"PI-1": "a"}))
    assert "no caption" in page(written(tmp_path, "none", {"PI-1": None}))


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_texts_stay_texts(tmp_path: Path, attack: str) -> None:
    run = written(tmp_path, "mine", {"PI-1": f"x {attack}", "PI-2": "b"})
    hostile = ScoreFile(
        run.path, run.clips, {"PI-9": attack}, judge=attack, name=attack, rows=run.rows
    )
    text = page(hostile)
    clean = page(run)
    tags = [tag for tag, _ in Parsed(text).tags]
    assert [t for t in tags if t in ("script", "style", "img", "iframe")] == [
        t for t, _ in Parsed(clean).tags if t in ("script", "style", "img", "iframe")
    ]
    assert not any(name.startswith("on") for _, each in Parsed(text).tags for name in each)
    assert data_of(text)["clips"][0]["runs"][0]["prediction"] == f"x {attack}"
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_nothing_is_fetched_and_nothing_but_our_own_script_runs(tmp_path: Path) -> None:
    text = page(written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"}))
    parsed = Parsed(text)
    [policy] = [
        str(each["content"])
        for tag, each in parsed.tags
        if tag == "meta" and each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(parsed.inside[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not any(each.get("src") or each.get("style") for _, each in parsed.tags)
    assert not re.search(
        r"""(?:href|src)=["'](?!#)""", re.sub(r"<script.*?</script>", "", text, flags=re.S)
    )


def test_clips_are_found_where_the_run_had_them(tmp_path: Path) -> None:
    clip = tmp_path / "PI 1#.mp4"
    clip.write_bytes(b"")
    here = written(tmp_path, "here", {"PI-1": "a"}, clip=str(clip))
    gone = written(tmp_path, "gone", {"PI-2": "a"}, clip=str(tmp_path / "gone.mp4"))
    assert found_videos([here, gone]) == {"PI-1": clip.as_uri()}
