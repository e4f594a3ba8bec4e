"""The page as a file: complete in itself, and harmless whatever the texts are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.data.published import published_captions, published_elsewhere
from ugc_tasks.judge.types import Judgment, Scores, Usage
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
        told = more["generation"][len(rows)] if "generation" in more else None
        answer = ModelAnswer(caption or "", "no caption" if failed else "", told)
        judgment = Judgment(
            video_id,
            None if failed else Scores(visual=4, audio=3, details=5),
            reply=f"of {caption}",
            usage=Usage(700, 18, 0.25),
            model="gpt-4o-2024-08-06",
            fingerprint="fp_1",
        )
        rows.append(
            judged_row(
                *("caption", video_id, answer, judgment),
                judge={"label": more.get("label", PAPER), "estimate": more.get("estimate", False)},
                reference=f"Reference of {video_id}.",
                clip=more.get("clip"),
                wanted=more.get("wanted", len(captions)),
            )
        )
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return read_scores(path)


def page(*runs: ScoreFile, **more: Any) -> str:
    return render(runs, **{"slices": {}, "posters": {}, "videos": {}, **more})


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
    assert told["figures"] == [80, 60, 100, 80]
    assert data_of(page(run))["figures"] == ["visual", "audio", "details", "average"]
    assert told["replies"] == ["of A man sings."]
    assert "failure" not in told, "what has no value is left out"
    assert second["runs"] == [{"failure": "no caption"}]


def test_what_all_clips_share_is_in_the_data_once(tmp_path: Path) -> None:
    generation = [{"decoding": "greedy, 32 frames", "fps": 2.0, "frames": n} for n in (8, 9)]
    run = written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"}, generation=generation)
    videos = {"PI-1": "file:///clips/PI-1.mp4", "PI-2": "file:///clips/PI-2.mp4"}
    data = data_of(page(run, videos=videos))
    assert data["runs"][0]["same"] == {"decoding": "greedy, 32 frames", "fps": "2.0"}
    assert [clip["runs"][0]["more"] for clip in data["clips"]] == [{"frames": "8"}, {"frames": "9"}]
    assert data["folder"] == "file:///clips/"
    assert [clip["video"] for clip in data["clips"]] == ["PI-1.mp4", "PI-2.mp4"]
    elsewhere = {**videos, "PI-2": "file:///more/PI-2.mp4"}
    data = data_of(page(run, videos=elsewhere))
    assert [data["folder"] + clip["video"] for clip in data["clips"]] == list(elsewhere.values())


def test_two_runs_are_compared_and_a_clip_of_one_alone_has_a_gap(tmp_path: Path) -> None:
    new = written(tmp_path, "new", {"PI-1": "a", "PI-2": "b"})
    old = written(tmp_path, "old", {"PI-1": "c", "PI-2": "d", "PI-3": "e"})
    text = page(new, old)
    assert "new and old are not distinguishable on 2 shared clips" in text
    assert data_of(text)["clips"][2]["runs"][0] is None
    assert [run["name"] for run in data_of(text)["runs"]] == ["new", "old"]
    judged_otherwise = written(tmp_path, "odd", {"PI-1": "a", "PI-2": "b"}, label="other")
    apart = page(new, judged_otherwise)
    assert "cannot be compared: they were judged by different judges" in apart
    assert data_of(apart)["against"] == []
    assert 'value="gains"' not in apart, "no difference is shown"
    assert data_of(text)["against"] == [1]
    assert 'value="gains"' in text


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    captions = {"PI-1": "a", "PI-2": "b"}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    runs = [written(tmp_path / folder, "same", captions) for folder in ("one", "two", "two")]
    names = [run["name"] for run in data_of(page(*runs))["runs"]]
    assert names == ["same (one)", "same (two) (2)", "same (two) (3)"]


def facts(text: str) -> dict[str, str]:
    """Return what stands under the figures of a page's first run."""
    found = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    return {name: unescape(said) for name, said in reversed(found)}


def test_who_judged_what_is_missing_cost_time_and_date_stand_at_the_top(tmp_path: Path) -> None:
    captions = {"PI-1": "a", "PI-2": "b", "PI-3": None}
    name = "20261128_102636_samples_ugc_videocap"
    stated = {
        "name": "org/model",
        "date": "2026-11-28T10:26:36+00:00",
        "seconds": 2280.0,
        "model": "vllm",
    }
    (tmp_path / "20261128_102636_run.json").write_text(json.dumps({**stated, "tasks": {}}))
    text = page(written(tmp_path, name, captions))
    assert facts(text) == {
        "judged by": f"{PAPER}; its endpoint called itself gpt-4o-2024-08-06 fp_1",
        "scored": "2 of 3 clips (66.7%)",
        "not scored": "1 without a caption (PI-3: no caption)",
        "cost": "$0.50 for 2 judgments",
        "time": "38 min",
        "date": "2026-11-28 10:26 UTC",
        "model": "vllm",
    }
    assert "org/model" in text


def test_scores_without_rows_have_the_facts_that_there_are(tmp_path: Path) -> None:
    scores = {"visual_score": 4, "audio_score": 3, "details_score": 0}
    path = tmp_path / "authors.json"
    path.write_text(json.dumps({"evaluations": {"PI-1": {**scores, "details_score": 5},
                                                "PI-2": scores}}))  # fmt: skip
    assert facts(page(read_scores(path))) == {
        "judged by": "not stated",
        "scored": "1 clips",
        "not scored": "1 without a score (PI-2: a failure that was stored as 0, which no judge "
        "gives)",
        "stored zeros": "1 clips have a 0, which no judge gives, and are left out; with them, as "
        "scripts of the field count, the average is 63.3",
    }


def test_what_others_published_is_apart_by_its_judge(tmp_path: Path) -> None:
    scores = {"visual_score": 4, "audio_score": 3, "details_score": 4}
    path = tmp_path / "authors.json"
    path.write_text(json.dumps({"evaluations": {"PI-1": scores, "PI-2": scores}}))
    text = unescape(page(read_scores(path)))
    for table in published_elsewhere():
        assert f"Judge: {table.judge}." in text
        assert all(f'<th scope="row">{name}</th>' in text for name in table.rows)


def test_a_part_of_the_benchmark_and_a_run_without_scores_are_said_across_the_top(
    tmp_path: Path,
) -> None:
    part = page(written(tmp_path, "part", {"PI-1": "a", "PI-2": None}, wanted=999))
    assert "A part of the benchmark, 2 of its 999 clips" in part
    assert "A part of the benchmark" not in page(written(tmp_path, "x", {"PI-1": "a"}))
    none = page(written(tmp_path, "none", {"PI-1": None}, wanted=999))
    assert "No clip has a score, so there is no figure." in none


def test_rows_that_are_not_as_ours_are_shown_as_far_as_they_can_be(tmp_path: Path) -> None:
    run = written(tmp_path, "mine", {"PI-1": "a", "PI-2": None})
    rows = {i: {**row, "judge": {"label": PAPER}, "coverage": None} for i, row in run.rows.items()}
    said = facts(page(replace(run, rows=rows)))
    assert said["not scored"] == "1 without a score (PI-2: no caption)"


def test_an_estimate_says_so_across_the_top(tmp_path: Path) -> None:
    text = page(written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"}, estimate=True))
    assert "An estimate from the texts: no judge was asked." in text
    assert "no judge was asked" not in page(written(tmp_path, "x", {"PI-1": "a", "PI-2": "b"}))


def test_the_page_says_what_it_lacks(tmp_path: Path) -> None:
    run = written(tmp_path, "mine", {"PI-1": "a", "PI-2": "b"})
    assert "All 2 clips are scored." in page(run)
    assert "No clip was found where the run had it" in page(run)
    assert "No clip was found" not in page(run, videos={"PI-1": "file:///x.mp4"})


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
    assert found_videos([here, gone], tmp_path / "videos") == {"PI-1": clip.as_uri()}


def test_clips_that_are_not_where_a_file_says_are_looked_for_among_the_user_s(
    tmp_path: Path,
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in (videos / "PI-1.mp4", tmp_path / "outside.mp4"):
        path.write_bytes(b"")
    for clip in (None, "/of/another/machine/PI-1.mp4"):
        captions = {"PI-1": "a", "PI-2": None, "../outside": "a"}
        run = written(tmp_path, "run", captions, clip=clip)
        assert found_videos([run], videos) == {"PI-1": (videos / "PI-1.mp4").as_uri()}
