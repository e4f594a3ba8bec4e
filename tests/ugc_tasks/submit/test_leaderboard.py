"""Bundles side by side: what is in which table, and who is not distinguishable from whom."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.ugc_tasks.submit.conftest import edit_manifest, edit_rows
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.questions import read_choice_questions
from ugc_tasks.results.rows import SCHEMA
from ugc_tasks.results.run_files import RunFiles
from ugc_tasks.submit.bundle import write_bundle
from ugc_tasks.submit.leaderboard import Group, headline, legend, page, read_leaderboard, table_of

CLIPS = 60
TONE = "ugc_videocap_tone"
TONES = ["Positive", "Neutral", "Negative"]
Make = Callable[..., Path]


@pytest.fixture
def tones(tmp_path: Path) -> Home:
    """The tone question about so many clips, each of which is positive."""
    samples = [
        {"video_id": f"PI-{i:03}", "answer": "Positive", "options": TONES} for i in range(CLIPS)
    ]
    content = {"question": "Which tone?", "samples": samples}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tone.json").write_text(json.dumps(content))
    return Home(tmp_path / "home", tmp_path, tmp_path / "cache", allow_partial=True)


@pytest.fixture
def make(tmp_path: Path, tones: Home, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make the bundle of a model that is right in so many of the clips."""
    published = read_choice_questions(tmp_path / "home" / "tone.json").sha256
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", lambda _: published)

    def make(name: str, right: int, *, clips: int = CLIPS, **facts: Any) -> Path:
        numbers = random.Random(name).sample(range(clips), right)
        rows = [tone_row(i, i in numbers) for i in range(clips)]
        told = {
            "clips_missing": [f"PI-{i:03}" for i in range(clips, CLIPS)],
            "annotations_sha256": published,
            **facts,
        }
        stated = {"name": name, "tasks": {TONE: told}}
        run = RunFiles(tmp_path / name, stated, {TONE: rows})
        write_bundle(run, tmp_path / "bundles" / name)
        return tmp_path / "bundles"

    return make


def tone_row(number: int, right: bool) -> dict[str, Any]:
    chosen = "Positive" if right else "Negative"
    return {
        "schema": SCHEMA,
        "task": "tone",
        "video_id": f"PI-{number:03}",
        "clip": None,
        "prediction": chosen,
        "reference": "Positive",
        "score": float(right),
        "tone": 100.0 * right,
        "n": f"PI-{number:03}",
        "coverage": {"scored": True, "of": CLIPS},
        "failure": None,
        "heard": None,
        "flags": None,
        "decoding": None,
        "generation": None,
        "label": "Positive",
        "chosen": chosen,
        "unanswered": None,
        "macro_f1": ["Positive", chosen],
        "constant_answer": "Positive",
    }


def test_the_best_come_first_with_intervals_and_letters_where_nothing_tells_them_apart(
    make: Make, tones: Home
) -> None:
    for name, right in (("weak", 12), ("strong", 52), ("other", 50)):
        folder = make(name, right)
    [group] = read_leaderboard(folder, tones).groups
    assert headline(group) == "ugc_videocap_tone, no judge"
    head, *rows = table_of(group)
    assert head == ["model", "tone", "clips", "same", "note"]
    assert [(row[0], row[3]) for row in rows] == [("strong", "a"), ("other", "a"), ("weak", "")]
    assert rows[0][1].startswith("86.7 [")
    assert rows[0][2] == "60/60"
    assert any("Holm" in said for said in legend([group]))


def test_clips_without_a_score_are_noted(make: Make, tones: Home) -> None:
    folder = make("partial", 30, clips=40)
    [group] = read_leaderboard(folder, tones).groups
    assert table_of(group)[1][2:] == ["40/60", "", "20 clips have no score"]


def test_a_run_on_other_annotations_than_are_here_is_left_out(make: Make, tones: Home) -> None:
    make("one", 30)
    folder = make("two", 30, annotations_sha256="0" * 64)
    board = read_leaderboard(folder, tones)
    assert [len(group.entries) for group in board.groups] == [1]
    assert "was scored with other annotations" in board.left_out["two"]


def test_own_clips_are_in_a_table_of_their_own(
    make: Make, tones: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("published", 30)
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", lambda _: "0" * 64)
    folder = make("own", 30)
    board = read_leaderboard(folder, tones)
    assert "of_benchmark is stated as True, the rows give False" in board.left_out["published"]
    [group] = board.groups
    assert "own clips or questions" in headline(group)
    assert [entry.name for entry in group.entries] == ["own"]


def test_a_bundle_that_does_not_hold_is_left_out_and_named(make: Make, tones: Home) -> None:
    make("honest", 30)
    folder = make("forged", 20)
    facts = folder / "forged" / "bundle.json"
    facts.write_text(facts.read_text("utf-8").replace('"tone": 33.3', '"tone": 93.3'))
    board = read_leaderboard(folder, tones)
    assert [entry.name for entry in board.groups[0].entries] == ["honest"]
    assert "figures is stated as" in board.left_out["forged"]


def test_a_folder_without_bundles_says_how_to_make_one(tmp_path: Path, tones: Home) -> None:
    with pytest.raises(DataError, match="ugc-videocap submit"):
        read_leaderboard(tmp_path, tones)


def test_published_rows_stand_beside_captions_of_their_judge_alone(
    bundle: Path, home: Home
) -> None:
    label = "paper/gpt-4o-2024-08-06/0123456789ab"
    [group] = captions_of(bundle, home)
    assert {entry.note for entry in group.entries} == {"1 clips have no score"}
    edit_rows(bundle, CAPTIONS, lambda rows: [row["judge"].update(label=label) for row in rows])
    edit_manifest(bundle, partial(state_judge, label))
    [group] = captions_of(bundle, home)
    averages = [entry.means["average"] for entry in group.entries]
    assert averages == sorted(averages, reverse=True)
    published = {entry.name: entry for entry in group.entries if entry.note == "published"}
    assert published["Gemini-2.5-flash"].means["average"] == 76.73
    assert (len(published), len(group.entries)) == (9, 10)
    assert all(entry.letters == "" for entry in group.entries), "they cannot be paired"


def test_what_others_published_has_a_table_for_each_judge(bundle: Path, home: Home) -> None:
    board = read_leaderboard(bundle.parent, home)
    judges = [group.judge for group in board.elsewhere]
    assert len(set(judges)) == len(judges) > 1
    assert not set(judges) & {group.judge for group in board.groups}
    text = page(board)
    for group in board.elsewhere:
        assert group.source
        assert headline(group).replace("'", "&#39;") in text


CAPTIONS = "ugc_videocap"


def captions_of(bundle: Path, home: Home) -> list[Group]:
    board = read_leaderboard(bundle.parent, home)
    return [group for group in board.groups if group.task == CAPTIONS]


def state_judge(label: str, content: dict[str, Any]) -> None:
    """State another judge, whose prompts this version does not have."""
    facts = content["tasks"][CAPTIONS]
    facts["judge_label"] = facts["judge"]["label"] = label
    facts["judge"]["profile"] = "of another version"


def test_the_page_shows_hostile_names_as_text(make: Make, tones: Home) -> None:
    make("honest", 30)
    folder = make("evil", 20)
    facts = folder / "evil" / "bundle.json"
    content = json.loads(facts.read_text("utf-8"))
    content["name"] = "<script>alert(1)</script>\u202e"
    facts.write_text(json.dumps(content))
    text = page(read_leaderboard(folder, tones))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in text
    assert "<script" not in text
    assert "default-src &#39;none&#39;" in text
